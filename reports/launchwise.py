"""What one launch says: which launches speak for a cell, and what each gives as a value."""

from __future__ import annotations

import math
from collections.abc import Iterable

from reports import stats
from reports.gates import Launchwise
from reports.index import Index, Taken
from reports.scenarios import inputs


def of_cell(found: Index, device: str, cell: str) -> list[Taken]:
    """All launches that speak for a cell by itself: those of its variant group.

    In a group of runtimes it is measured a second time, beside other neighbours; that serves the
    comparison of the runtimes alone.
    """
    runtimes = {
        record.group["id"]
        for record in found.run.groups
        if record.device == device and record.group["kind"] == "runtime"
    }
    launches = found.launches.get((device, cell), [])
    return [taken for taken in launches if taken.record.group not in runtimes]


def value(found: Index, taken: Taken, of: Launchwise) -> float | None:
    """A quantile in ms or the throughput in inputs a second; None where too little was measured."""
    if of == "throughput":
        return throughput(found, [taken])
    samples = taken.samples if of in stats.QUANTILES else _unpreempted(taken)
    name = stats.UNPREEMPTED.get(of, of)
    return stats.quantile(samples, name) if samples.size >= stats.SMALLEST_LAUNCH[name] else None


def throughput(found: Index, launches: Iterable[Taken]) -> float | None:
    """Inputs a second over all samples of a cell's launches, without the pauses between them."""
    seconds, total = 0.0, 0
    for taken in launches:
        cell = found.cells[taken.record.device, taken.launch["cell"]].cell
        each = inputs(found.run.study, cell, taken.launch)
        if each is None:
            return None
        seconds += float(taken.samples.sum()) / 1e3
        total += each * taken.samples.size
    return total / seconds if seconds > 0 else None


def logs(found: Index, launches: Iterable[Taken], of: Launchwise) -> list[float]:
    """The log of the value of each launch that counts and has one, in order."""
    values = [value(found, taken, of) for taken in launches if taken.counts]
    return [math.log(each) for each in values if each]


def log_ratios(found: Index, pairs: Iterable[tuple[Taken, Taken]], of: Launchwise) -> list[float]:
    """The log of candidate over baseline of each pair (baseline, candidate) with both values."""
    both = [(value(found, ours, of), value(found, theirs, of)) for theirs, ours in pairs]
    return [math.log(ours / theirs) for ours, theirs in both if ours and theirs]


def _unpreempted(taken: Taken) -> stats.Samples:
    """The undisturbed samples of a launch; none where nobody counted the preemptions."""
    if taken.switches is None:
        return taken.samples[:0]
    return stats.unpreempted(taken.samples, taken.switches)
