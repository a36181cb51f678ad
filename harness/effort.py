"""How much is measured: launches and blocks of each scenario by effort, and their least time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents import wire
from agents.loop import block_size
from harness.scenarios import Scenario
from reports.sequential import QUICK, STANDARD, THOROUGH

TIMING: wire.Timing = {
    "block_iterations": 10,
    "block_ns": 15_000_000,
    "warmup_iterations": 50,
    "warmup_ns": 100_000_000,
    "warmup_cap_ns": 5_000_000_000,
    "answer_timeout_s": 120.0,
    "compile_timeout_s": 900.0,
}
COLD_STARTS = 4  # in a launch; each is a block of its own
MINUTE_S = 60.0
# Each cell is measured alone and for long, so few launches are affordable.
ALONE = (wire.SERVER, wire.SUSTAINED)


@dataclass(frozen=True)
class Effort:
    """How much each group is measured; README says what it costs."""

    launches: int  # at most: gates decided at an earlier look end their group there
    blocks: int
    server_launches: int
    sustained_launches: int

    def launches_of(self, scenario: str) -> int:
        """Return the launches of a group of a scenario."""
        alone = {wire.SERVER: self.server_launches, wire.SUSTAINED: self.sustained_launches}
        return alone.get(scenario, self.launches)


EFFORTS: Mapping[str, Effort] = {
    # The fewest launches that can decide a gate on p95: a first look, or a large effect.
    "quick": Effort(QUICK[-1], 10, 3, 1),
    # Tells 3% from nothing at p50.
    "standard": Effort(STANDARD[-1], 20, 5, 2),
    # Resolves small effects on a noisy board.
    "thorough": Effort(THOROUGH[-1], 20, 7, 3),
}


def on_the_wire(scenario: Scenario, effort: Effort) -> wire.Scenario:
    """Translate a scenario of a study into what the agent is told."""
    minutes, target = scenario.minutes, scenario.target_p99_ms
    streams = scenario.streams
    if scenario.name in (wire.SINGLE_STREAM, wire.COLD_START, wire.SUSTAINED):
        streams = 1
    queries = scenario.streams if scenario.name == wire.MULTI_STREAM else scenario.requests
    return {
        "streams": streams,
        "requests": queries or 1,
        "seconds": MINUTE_S * minutes if minutes else scenario.seconds or 0.0,
        "target_ns": round(target * 1e6) if target else None,
        "blocks": _blocks(scenario, effort),
    }


def _blocks(scenario: Scenario, effort: Effort) -> int:
    alone = {
        wire.COLD_START: COLD_STARTS,
        wire.SERVER: 0,
        wire.SUSTAINED: scenario.minutes or 0,
    }
    return alone.get(scenario.name, effort.blocks)


def samples_in_launch(name: str, scenario: wire.Scenario, sample_s: float) -> int:
    """Return the samples of one launch that count, when each takes so long.

    Of the scenarios that are measured in blocks; `sample_s` is that of an inference, or of a query
    of several.
    """
    if name == wire.COLD_START:
        return scenario["blocks"]
    return scenario["blocks"] * (block_size(round(sample_s * 1e9), TIMING) - 1)


def least_seconds(name: str, scenario: wire.Scenario, inference_s: float) -> float:
    """Return what one cell takes at least in one launch, were its process there at once.

    A query takes at least an inference; a cold start is all process.
    """
    if name == wire.COLD_START:
        return 0.0
    if name in ALONE:
        return scenario["seconds"]
    iterations = block_size(round(inference_s * 1e9), TIMING)
    warmup = max(TIMING["warmup_ns"] / 1e9, TIMING["warmup_iterations"] * inference_s)
    blocks = scenario["blocks"] * iterations * inference_s
    return min(warmup, TIMING["warmup_cap_ns"] / 1e9) + blocks
