"""Server: requests arrive at random; sought is the highest rate at which the p99 meets a target.

Each cell is measured alone. Every rate is tried with the same pattern of arrivals, faster or
slower, and so is every cell of a launch: what differs between trials is then the rate, and not the
luck of the draw. The next launch draws another pattern.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Dict, Optional, Sequence

from agents import wire
from agents.scenarios import Flow
from agents.schedule import in_turn as order

if TYPE_CHECKING:
    from agents.launch import Arm
    from agents.schedule import Order

__all__ = ["flow", "measure", "next_rate", "order"]

# Too few and p99 would rest on the one or two latest.
FEWEST_REQUESTS = 400
# A trial is so many targets long: a rate a tenth above what the cell can serve then shows, since
# the last requests wait for a tenth of the trial.
TARGETS_IN_TRIAL = 10
LATE_SHARE = 0.01
MOST_TRIALS = 8
CLOSE_ENOUGH = 1.1
# Requests hardly ever wait for each other at this share of the capacity: slower does not help.
LOWEST_LOAD = 1 / 8


def flow(scenario: wire.Scenario, room: int) -> Flow:
    """Each request by itself, in the stream that is free."""
    return Flow(scenario["streams"] or room, 1)


def measure(arms: Dict[str, Arm], order: Order, purpose: str) -> bool:
    """Measure each cell alone, in turn."""
    for cell in order.spawn:
        arm = arms[cell]
        arm.open(purpose)
        arm.warm()
        search(arm, "{}/{}".format(arm.bench.job["seed"], purpose))
        arm.finish()
    return False


def search(arm: Arm, seed: str) -> None:
    """Try rate after rate, until the answer is known well enough or the cell fails."""
    if arm.typical_ns is None:
        return
    capacity = 1e9 / arm.typical_ns
    target_ns = arm.scenario["target_ns"]
    assert target_ns is not None
    trials = arm.record["trials"]
    rate = next_rate(trials, target_ns, capacity)
    while rate is not None:
        seconds = max(arm.scenario["seconds"], TARGETS_IN_TRIAL * target_ns * 1e-9)
        count = max(FEWEST_REQUESTS, math.ceil(rate * seconds))
        request = {"do": "serve", "rate": rate, "requests": count, "seed": seed}
        latencies = arm.ask(dict(request, target_ns=target_ns), count / rate)
        if not latencies:
            return
        trials.append({"rate": rate, "latencies_ns": latencies})
        rate = next_rate(trials, target_ns, capacity)


def next_rate(trials: Sequence[wire.Trial], target_ns: int, capacity: float) -> Optional[float]:
    """Rate to try after some trials, 1/s; null when they are enough.

    The first is the capacity, the rate of answers without a pause. Then the bracket between the
    highest rate that met the target and the lowest that missed it is halved by its ratio.
    """
    if not trials:
        return capacity
    if len(trials) == MOST_TRIALS or min(trials[-1]["latencies_ns"]) > target_ns:
        return None  # if even an idle cell is too slow for a single request, no rate will do
    met = max((trial["rate"] for trial in trials if meets(trial, target_ns)), default=None)
    missed = min((trial["rate"] for trial in trials if not meets(trial, target_ns)), default=None)
    if missed is None:
        return 2 * max(trial["rate"] for trial in trials)
    if met is None:
        return missed / 2 if missed / 2 >= LOWEST_LOAD * capacity else None
    return math.sqrt(met * missed) if missed > CLOSE_ENOUGH * met else None


def meets(trial: wire.Trial, target_ns: int) -> bool:
    """Whether at most one request in a hundred was later than the target.

    One less than all of them are counted, as in the host's p99, which lies between two samples: a
    rate that meets the target here does so there.
    """
    late = sum(latency > target_ns for latency in trial["latencies_ns"])
    return late <= LATE_SHARE * (len(trial["latencies_ns"]) - 1)
