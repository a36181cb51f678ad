"""Cold start: every sample is a fresh process, from its spawning to its first answer.

The cells take turns in mirrored order. The page cache is warm: after the first samples the files
of model and runtime come from memory, as they do when a service is started again, and not from the
disk, as after a boot. The record's other figures are those of the last process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

from agents.scenarios import one_request as flow
from agents.schedule import order

if TYPE_CHECKING:
    from agents.launch import Arm
    from agents.schedule import Order

__all__ = ["flow", "measure", "order"]


def measure(arms: Dict[str, Arm], order: Order, purpose: str) -> bool:
    """Start one process after the other; a cell that has failed is not started again."""
    for cell in order.blocks:
        arm = arms[cell]
        if arm.record["status"] == "ok":
            sample(arm, purpose)
    return True


def sample(arm: Arm, purpose: str) -> None:
    """Start a process, and end it when it has answered."""
    arm.open(purpose)
    if arm.start_ns is not None:
        arm.record["blocks"].append([arm.start_ns])
    arm.finish()
