"""How good each candidate is over the draws, and which one to choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.selection.table import Line
from reports.selection.wanted import SURE, Bools, Floats

Outcome = Literal["chosen", "provisional", "unknown", "none"]


@dataclass(frozen=True)
class Feasible:
    """P(every limit is kept): null where a limit is open, of which `at_most` leaves nothing in."""

    probability: float | None
    at_most: float

    @property
    def verdict(self) -> Literal["yes", "no", "undecided"]:
        if self.at_most <= 1 - SURE:
            return "no"
        return "yes" if self.probability is not None and self.probability >= SURE else "undecided"


@dataclass(frozen=True)
class Standing:
    """A candidate among the others: shares of all draws.

    `regret` is what it is expected to cost beyond the best of the same draw, relative. A draw
    counts 1 at most (twice the cost), and 1 if it breaks a limit: so nothing that is worse in every
    draw has less, and few units, whose draws have no mean, have one. Null where it has no cost.
    """

    best: float
    near: float  # within delta of the best
    regret: float | None


def feasible(line: Line, count: int) -> Feasible:
    """The probability that a candidate keeps all limits at once."""
    at_most = float(line.known(count).mean())
    return Feasible(None if line.open and at_most > 0 else at_most, at_most)


def known(lines: Sequence[Line], count: int) -> Bools:
    """Which candidates keep all that is known of their limits, [candidates, draws]."""
    return np.array([line.known(count) for line in lines]).reshape(-1, count)


def able(lines: Sequence[Line], count: int) -> Bools:
    """Which candidates may be chosen in which draws, [candidates, draws].

    Those with an open limit may not, unless there is no other: then as far as is known.
    """
    proven = np.array([line.proven(count) for line in lines]).reshape(-1, count)
    return proven if (proven.mean(axis=1) > 1 - SURE).any() else known(lines, count)


def standings(costs: Floats, feasible_in: Bools, delta: float) -> list[Standing]:
    """Where each stands, from its costs (logs) and the draws it is feasible in: [some, draws]."""
    if not costs.size:
        return []
    able_costs = np.where(feasible_in, costs, np.inf)
    lowest = able_costs.min(axis=0)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)  # where nothing is able, nothing is near
    return [
        _standing(able_costs[at] - lowest, delta, known=bool(np.isfinite(cost).any()))
        for at, cost in enumerate(costs)
    ]


def _standing(beyond: Floats, delta: float, known: bool) -> Standing:
    """From the log of its cost over the best's, infinite where it is not feasible."""
    regret = float(np.minimum(np.expm1(np.minimum(beyond, 1.0)), 1.0).mean())
    near = float((beyond <= math.log1p(delta)).mean())
    return Standing(float((beyond <= 0).mean()), near, regret if known else None)


def choose(
    found: Sequence[Feasible], stand: Sequence[Standing], among_all: Sequence[Standing]
) -> tuple[int | None, Outcome]:
    """The one to take, and how surely.

    Of those that surely keep every limit the one with the least expected regret. It is chosen if it
    is surely within delta of the best as well, also `among_all`, with those that may keep what is
    not known of them; else it is provisional. Where none surely keeps them, the likeliest to is
    provisional. It is unknown where something may keep them but has no cost.
    """
    able_ones = [at for at, each in enumerate(stand) if each.regret is not None]
    proven = [at for at in able_ones if found[at].verdict == "yes"]
    if proven:
        best = min(proven, key=lambda at: (stand[at].regret or 0.0, -stand[at].near))
        sure = min(stand[best].near, among_all[best].near) >= SURE
        return best, "chosen" if sure else "provisional"
    likely = [at for at in able_ones if found[at].verdict == "undecided"]
    if not likely:
        return None, "none" if all(each.verdict == "no" for each in found) else "unknown"
    return max(
        likely, key=lambda at: (found[at].at_most, -(stand[at].regret or 0.0))
    ), "provisional"
