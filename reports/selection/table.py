"""All draws of all candidates: what each costs by the objective, and which limits it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.estimate import Estimate
from reports.gates import Limit
from reports.selection.candidates import Candidate
from reports.selection.draws import Doubt, Drawing
from reports.selection.wanted import PRICE, WATTS, Bools, Declared, Floats, Wanted, badness, within

Facts = Mapping[str, Mapping[str, Declared]]  # price_usd or watts -> hardware -> what it is


@dataclass(frozen=True)
class Line:
    """One candidate: its metrics, their draws, and which draws keep each limit.

    Where nothing can be said of a limit for sure, it has the reason instead.
    """

    candidate: Candidate
    doubts: Mapping[str, Doubt]
    draws: Mapping[str, Floats | None]
    keeps: Sequence[tuple[Limit, Bools | str]]

    @property
    def open(self) -> dict[str, str]:
        """The limits of which nothing can be said for sure, and why."""
        return {str(limit): kept for limit, kept in self.keeps if isinstance(kept, str)}

    def known(self, count: int, without: str | None = None) -> Bools:
        """The draws [count] that keep every limit of which something is known."""
        found = np.ones(count, dtype=np.bool_)
        for limit, kept in self.keeps:
            if not isinstance(kept, str) and limit.metric != without:
                found &= kept
        return found

    def proven(self, count: int, without: str | None = None) -> Bools:
        """The same, but no draw at all where a limit is open."""
        if any(isinstance(kept, str) and limit.metric != without for limit, kept in self.keeps):
            return np.zeros(count, dtype=np.bool_)
        return self.known(count, without)

    def cost(self, weights: Mapping[str, float], count: int) -> Floats:
        """The weighted badness [count]; infinite where a metric of the objective is unknown."""
        total = np.zeros(count)
        for metric, weight in weights.items():
            drawn = self.draws[metric]
            if drawn is None:
                return np.full(count, np.inf)
            total += weight * badness(metric, drawn)
        return np.where(np.isnan(total), np.inf, total)


def table(found: Sequence[Candidate], wanted: Wanted, facts: Facts, drawing: Drawing) -> list[Line]:
    """A line for each candidate; the metrics are those that are wanted."""
    return [_line(candidate, wanted, facts, drawing) for candidate in found]


def weights(wanted: Wanted) -> dict[str, float]:
    """The objective's weights as shares of 1, so that a cost twice as high is a ratio of 2."""
    total = sum(wanted.objective.values())
    return {metric: weight / total for metric, weight in wanted.objective.items()}


def _line(candidate: Candidate, wanted: Wanted, facts: Facts, drawing: Drawing) -> Line:
    doubts = {name: _doubt(candidate, name, facts) for name in wanted.metrics}
    place = f"{candidate.hardware}/{candidate.level}"
    draws = {
        name: drawing.of(place, candidate.variant, candidate.key, name, doubt)
        for name, doubt in doubts.items()
    }
    keeps = [
        (limit, _keeps(limit, doubts[limit.metric], draws[limit.metric], candidate, facts))
        for limit in wanted.limits
    ]
    return Line(candidate, doubts, draws, keeps)


def _doubt(candidate: Candidate, name: str, facts: Facts) -> Doubt:
    if name not in (PRICE, WATTS):
        return candidate.doubt(name)
    declared = facts[name].get(candidate.hardware, Declared(None, "nobody says"))
    if declared.value is None:
        return Doubt(Estimate.missing(declared.source))
    return Doubt(Estimate(declared.value, None, declared.source), exact=True)


def _keeps(
    limit: Limit, doubt: Doubt, drawn: Floats | None, candidate: Candidate, facts: Facts
) -> Bools | str:
    if drawn is None:
        return doubt.open or "not measured"
    declared = facts.get(limit.metric, {}).get(candidate.hardware)
    kept = within(limit, drawn)
    if declared and declared.at_most and (limit.bound == "min" or not kept.all()):
        return f"at most {declared.value:g}, but how much is not known ({declared.source})"
    return kept
