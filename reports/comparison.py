"""Candidate against baseline of the same group, launch by launch: ratios, intervals and words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from agents import wire
from reports import stats
from reports.estimate import Estimate, Interval
from reports.families import is_twin
from reports.gates import METRICS, Launchwise, Ratios
from reports.index import Index, Taken
from reports.launchwise import log_ratios
from reports.multiplicity import DIFFERENCE_ALPHA, holm
from reports.run import CellRecord, GroupRecord
from reports.sequential import ESTIMATORS, STATISTICS, proof_above

Finding = Literal["faster", "slower", "same", "undecided"]
# A difference of exactly zero is never true, and interleaved runs of IDENTICAL models differ by
# under 1%: less than that is not called a difference.
FASTER_BELOW = 0.99
SLOWER_ABOVE = 1.01
# An interval wholly within this distance of 1 is too narrow to hide a difference that matters.
SAME_WITHIN = 0.05

RATIOS: Mapping[str, Launchwise] = {
    name: metric.launchwise
    for name, metric in METRICS.items()
    if metric.against_baseline and metric.launchwise
}
THROUGHPUT = "throughput_ratio"  # the one ratio that is above 1 for the faster side
# By the kind of a group: what its times are by.
CLOCKS = {"variant": "the runtime's own, else around the call", "runtime": "around the call"}
_SHARED = ("batch", "threads", "scenario")


def comparisons(found: Index) -> list[dict[str, Any]]:
    """Every candidate of every group against the group's baseline, in each metric."""
    rows = [row for record in found.run.groups for row in _group(found, record)]
    for metric in RATIOS:
        _correct([row for row in rows if row["metric"] == metric])
    return rows


def finding(interval: Interval | None) -> Finding:
    """What an interval of a ratio of times says in one word."""
    if interval is None:
        return "undecided"
    low, high = interval
    if high < FASTER_BELOW:
        return "faster"
    if low > SLOWER_ABOVE:
        return "slower"
    if low >= 1 - SAME_WITHIN and high <= 1 + SAME_WITHIN:
        return "same"
    return "undecided"


def _correct(rows: Sequence[dict[str, Any]]) -> None:
    """Take back the differences that chance explains among so many comparisons of one metric.

    Holm's procedure over all of them, two-sided: each direction may err in half of the share.
    """
    tested = [row for row in rows if row["p_slower"] is not None]
    adjusted = holm([min(1.0, 2 * min(row["p_slower"], row["p_faster"])) for row in tested])
    for row, p_value in zip(tested, adjusted, strict=True):
        if p_value > DIFFERENCE_ALPHA and row["finding"] in ("faster", "slower"):
            row["reason"] = f"{row['finding']} by itself, but not among {len(tested)} comparisons"
            row["finding"] = "undecided"


def to_baseline(compared: Sequence[Mapping[str, Any]]) -> Ratios:
    """The comparisons with baselines by device, candidate cell and metric."""
    return {
        (row["device"], row["candidate_cell"], row["metric"]): row
        for row in compared
        if row["kind"] == "variant"
    }


def _group(found: Index, record: GroupRecord) -> Iterator[dict[str, Any]]:
    group = record.group
    base = _base(found, record)
    baseline = found.cells.get((record.device, base))
    if baseline is None or _unsupported(found, baseline):
        return
    for cell_id in group["cells"]:
        candidate = found.cells.get((record.device, cell_id))
        if candidate is None or is_twin(found.run.study, candidate.cell["variant"]):
            continue
        if _unsupported(found, candidate):
            continue
        if cell_id != base:
            pairs = _matched(found, record, baseline, candidate)
            for metric in RATIOS:
                if candidate.cell["scenario"] in METRICS[metric].scenarios:
                    yield _compare(found, group, (baseline, candidate), pairs, metric)


def _unsupported(found: Index, record: CellRecord) -> bool:
    """Whether its evaluation has found that the device cannot run it: there is no comparison."""
    event = found.event(record)
    return event is not None and event["status"] == "unsupported"


def _base(found: Index, record: GroupRecord) -> str:
    """The cell that others are compared with: of runtimes the first with a launch that counts."""
    group, base = record.group, record.group["baseline"] or ""
    if group["kind"] == "variant" or not base:
        return base
    cells = ((each, found.cells.get((record.device, each))) for each in [base, *group["cells"]])
    ran = (each for each, cell in cells if cell and _good_launches(found, record, cell))
    return next(ran, base)


def _matched(
    found: Index, record: GroupRecord, baseline: CellRecord, candidate: CellRecord
) -> list[tuple[Taken, Taken]]:
    """The launches of this group in which both ran, by ordinal."""
    theirs = _good_launches(found, record, baseline)
    ours = _good_launches(found, record, candidate)
    return [(theirs[ordinal], ours[ordinal]) for ordinal in sorted(theirs.keys() & ours.keys())]


def _good_launches(found: Index, record: GroupRecord, cell: CellRecord) -> dict[int, Taken]:
    return {
        taken.record.ordinal: _around_call(taken) if record.group["kind"] == "runtime" else taken
        for taken in found.launches.get((cell.device, cell.cell["id"]), [])
        if taken.record.group == record.group["id"] and taken.counts
    }


