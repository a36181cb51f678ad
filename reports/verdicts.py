"""Every gate asked of every cell: pass, fail or inconclusive, with the errors held over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents import wire
from reports import launchwise, sample_size, sequential
from reports.comparison import launch_ratios, to_baseline
from reports.estimate import Estimate
from reports.families import baseline_of, is_origin, is_twin
from reports.gates import METRICS, Limit, Outcome, Ratios, Row, judge, limits
from reports.index import Index, index
from reports.multiplicity import holm, proof_beyond, settle
from reports.power import prescribe
from reports.run import CellRecord, Run
from reports.sequential import Decision, Looks, Rule
from reports.text import counted
from reports.waivers import Waiver, ceiling, in_force, waiver_of

LOOKS: Mapping[str, Looks] = {
    "quick": sequential.QUICK,
    "standard": sequential.STANDARD,
    "thorough": sequential.THOROUGH,
}
KEYS = ("variant", "runtime", "precision_requested", "batch", "threads", "scenario", "cell")


@dataclass(frozen=True)
class Question:
    """One gate asked of one cell; one that is decided at looks has its launches."""

    gate: Limit
    row: Row
    waiver: Waiver | None = None  # of this gate for this cell
    waived: bool = False  # whether the waiver is in force
    values: Sequence[float] | None = None  # log ratios or log values, one a launch, in order
    rule: Rule | None = None

    @property
    def limit(self) -> Limit:
        """What the cell is held to: the gate's limit, or the ceiling of its waiver."""
        return ceiling(self.gate, self.waiver) if self.waiver and self.waived else self.gate

    @property
    def looked_at(self) -> bool:
        """Whether launches decide it at looks; a sustained load lasts too long for so many."""
        launchwise_metric = METRICS[self.gate.metric].launchwise is not None
        return launchwise_metric and self.row["scenario"] != wire.SUSTAINED

    @property
    def by_interval(self) -> bool:
        """Whether its 95% interval decides it."""
        return METRICS[self.gate.metric].noisy and not self.looked_at and self.row["status"] == "ok"

    def read(self, ratios: Ratios) -> Estimate:
        """The value that its cell has."""
        return METRICS[self.gate.metric].read(self.row, ratios)

    def decision(self) -> Decision | None:
        """What the launches say so far; null for other metrics and without a launch."""
        if self.rule is None or not self.values:
            return None
        return sequential.decide(self.values, self.rule)


def questions(found: Index, rows: Sequence[Row], effort: str) -> list[Question]:
    """Every gate asked of every cell that there can be.

    A variant without a file for a runtime is no cell of it. The baseline has no ratio to itself,
    and what it stems from need not be as good.
    A metric of other scenarios is no question. Nothing is asked of twins.
    """
    asked = [
        _question(found, limit, row)
        for limit in limits(found.run.study.get("gates") or [])
        for row in rows
        if row["artifact"]
        and not is_twin(found.run.study, row["variant"])
        and limit.asks(row["scenario"])
        and not (METRICS[limit.metric].against_baseline and _is_compared_with(found, row))
    ]
    counted = sum(question.looked_at for question in asked)
    return [_with_launches(found, question, LOOKS[effort], counted) for question in asked]


def _question(found: Index, gate: Limit, row: Row) -> Question:
    device: str = row["device"]
    cell = found.cells[device, row["cell"]].cell
    waiver = waiver_of(found.run.study, gate, device, cell)
    waived = waiver is not None and in_force(waiver, found.run.started)
    return Question(gate, row, waiver, waived)


def _is_compared_with(found: Index, row: Row) -> bool:
    study, variant = found.run.study, str(row["variant"])
    return baseline_of(study, variant) == variant or is_origin(study, variant)


def _with_launches(found: Index, question: Question, looks: Looks, gates: int) -> Question:
    limit, row = question.limit, question.row
    of = METRICS[limit.metric].launchwise
    if of is None or not question.looked_at or row["status"] != "ok":
        return question
    if METRICS[limit.metric].against_baseline:
        values = launch_ratios(found, row["device"], row["cell"], of)
        rule = sequential.ratio_rule(limit.value, of, looks, limit.bound, gates)
    else:
        launches = launchwise.of_cell(found, row["device"], row["cell"])
        values = launchwise.logs(found, launches, of)
        rule = sequential.absolute_rule(limit.value, of, looks, limit.bound, gates)
    return replace(question, values=values, rule=rule)


