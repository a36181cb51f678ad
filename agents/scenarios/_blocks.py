"""Blocks of several cells in mirrored order, with all their workers alive where memory allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

from agents import proc
from agents.process import SPARE_KIB

if TYPE_CHECKING:
    from agents.launch import Arm
    from agents.schedule import Order


def measure(arms: Dict[str, Arm], order: Order, purpose: str) -> bool:
    """Measure side by side, or one at a time when memory is short."""
    if side_by_side(arms, order, purpose):
        return True
    for arm in arms.values():
        arm.start_over()
    one_at_a_time(arms, order, purpose)
    return False


def side_by_side(arms: Dict[str, Arm], order: Order, purpose: str) -> bool:
    """Measure with all workers alive; returns false, and measures nothing, if memory is short."""
    largest = SPARE_KIB
    for cell in order.spawn:
        arms[cell].open(purpose)
        worker = arms[cell].worker
        if worker is not None:
            largest = max(largest, worker.rss_kib())
        short = arms[cell].starved or proc.meminfo()["MemAvailable"] < largest
        if len(arms) > 1 and short:
            return False
    for cell in order.warmup:
        arms[cell].warm()
    for cell in order.blocks:
        arms[cell].block()
    for cell in order.spawn:
        arms[cell].finish()
    return len(arms) == 1 or not any(arm.starved for arm in arms.values())


def one_at_a_time(arms: Dict[str, Arm], order: Order, purpose: str) -> None:
    """Measure each cell alone, in the order of spawning."""
    for cell in order.spawn:
        arm = arms[cell]
        arm.open(purpose)
        arm.warm()
        for _ in range(order.blocks.count(cell)):
            arm.block()
        arm.finish()
