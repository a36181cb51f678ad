"""How steady a cell's launches were, as the numbers that its row of results holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports import conditions, stats
from reports.index import Index, Taken
from reports.run import CellRecord
from reports.stats import NS_PER_MS
from reports.variance import split

NS_PER_US = 1e3
# Why a value of `noise_row` is null.
UNREAD: Mapping[str, str] = {
    "preempted_share": "no launch counted the preemptions of its samples",
    "run_delay_share": "the kernel does not count how long a process waits for a core",
    "steal_share": "the machine does not count stolen time",
    "pressure_share": "the kernel does not count CPU pressure",
    "clock_mhz": "the machine does not tell its clock",
    "temperature_c": "no temperature sensor was read",
    "call_overhead_us": "the runtime does not time its own call",
    "interleaved_share": "no launch counts",
}


def noise_row(found: Index, record: CellRecord, launches: Sequence[Taken]) -> dict[str, Any]:
    """What disturbed the launches that count, by the keys of UNREAD.

    Shares are 0..1, of samples, of measured time (run delay), of the launches' time (pressure),
    of that of all processors (steal), of launches; spans are [lowest, highest].
    """
    device = found.devices.get(record.device)
    cpus = int(device.facts.get("cpus") or 0) if device else 0
    around = [(taken.record.conditions, taken.record.seconds) for taken in launches]
    overheads = [ns for t in launches if (ns := t.launch["call_overhead_ns"]) is not None]
    return {
        "preempted_share": preempted_share(launches),
        "run_delay_share": run_delay_share(launches),
        "steal_share": _mean([conditions.steal_share(*pair, cpus) for pair in around]),
        "pressure_share": _mean([conditions.pressure_share(*pair) for pair in around]),
        "clock_mhz": _hull(
            [
                conditions.clock_mhz(spell, taken.launch["cpus"])
                for taken in launches
                for spell in conditions.spells(taken.record)
            ]
        ),
        "temperature_c": _hull(
            [conditions.temperature_c(s) for t in launches for s in conditions.spells(t.record)]
        ),
        "call_overhead_us": float(np.median(overheads)) / NS_PER_US if overheads else None,
        "interleaved_share": _mean([taken.record.interleaved for taken in launches]),
    }


def variance_row(launches: Sequence[Taken]) -> dict[str, Any] | str:
    """Where the variance of log time comes from, as shares, or why that is not known.

    `launch_sd` is the standard deviation of the launches' log p50, which is about a relative one:
    the intervals of this run are made of it.
    """
    found = split([taken.blocks for taken in launches])
    if isinstance(found, str):
        return found
    if found.shares is None:
        return "nothing varies"
    fewest = stats.SMALLEST_LAUNCH["p50"]
    medians = [stats.quantile(t.samples, "p50") for t in launches if t.samples.size >= fewest]
    spread = float(np.std(np.log(medians), ddof=1)) if len(medians) > 1 else None
    return {**found.shares, "launch_sd": spread, "truncated": list(found.truncated)}


def preempted_share(launches: Sequence[Taken]) -> float | None:
    """Share of the samples that count during which the process lost a core against its will."""
    counted = [taken.switches for taken in launches if taken.switches is not None]
    samples = sum(switches.size for switches in counted)
    return sum(int((switches > 0).sum()) for switches in counted) / samples if samples else None


def run_delay_share(launches: Sequence[Taken]) -> float | None:
    """Share of the time of all blocks in which the process was runnable but had no core."""
    waited = measured = 0
    for launch in (taken.launch for taken in launches):
        if launch["noise"] and launch["noise"]["run_delay_ns"] is not None:
            waited += launch["noise"]["run_delay_ns"]
            measured += sum(map(sum, launch["blocks"]))
    return waited / measured if measured else None


def call_overhead_share(launches: Sequence[Taken], overhead_us: float | None) -> float | None:
    """The overhead of a call over the median sample."""
    samples = [taken.samples for taken in launches if taken.samples.size]
    if overhead_us is None or not samples:
        return None
    median_ms = float(np.median(np.concatenate(samples)))
    return overhead_us * NS_PER_US / NS_PER_MS / median_ms if median_ms > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _hull(spans: Sequence[conditions.Span | None]) -> list[float] | None:
    known = [span for span in spans if span is not None]
    return [min(low for low, _ in known), max(high for _, high in known)] if known else None
