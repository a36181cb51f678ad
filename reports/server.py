"""The server scenario: the highest rate of random arrivals at which p99 keeps its target."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from agents import wire
from reports import stats
from reports.estimate import Estimate
from reports.text import number


def held_rate(launches: Sequence[Sequence[wire.Trial]], target_ms: float) -> Estimate:
    """The median over launches of the highest rate that each held, requests a second.

    A launch that held none has no place in a median; so one such launch leaves no value at all.
    """
    rates = [highest_held(trials, target_ms) for trials in launches]
    lost = [trials for trials, rate in zip(launches, rates, strict=True) if rate is None]
    if lost:
        where = f"in {len(lost)} of {len(launches)} launches: " if len(launches) > 1 else ""
        return Estimate.missing(where + _nearest_miss(lost, target_ms))
    held = [rate for rate in rates if rate is not None]
    return stats.median_of_launches(held, "a rate that it held")


def highest_held(trials: Sequence[wire.Trial], target_ms: float) -> float | None:
    """The highest rate that held the target and lies below every one that missed it.

    A rate with fewer requests than its p99 needs has not shown that it holds: it counts as missed,
    as it did if the agent gave it up because too many requests were late.
    """
    held: list[float] = []
    missed = [math.inf]
    for trial in trials:
        p99 = _quantile([trial], "p99")
        holds = p99 is not None and p99 <= target_ms
        (held if holds else missed).append(trial["rate"])
    return max((rate for rate in held if rate < min(missed)), default=None)


def tried(launches: Iterable[Sequence[wire.Trial]], target_ms: float) -> list[dict[str, Any]]:
    """One row for each rate tried, over all launches: p50 and p99 in ms, requests, late ones."""
    by_rate: dict[float, list[wire.Trial]] = defaultdict(list)
    for trial in (trial for trials in launches for trial in trials):
        by_rate[trial["rate"]].append(trial)
    return [
        {
            "rate": rate,
            "p50_ms": _quantile(trials, "p50"),
            "p99_ms": _quantile(trials, "p99"),
            "requests": sum(len(trial["latencies_ns"]) for trial in trials),
            "late": sum(
                ns > target_ms * stats.NS_PER_MS for trial in trials for ns in trial["latencies_ns"]
            ),
            "launches": len(trials),
        }
        for rate, trials in sorted(by_rate.items())
    ]


def _quantile(trials: Sequence[wire.Trial], name: str) -> float | None:
    samples = [np.asarray(trial["latencies_ns"], dtype=np.float64) for trial in trials]
    return stats.pooled_quantile([part / stats.NS_PER_MS for part in samples], name).value


def _nearest_miss(launches: Sequence[Sequence[wire.Trial]], target_ms: float) -> str:
    rates = tried(launches, target_ms)
    if not rates:
        return "no rate was tried"
    lowest, target = rates[0], f"the target is {number(target_ms)} ms"
    where = f"at the lowest rate tried, {number(lowest['rate'])}/s"
    if lowest["p99_ms"] is not None:
        return f"p99 {number(lowest['p99_ms'])} ms {where}; {target}"
    answered = f"{lowest['late']} of {lowest['requests']} requests were late {where}"
    return f"{answered}; {target}, and p99 needs {stats.SMALLEST_SAMPLE['p99']} requests"