def _around_call(taken: Taken) -> Taken:
    """A launch by the clock around the call, which every runtime has: some time themselves."""
    overhead_ms = (taken.launch["call_overhead_ns"] or 0) / stats.NS_PER_MS
    return replace(taken, samples=taken.samples + overhead_ms)


def launch_ratios(found: Index, device: str, candidate: str, of: Launchwise) -> list[float]:
    """Log ratios of a candidate to its baseline, one for each launch of their variant group."""
    for record in found.run.groups:
        group = record.group
        inside = record.device == device and candidate in group["cells"]
        if inside and group["kind"] == "variant" and group["baseline"]:
            sides = [found.cells[device, cell] for cell in (group["baseline"], candidate)]
            return log_ratios(found, _matched(found, record, *sides), of)
    return []


def beside(
    found: Index, baseline: CellRecord, candidate: CellRecord, metric: str
) -> dict[str, Any] | None:
    """Compare two cells of one group of variants, neither of them its baseline; null: no group."""
    together = paired(found, baseline, candidate)
    if together is None:
        return None
    return _compare(found, together[0], (baseline, candidate), together[1], metric)


def paired(
    found: Index, baseline: CellRecord, candidate: CellRecord
) -> tuple[wire.Group, list[tuple[Taken, Taken]]] | None:
    """The group of variants that two cells share and the launches in which both ran, or null."""
    ids = {baseline.cell["id"], candidate.cell["id"]}
    for record in found.run.groups:
        inside = record.device == candidate.device and ids <= set(record.group["cells"])
        if inside and record.group["kind"] == "variant":
            return record.group, _matched(found, record, baseline, candidate)
    return None


def _compare(
    found: Index,
    group: wire.Group,
    sides: tuple[CellRecord, CellRecord],
    pairs: Sequence[tuple[Taken, Taken]],
    metric: str,
) -> dict[str, Any]:
    baseline, candidate = sides
    logs = log_ratios(found, pairs, RATIOS[metric])
    estimate = ESTIMATORS[STATISTICS[RATIOS[metric]]](logs)
    if estimate.value is None:
        estimate = Estimate.missing(_why_no_ratio(baseline, candidate, pairs, RATIOS[metric]))
    return {
        "device": candidate.device,
        **_sides(group["kind"], baseline.cell, candidate.cell),
        "metric": metric,
        "clock": CLOCKS[group["kind"]],
        "ratio": estimate.value,
        "ci": list(estimate.interval) if estimate.interval else None,
        "launches": len(logs),
        "seconds": sum(ours.record.seconds for _, ours in pairs),
        "finding": finding(of_times(estimate.interval, metric)),
        **_proofs(logs, metric),
        "reason": estimate.reason,
        "group": group["id"],
        "baseline_cell": baseline.cell["id"],
        "candidate_cell": candidate.cell["id"],
    }


def of_times(interval: Interval | None, metric: str) -> Interval | None:
    """The interval of the ratio of times, which for throughput is the inverse."""
    if interval is None or metric != THROUGHPUT:
        return interval
    return 1 / interval[1], 1 / interval[0]


def settled_times(row: Mapping[str, Any]) -> Interval | None:
    """The interval of a ratio of times; it holds 1 unless a difference is confirmed."""
    interval = of_times(row["ci"] and (row["ci"][0], row["ci"][1]), row["metric"])
    if interval is None or row["finding"] in ("faster", "slower"):
        return interval
    return min(interval[0], 1.0), max(interval[1], 1.0)


def _proofs(logs: Sequence[float], metric: str) -> dict[str, float | None]:
    """One-sided p-values of "slower" and "faster", each by more than the 1% that is no difference.

    They are null without a launch; one alone proves nothing: 1.
    """
    if not logs:
        return {"p_slower": None, "p_faster": None}
    times = np.asarray(logs) * (-1 if metric == THROUGHPUT else 1)
    statistic = STATISTICS[RATIOS[metric]]
    return {
        "p_slower": proof_above(times, math.log(SLOWER_ABOVE), statistic),
        "p_faster": proof_above(-times, -math.log(FASTER_BELOW), statistic),
    }


def _sides(kind: str, baseline: wire.Cell, candidate: wire.Cell) -> dict[str, Any]:
    """The keys that say what is compared; for a kind "runtime" the sides are runtimes."""
    shared = {key: dict(candidate)[key] for key in _SHARED}
    side = "runtime" if kind == "runtime" else "variant"
    return {
        "kind": kind,
        "variant": candidate["variant"],
        "runtime": candidate["runtime"],
        "precision": candidate["precision"],
        **shared,
        "baseline": dict(baseline)[side],
        "candidate": dict(candidate)[side],
    }


def _why_no_ratio(
    baseline: CellRecord,
    candidate: CellRecord,
    pairs: Sequence[tuple[Taken, Taken]],
    of: Launchwise,
) -> str:
    if any(taken.switches is None for pair in pairs for taken in pair) and of in stats.UNPREEMPTED:
        return "preemptions were not counted"
    if pairs:
        return f"no launch holds enough samples of both for the {of.replace('_', ' ')}"
    for side, record in (("baseline", baseline), ("candidate", candidate)):
        if record.status != "ok":
            return f"the {side} is {record.status}: {record.reason or 'no reason was recorded'}"
    return "no launch in which both ran"
