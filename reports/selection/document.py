"""The JSON document of a selection, "edgeproof.selection/1": all that any form of it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.document import plain
from reports.gates import METRICS
from reports.selection import pareto
from reports.selection.advice import Matter, nearest, next_steps, sources
from reports.selection.candidates import Candidate, Session, candidates, cautions
from reports.selection.choice import Feasible, Standing, able, choose, feasible, known, standings
from reports.selection.draws import DRAWS, Drawing
from reports.selection.prices import turning_prices
from reports.selection.table import Line, table, weights
from reports.selection.wanted import (
    PRICE,
    SURE,
    WATTS,
    Bools,
    Floats,
    Wanted,
)

SCHEMA = "edgeproof.selection/1"


def build(
    sessions: Sequence[Session], hardware: Mapping[str, str], wanted: Wanted, draws: int = DRAWS
) -> dict[str, Any]:
    """The selection among what some runs measured; `hardware` names what each device is a board of.

    Plain JSON types only, no NaN.
    """
    every, lost = candidates(sessions, hardware)
    fitting, elsewhere = _fitting(every, wanted)
    drawing = Drawing(draws)
    views = [
        _view(fitting, wanted, name, prices, drawing) for name, prices in wanted.prices.items()
    ]
    first = views[0]
    boards = _boards(every, hardware)
    document = {
        "schema": SCHEMA,
        "runs": sorted(session.id for session in sessions),
        "unfinished": sorted(s.id for s in sessions if s.found.run.finished is None),
        "study": sessions[0].found.run.study.get("name"),
        "sure": SURE,
        "draws": draws,
        "delta": wanted.delta,
        "limits": [str(limit) for limit in wanted.limits],
        "objective": weights(wanted),
        "axes": wanted.fronts,
        "hardware": boards,
        **first.told(boards, wanted),
        "prices": {name: sources(prices) for name, prices in wanted.prices.items()},
        "watts": sources(wanted.watts),
        "scenarios": [view.summary() for view in views],
        "left_out": [*lost, *elsewhere],
    }
    plain_document: dict[str, Any] = plain(document)
    return plain_document


class _View:
    """The selection under one scenario of prices."""

    def __init__(self, name: str, lines: Sequence[Line], wanted: Wanted, count: int) -> None:
        self.name, self.lines, self.wanted, self.count = name, lines, wanted, count
        self.weights = weights(wanted)
        self.found = [feasible(line, count) for line in lines]
        self.able: Bools = able(lines, count)
        costs = [line.cost(self.weights, count) for line in lines]
        self.costs: Floats = np.array(costs).reshape(-1, count)
        self.stand = standings(self.costs, self.able, wanted.delta)
        self.among_all = standings(self.costs, known(lines, count), wanted.delta)
        self.chosen, self.outcome = choose(self.found, self.stand, self.among_all)

    def told(self, boards: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
        """All that is said of it."""
        matter = Matter(
            self.lines,
            self.found,
            self.costs,
            self.able,
            self.chosen,
            self.wanted.delta,
            list(self.weights),
        )
        fronts = self._front()
        rows = [
            _row(line, judged, stand, front, boards[line.candidate.hardware]["devices"])
            for line, judged, stand, front in zip(
                self.lines, self.found, self.stand, fronts, strict=True
            )
        ]
        chosen = None if self.chosen is None else rows[self.chosen]
        turns = (
            []
            if self.chosen is None
            else turning_prices(self.lines, wanted, self.weights, self.chosen, self.count)
        )
        settled = self.outcome == "chosen"
        return {
            "outcome": self.outcome,
            "choice": chosen,
            "candidates": rows,
            "turning_prices": turns,
            "next": [] if settled else next_steps(matter),
            "nearest": nearest(self.lines, self.found) if self.outcome == "none" else [],
        }

    def summary(self) -> dict[str, Any]:
        """The choice in this scenario in one row."""
        if self.chosen is None:
            return {"name": self.name, "outcome": self.outcome, "choice": None}
        at = self.chosen
        return {
            "name": self.name,
            "outcome": self.outcome,
            "choice": self.lines[at].candidate.named,
            "p_feasible": self.found[at].probability,
            "p_near": self.stand[at].near,
            "regret": self.stand[at].regret,
        }

    def _front(self) -> list[tuple[bool, float]]:
        """Which are on the front by their values, and how often over the draws."""
        axes, kept = self.wanted.fronts, np.flatnonzero(self.able.any(axis=1)).tolist()
        told = [(False, 0.0)] * len(self.lines)
        if not axes or not kept:
            return told
        used = min(pareto.FRONT_DRAWS, self.count)
        # What is not proven to break a limit takes part with its value.
        found = pareto.placed([self.lines[at] for at in kept], axes, self.able[kept, :used])
        for at, placed in zip(kept, found, strict=True):
            told[at] = placed
        return told


def _view(
    found: Sequence[Candidate],
    wanted: Wanted,
    name: str,
    prices: Mapping[str, Any],
    drawing: Drawing,
) -> _View:
    facts = {PRICE: prices, WATTS: wanted.watts}
    return _View(name, table(found, wanted, facts, drawing), wanted, drawing.count)


def _fitting(
    every: Sequence[Candidate], wanted: Wanted
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Those whose scenario measures every metric that is wanted, and the others."""
    fitting, others = [], []
    for candidate in every:
        scenario = candidate.named["scenario"]
        away = [
            name
            for name in wanted.metrics
            if name in METRICS and scenario not in METRICS[name].scenarios
        ]
        if away:
            reason = f"{scenario} does not measure {', '.join(away)}"
            member = candidate.members[0]
            place = {"device": member.device, "run": member.session.id}
            others.append({**candidate.named, **place, "reason": reason})
        else:
            fitting.append(candidate)
    return fitting, others


def _boards(every: Sequence[Candidate], hardware: Mapping[str, str]) -> dict[str, Any]:
    """The devices of each hardware, and the sessions in which something of it ran."""
    found: dict[str, Any] = {}
    for name in sorted(set(hardware.values())):
        devices = sorted(device for device, of in hardware.items() if of == name)
        mine = [each for each in every if each.hardware == name]
        runs = {member.session.id for each in mine for member in each.members}
        found[name] = {"devices": devices, "sessions": len(runs)}
    return found


def _row(
    line: Line, judged: Feasible, stand: Standing, front: tuple[bool, float], boards: Sequence[str]
) -> dict[str, Any]:
    candidate = line.candidate
    return {
        **candidate.named,
        "devices": candidate.devices,
        "level": candidate.level,
        "units": candidate.units,
        "feasible": judged.verdict,
        "p_feasible": judged.probability,
        "p_feasible_at_most": judged.at_most,
        "p_best": stand.best,
        "p_near": stand.near,
        "regret": stand.regret,
        "on_front": front[0],
        "p_front": front[1],
        "limits": [_limit(str(limit), limit.metric, kept) for limit, kept in line.keeps],
        "values": {name: _value(line, name) for name in line.doubts},
        "open": line.open,
        "cautions": list(cautions(candidate, len(boards))),
    }


def _limit(name: str, metric: str, kept: Bools | str) -> dict[str, Any]:
    open_for = kept if isinstance(kept, str) else None
    probability = None if isinstance(kept, str) else float(kept.mean())
    return {"limit": name, "metric": metric, "probability": probability, "reason": open_for}


def _value(line: Line, name: str) -> dict[str, Any]:
    estimate = line.doubts[name].estimate
    return {
        "value": estimate.value,
        "ci": list(estimate.interval) if estimate.interval else None,
        "reason": estimate.reason,
    }
