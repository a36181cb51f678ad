"""Sustained: one inference after the other for minutes, to see what heat does to their time.

Each cell is measured alone, and a block is a minute of it. There is no warm-up but the first
inference: the first minute is to show the board cold. A cell that comes after another finds it as
warm as that one left it, and the order is drawn anew for each launch. What tells of heat is read
before the first minute and after each, while nothing is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Sequence

from agents.probes import clock, temperature, throttling
from agents.scenarios import one_request as flow
from agents.schedule import in_turn as order

if TYPE_CHECKING:
    from agents import wire
    from agents.launch import Arm
    from agents.schedule import Order

__all__ = ["flow", "measure", "order"]


def measure(arms: Dict[str, Arm], order: Order, purpose: str) -> bool:
    """Measure each cell alone, in turn."""
    for cell in order.spawn:
        arm = arms[cell]
        arm.open(purpose)
        blocks = order.blocks.count(cell)
        if arm.record["status"] == "ok":
            arm.record["readings"].append(heat(arm.record["cpus"]))
        for _ in range(blocks):
            stretch(arm, arm.scenario["seconds"] / blocks)
        arm.finish()
    return False


def stretch(arm: Arm, seconds: float) -> None:
    """Measure one block; the pause between two is some milliseconds, too short for a board to cool.

    It is a message and a look at the probes.
    """
    samples = arm.ask({"do": "stretch", "seconds": seconds}, seconds)
    if samples:
        arm.record["blocks"].append(samples)
        arm.record["readings"].append(heat(arm.record["cpus"]))


def heat(cpus: Sequence[int], root: str = "/") -> wire.Reading:
    """Read the probes of heat, the clock first: a core that idles loses it.

    Linux on x86 still tells it for 20 ms (MAX_SAMPLE_AGE in arch/x86/kernel/cpu/aperfmperf.c).
    """
    return {
        "clock": clock.read(root, cpus),
        "throttling": throttling.read(root),
        "temperature": temperature.read(root),
    }
