"""Blocks of several cells in mirrored order, with all their workers alive where memory allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

from agents import proc

if TYPE_CHECKING:
    from agents.launch import Arm
    from agents.schedule import Order

# With less memory than this left a board would swap or kill, so the launch goes one at a time.
SPARE_KIB = 64 * 1024


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
        if len(arms) > 1 and proc.meminfo()["MemAvailable"] < largest:
            return False
    for cell in order.warmup:
        arms[cell].warm()
    for cell in order.blocks:
        arms[cell].block()
    for cell in order.spawn:
        arms[cell].finish()
    return True


def one_at_a_time(arms: Dict[str, Arm], order: Order, purpose: str) -> None:
    """Measure each cell alone, in the order of spawning."""
    for cell in order.spawn:
        arm = arms[cell]
        arm.open(purpose)
        arm.warm()
        for _ in range(order.blocks.count(cell)):
            arm.block()
        arm.finish()
