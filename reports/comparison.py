"""Candidate against baseline of the same group, launch by launch: ratios, intervals and words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from agents import wire
from reports.estimate import Estimate, Interval
from reports.index import Index, Taken
from reports.run import CellRecord, GroupRecord
from reports.stats import log_ratio, signed_rank_ratio, t_ratio

Finding = Literal["faster", "slower", "same", "undecided"]
# A difference of exactly zero is never true, and interleaved runs of IDENTICAL models differ by
# under 1%: less than that is not called a difference.
FASTER_BELOW = 0.99
SLOWER_ABOVE = 1.01
# An interval wholly within this distance of 1 is too narrow to hide a difference that matters.
SAME_WITHIN = 0.05

RATIOS: Mapping[str, tuple[str, Callable[[Sequence[float]], Estimate]]] = {
    "latency_p50_ratio": ("p50", t_ratio),
    "latency_p95_ratio": ("p95", signed_rank_ratio),
}
_SHARED = ("batch", "threads", "scenario")


def comparisons(found: Index) -> list[dict[str, Any]]:
    """Every candidate of every group against the group's baseline, in each metric."""
    return [row for record in found.run.groups for row in _group(found, record)]


def finding(interval: Interval | None) -> Finding:
    """What an interval of a latency ratio says in one word."""
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


def _group(found: Index, record: GroupRecord) -> Iterator[dict[str, Any]]:
    group = record.group
    baseline = found.cells.get((record.device, group["baseline"] or ""))
    if baseline is None:
        return
    for cell_id in group["cells"]:
        candidate = found.cells.get((record.device, cell_id))
        if candidate is not None and cell_id != group["baseline"]:
            pairs = _matched(found, record, baseline, candidate)
            for metric in RATIOS:
                yield _compare(group, baseline, candidate, pairs, metric)


def _matched(
    found: Index, record: GroupRecord, baseline: CellRecord, candidate: CellRecord
) -> list[tuple[Taken, Taken]]:
    """The launches of this group in which both ran, by ordinal."""
    theirs = _good_launches(found, record, baseline)
    ours = _good_launches(found, record, candidate)
    return [(theirs[ordinal], ours[ordinal]) for ordinal in sorted(theirs.keys() & ours.keys())]


def _good_launches(found: Index, record: GroupRecord, cell: CellRecord) -> dict[int, Taken]:
    return {
        taken.record.ordinal: taken
        for taken in found.launches.get((cell.device, cell.cell["id"]), [])
        if taken.record.group == record.group["id"] and taken.launch["status"] == "ok"
    }


def launch_ratios(found: Index, device: str, candidate: str, quantile: str) -> list[float]:
    """Log ratios of a candidate to its baseline, one for each launch of their variant group."""
    for record in found.run.groups:
        group = record.group
        inside = record.device == device and candidate in group["cells"]
        if inside and group["kind"] == "variant" and group["baseline"]:
            sides = [found.cells[device, cell] for cell in (group["baseline"], candidate)]
            return _log_ratios(_matched(found, record, *sides), quantile)
    return []


def _log_ratios(pairs: Sequence[tuple[Taken, Taken]], quantile: str) -> list[float]:
    logs = [log_ratio(ours.samples, theirs.samples, quantile) for theirs, ours in pairs]
    return [value for value in logs if value is not None]


def _compare(
    group: wire.Group,
    baseline: CellRecord,
    candidate: CellRecord,
    pairs: Sequence[tuple[Taken, Taken]],
    metric: str,
) -> dict[str, Any]:
    name, estimator = RATIOS[metric]
    usable = _log_ratios(pairs, name)
    estimate = estimator(usable)
    if estimate.value is None:
        estimate = Estimate.missing(_why_no_ratio(baseline, candidate, pairs, name))
    return {
        "device": candidate.device,
        **_sides(group["kind"], baseline.cell, candidate.cell),
        "metric": metric,
        "ratio": estimate.value,
        "ci": list(estimate.interval) if estimate.interval else None,
        "launches": len(usable),
        "seconds": sum(ours.record.seconds for _, ours in pairs),
        "finding": finding(estimate.interval),
        "reason": estimate.reason,
        "group": group["id"],
        "baseline_cell": baseline.cell["id"],
        "candidate_cell": candidate.cell["id"],
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
    baseline: CellRecord, candidate: CellRecord, pairs: Sequence[tuple[Taken, Taken]], name: str
) -> str:
    if pairs:
        return f"no launch holds enough samples of both for a {name}"
    for side, record in (("baseline", baseline), ("candidate", candidate)):
        if record.status != "ok":
            return f"the {side} is {record.status}: {record.reason or 'no reason was recorded'}"
    return "no launch in which both ran"