def verdicts(found: Index, rows: Sequence[Row], compared: Sequence[Row]) -> list[dict[str, Any]]:
    """The verdicts of a run, by gate and device; a gate that found no cell is inconclusive."""
    measure = found.run.study.get("measure") or {}
    asked = questions(found, rows, measure.get("effort", "standard"))
    decisions = _settled(asked)
    ratios = to_baseline(compared)
    chance = _by_chance(asked, ratios)
    told = []
    for limit in limits(found.run.study.get("gates") or []):
        for device in found.devices:
            mine = [
                at
                for at, question in enumerate(asked)
                if question.gate == limit and question.row["device"] == device
            ]
            told += [_verdict(asked[at], decisions.get(at), ratios, chance.get(at)) for at in mine]
            if not mine:
                told.append(_nobody(limit, device))
    return told


def _settled(asked: Sequence[Question]) -> dict[int, Decision]:
    """The decisions made at looks, by position, corrected for the number of their gates."""
    made = {at: question.decision() for at, question in enumerate(asked)}
    decided = {at: decision for at, decision in made.items() if decision is not None}
    return dict(zip(decided, settle(list(decided.values())), strict=True))


def _by_chance(asked: Sequence[Question], ratios: Ratios) -> dict[int, int]:
    """Of gates that go by an interval those whose fail so many gates explain, by position."""
    p_values = {
        at: proof_beyond(one.read(ratios), one.limit, one.row["launches"])
        for at, one in enumerate(asked)
        if one.by_interval
    }
    adjusted = zip(p_values, holm(list(p_values.values())), strict=True)
    return {at: len(p_values) for at, p_value in adjusted if p_value > sequential.ALPHA}


def _verdict(
    question: Question, decision: Decision | None, ratios: Ratios, by_chance: int | None
) -> dict[str, Any]:
    limit, row = question.limit, question.row
    metric = METRICS[limit.metric]
    estimate, advice = question.read(ratios), None
    if row["status"] != "ok":
        outcome: Outcome = "inconclusive"
        reason = f"{row['status']}: {row['reason']}"
    elif decision is not None and decision.verdict != "continue":
        estimate, outcome = decision.estimate, decision.verdict
        reason, advice = decision.reason, _advice(question, decision)
    else:
        outcome, reason = judge(estimate, limit, metric.noisy)
        if outcome == "fail" and by_chance:
            outcome = "inconclusive"
            reason = f"beyond the limit by itself, but not for {counted(by_chance, 'gate')} at once"
        if question.looked_at and outcome != "inconclusive":
            outcome, reason = "inconclusive", "no launch holds enough samples"
        if outcome == "inconclusive":
            advice = sample_size.prescribe(estimate, limit, row, by_chance or 1)
    told = f"{reason}; {advice}" if advice else reason
    judged = _row(question.gate, row["device"], row, estimate, outcome, told)
    return judged | {"limit": limit.value, "prescription": advice, "waiver": _waiver(question)}


def _waiver(question: Question) -> dict[str, Any] | None:
    """What is told of a waiver: its ceiling, why, until when, and whether it held for this run."""
    if question.waiver is None:
        return None
    return {
        "ceiling": ceiling(question.gate, question.waiver).value,
        **{key: question.waiver[key] for key in ("expires", "reason", "issue")},
        "in_force": question.waived,
    }


def _advice(question: Question, decision: Decision) -> str | None:
    """What an inconclusive gate would have taken."""
    if decision.verdict != "inconclusive" or question.rule is None or question.values is None:
        return None
    prescription = prescribe(question.values, question.rule)
    return prescription.reason if prescription else None


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
        "prescription": None,
        "waiver": None,
    }


def is_decided(run: Run, device: str, group: str) -> bool:
    """Whether every gate on the cells of a group that is decided at looks has its verdict.

    Then more launches of the group would change nothing: it has been measured enough. False without
    such gates, as in a group of runtimes: its launches are for comparison, and gates have others.
    """
    found = index(run)
    cells = {
        cell
        for record in run.groups
        if record.device == device and record.group["id"] == group
        if record.group["kind"] == "variant"
        for cell in record.group["cells"]
    }
    effort = (run.study.get("measure") or {}).get("effort", "standard")
    rows = [_bare_row(found, record) for record in run.cells]
    asked = [
        question
        for question in questions(found, rows, effort)
        if question.row["device"] == device and question.row["cell"] in cells and question.looked_at
    ]
    decisions = [question.decision() for question in asked]
    return bool(asked) and all(made and made.verdict != "continue" for made in decisions)


def _bare_row(found: Index, record: CellRecord) -> Row:
    """What a question that is decided at looks needs of a cell's row."""
    launches = launchwise.of_cell(found, record.device, record.cell["id"])
    return {
        "device": record.device,
        "cell": record.cell["id"],
        "variant": record.cell["variant"],
        "artifact": record.cell["artifact"],
        "scenario": record.cell["scenario"],
        "status": "ok" if any(taken.counts for taken in launches) else "invalid",
    }
