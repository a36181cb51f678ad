"""Whether the sets of robustness fit into their time: known from the dataset's own answers on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents import wire
from harness.foresight import time_of
from reports import families
from reports.run import Run


def too_long(run: Run, device: str, budget_s: float) -> str | None:
    """Say that a device's sets cannot all be run, and what would fit; null while they may.

    A sample is taken to last as it did in the dataset itself: corrupting it takes longer. It is
    said when the evaluations so far suffice to know, with what all are then expected to take.
    """
    silent = {
        record.cell["evaluation"]
        for record in run.cells
        if families.is_twin(run.study, record.cell["variant"])
    }
    events = [
        record.event
        for record in run.evaluations
        if record.device == device and record.event["evaluation"] not in silent
    ]
    good = [event for event in events if event["status"] == "ok"]
    spoiled_s, strange_s = (_seconds(good, kind) for kind in ("corruption", "ood"))
    if spoiled_s + strange_s <= budget_s:
        return None
    planned = {
        record.cell["evaluation"]
        for record in run.cells
        if record.device == device and record.status == "ok"
    } - silent
    more = (len(planned) - len(events) + len(good)) / len(good)  # times as many will answer
    taken = time_of(more * (spoiled_s + strange_s))
    left_s = budget_s - more * strange_s
    most = max((one["samples"] for one in _waiting(good, "corruption")), default=0)
    samples = int(most * left_s / (more * spoiled_s)) if spoiled_s else 0
    fewer = f"at most `samples: {samples}`, " if samples > 0 else ""
    return (
        f"robustness: its sets take about {taken} at the pace of the dataset, and the budget gives "
        f"them {time_of(budget_s)}, so not all will be run: take {fewer}fewer corruptions, "
        "severities or sets, or a longer budget"
    )


def _seconds(events: Sequence[wire.EvaluationEvent], kind: str) -> float:
    """Return what the sets of a kind that wait take at the pace of each one's clean set."""
    total = 0.0
    for event in events:
        samples = sum(one["samples"] for one in _waiting([event], kind))
        if samples:
            clean = event["sets"][0]
            total += samples * clean["seconds"] / clean["samples"]
    return total


def _waiting(events: Iterable[wire.EvaluationEvent], kind: str) -> list[wire.Scored]:
    return [
        one
        for event in events
        for one in event["sets"]
        if one["kind"] == kind and one["reason"] == wire.NOT_RUN
    ]
