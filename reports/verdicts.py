"""Every gate asked of every cell: pass, fail or inconclusive, with the errors held over all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports import sequential, stats
from reports.comparison import launch_ratios
from reports.estimate import Estimate
from reports.gates import METRICS, Limit, Outcome, Ratios, Row, judge, limits
from reports.index import Index, index
from reports.multiplicity import settle
from reports.power import prescribe
from reports.run import CellRecord, Run
from reports.sequential import Decision, Looks, Rule

LOOKS: Mapping[str, Looks] = {
    "quick": sequential.QUICK,
    "standard": sequential.STANDARD,
    "thorough": sequential.THOROUGH,
}
KEYS = ("variant", "runtime", "precision_requested", "batch", "threads", "scenario", "cell")


@dataclass(frozen=True)
class Question:
    """One gate asked of one cell; a question about a latency quantile has its launches."""

    limit: Limit
    row: Row
    values: Sequence[float] | None = None  # log ratios or log ms, one a launch, in order
    rule: Rule | None = None

    def decision(self) -> Decision | None:
        """What the launches say so far; null for other metrics and without a launch."""
        if self.rule is None or not self.values:
            return None
        return sequential.decide(self.values, self.rule)


def questions(found: Index, rows: Sequence[Row], baseline: str, effort: str) -> list[Question]:
    """Every gate asked of every cell that there can be.

    A variant without a file for a runtime is no cell of it. The baseline has no ratio to itself.
    """
    asked = [
        Question(limit, row)
        for limit in limits(found.run.study.get("gates") or [])
        for row in rows
        if row["artifact"]
        and not (METRICS[limit.metric].against_baseline and row["variant"] == baseline)
    ]
    counted = sum(METRICS[question.limit.metric].quantile is not None for question in asked)
    return [_with_launches(found, question, LOOKS[effort], counted) for question in asked]


def _with_launches(found: Index, question: Question, looks: Looks, gates: int) -> Question:
    limit, row = question.limit, question.row
    metric = METRICS[limit.metric]
    if metric.quantile is None or row["status"] != "ok":
        return question
    if metric.against_baseline:
        values = launch_ratios(found, row["device"], row["cell"], metric.quantile)
        rule = sequential.ratio_rule(limit.value, metric.quantile, looks, limit.bound, gates)
    else:
        values = _launch_logs(found, row, metric.quantile)
        rule = sequential.absolute_rule(limit.value, metric.quantile, looks, limit.bound, gates)
    return replace(question, values=values, rule=rule)


def _launch_logs(found: Index, row: Row, quantile: str) -> list[float]:
    """Logs of a quantile in ms, one for each launch that holds enough samples for it."""
    fewest = stats.SMALLEST_LAUNCH[quantile]
    return [
        math.log(stats.quantile(taken.samples, quantile))
        for taken in found.launches.get((row["device"], row["cell"]), [])
        if taken.launch["status"] == "ok" and taken.samples.size >= fewest
    ]


def verdicts(
    found: Index, rows: Sequence[Row], compared: Sequence[Row], baseline: str
) -> list[dict[str, Any]]:
    """The verdicts of a run, by gate and device; a gate that found no cell is inconclusive."""
    measure = found.run.study.get("measure") or {}
    asked = questions(found, rows, baseline, measure.get("effort", "standard"))
    decisions = _settled(asked)
    ratios: Ratios = {
        (row["device"], row["candidate_cell"], row["metric"]): row
        for row in compared
        if row["kind"] == "variant"
    }
    told = []
    for limit in limits(found.run.study.get("gates") or []):
        for device in found.devices:
            mine = [
                at
                for at, question in enumerate(asked)
                if question.limit == limit and question.row["device"] == device
            ]
            told += [_verdict(asked[at], decisions.get(at), ratios) for at in mine]
            if not mine:
                told.append(_nobody(limit, device))
    return told


def _settled(asked: Sequence[Question]) -> dict[int, Decision]:
    """The decisions on all latency gates of the run, by position, corrected for their number."""
    made = {at: question.decision() for at, question in enumerate(asked)}
    decided = {at: decision for at, decision in made.items() if decision is not None}
    return dict(zip(decided, settle(list(decided.values())), strict=True))


def _verdict(question: Question, decision: Decision | None, ratios: Ratios) -> dict[str, Any]:
    limit, row = question.limit, question.row
    metric = METRICS[limit.metric]
    estimate = metric.read(row, ratios)
    if row["status"] != "ok":
        outcome: Outcome = "inconclusive"
        reason = f"{row['status']}: {row['reason']}"
    elif decision is not None and decision.verdict != "continue":
        estimate, outcome = decision.estimate, decision.verdict
        reason = decision.reason + _advice(question, decision)
    else:
        outcome, reason = judge(estimate, limit, metric.noisy)
        if metric.quantile is not None and outcome != "inconclusive":
            outcome, reason = "inconclusive", "no launch holds enough samples"
    return _row(limit, row["device"], row, estimate, outcome, reason)


def _advice(question: Question, decision: Decision) -> str:
    """What an inconclusive gate would have taken."""
    if decision.verdict != "inconclusive" or question.rule is None or question.values is None:
        return ""
    prescription = prescribe(question.values, question.rule)
    return f"; {prescription.reason}" if prescription else ""


def _nobody(limit: Limit, device: str) -> dict[str, Any]:
    reason = "no cell on this device that the gate could judge"
    return _row(limit, device, {}, Estimate.missing(reason), "inconclusive", reason)


def _row(
    limit: Limit, device: str, row: Row, estimate: Estimate, outcome: Outcome, reason: str
) -> dict[str, Any]:
    return {
        "gate": str(limit),
        "metric": limit.metric,
        "bound": limit.bound,
        "unit": METRICS[limit.metric].unit,
        "device": device,
        **{key: row.get(key) for key in KEYS},
        "value": estimate.value,
        "ci": list(estimate.interval) if estimate.interval else None,
        "limit": limit.value,
        "verdict": outcome,
        "reason": reason,
    }


def is_decided(run: Run, device: str, group: str) -> bool:
    """Whether every latency gate on the cells of a group has its verdict; false without gates.

    Then more launches of the group would change nothing: it has been measured enough.
    """
    found = index(run)
    cells = {
        cell
        for record in run.groups
        if record.device == device and record.group["id"] == group
        for cell in record.group["cells"]
    }
    effort = (run.study.get("measure") or {}).get("effort", "standard")
    rows = [_bare_row(found, record) for record in run.cells]
    asked = [
        question
        for question in questions(found, rows, str(run.study.get("baseline", "")), effort)
        if question.row["device"] == device
        and question.row["cell"] in cells
        and METRICS[question.limit.metric].quantile
    ]
    decisions = [question.decision() for question in asked]
    return bool(asked) and all(made and made.verdict != "continue" for made in decisions)


def _bare_row(found: Index, record: CellRecord) -> Row:
    """What a question about latency needs of a cell's row."""
    launches = found.launches.get((record.device, record.cell["id"]), [])
    good = any(taken.launch["status"] == "ok" for taken in launches)
    return {
        "device": record.device,
        "cell": record.cell["id"],
        "variant": record.cell["variant"],
        "artifact": record.cell["artifact"],
        "status": "ok" if good else "invalid",
    }
