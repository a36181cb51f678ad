"""What to measure next to decide, and by what the nearest misses miss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from reports.gates import METRICS, Limit
from reports.power import MOST_LAUNCHES, POWER
from reports.sample_size import prescribe
from reports.selection.choice import Feasible
from reports.selection.draws import Doubt
from reports.selection.table import Line
from reports.selection.wanted import ENERGY, PRICE, SURE, WATTS, Bools, Floats, excess, unit
from reports.text import counted

MOST_NEXT = 8
WORTH_MEASURING = 0.01  # less likely to change the choice than this is not advised
_SAMPLED = ("accuracy_", "calibration_")


@dataclass(frozen=True)
class Matter:
    """All that advice goes by: the lines, how they stand, and the choice so far."""

    lines: Sequence[Line]
    found: Sequence[Feasible]
    costs: Floats  # [lines, draws]
    able: Bools  # [lines, draws]
    chosen: int | None
    delta: float
    objective: Sequence[str]

    def chance(self, at: int) -> float:
        """P(it keeps what is known of the limits and is cheaper than the choice).

        A cost that is not known counts as cheaper.
        """
        known = self.lines[at].known(self.costs.shape[1])
        if self.chosen is None or not np.isfinite(self.costs[at]).any():
            return float(known.mean())
        ours = np.where(self.able[self.chosen], self.costs[self.chosen], np.inf)
        return float((known & (self.costs[at] < ours)).mean())


def next_steps(matter: Matter) -> list[dict[str, Any]]:
    """The measurements that may change the choice, the likeliest first."""
    steps = []
    for at, line in enumerate(matter.lines):
        if matter.found[at].verdict == "no":
            continue
        chance = 1.0 if at == matter.chosen else matter.chance(at)
        if chance < WORTH_MEASURING:
            continue
        told = [*_open(line, matter.objective), *_undecided(line), *_rival(matter, at)]
        steps += [{**line.candidate.named, "chance": chance, **each} for each in told]
    steps.sort(key=lambda step: -step["chance"])
    return _merged(steps)[:MOST_NEXT]


def _merged(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One step for all candidates that lack the same: `others` beside the likeliest of them."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        first = found.setdefault(step["action"], {**step, "others": -1})
        first["others"] += 1
    return list(found.values())


def _open(line: Line, objective: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What cannot be said of a limit or the objective for want of a value or an interval."""
    found = {limit.metric: kept for limit, kept in line.keeps if isinstance(kept, str)}
    found |= {metric: why for metric in objective if (why := line.doubts[metric].open)}
    for metric, why in found.items():
        ask = "say" if metric in (PRICE, WATTS) else "measure"
        yield {"metric": metric, "action": f"{ask} {metric}: {why}", "needed": None}


def _undecided(line: Line) -> Iterator[dict[str, Any]]:
    """Limits that a draw keeps and another does not."""
    for limit, kept in line.keeps:
        if isinstance(kept, str) or not 1 - SURE < kept.mean() < SURE:
            continue
        doubt = line.doubts[limit.metric]
        sure = f"P({limit}) is {kept.mean():.0%}"
        if limit.metric.startswith(_SAMPLED):
            told = prescribe(doubt.estimate, limit, line.candidate.members[0].row)
            action = f"more samples in the dataset: {told or 'how many is not known'}"
            yield {"metric": limit.metric, "action": f"{sure}; {action}", "needed": None}
        else:
            needed = _for_limit(doubt, limit)
            action = f"{sure}; {_more(line, needed)}"
            yield {"metric": limit.metric, "action": action, "needed": needed}


def _for_limit(doubt: Doubt, limit: Limit) -> int | None:
    value = doubt.estimate.value
    if len(doubt.logs) < 2 or not value or limit.value <= 0:
        return None
    spread = float(np.std(list(doubt.logs.values()), ddof=1))
    return units_for(abs(math.log(value / limit.value)), spread)


def _rival(matter: Matter, at: int) -> Iterator[dict[str, Any]]:
    """What is not told apart from the choice by the objective."""
    if matter.chosen in (None, at) or matter.chosen is None:
        return
    ours, theirs = matter.costs[matter.chosen], matter.costs[at]
    both = matter.able[matter.chosen] & matter.able[at] & np.isfinite(ours) & np.isfinite(theirs)
    if not both.any():
        return
    apart = theirs[both] - ours[both]
    ahead = float((apart < -math.log1p(matter.delta)).mean())
    if 1 - SURE < ahead < SURE:
        units = matter.lines[at].candidate.units
        # The middle two thirds of the draws tell the error of so many units, whatever their tails.
        error = float(np.subtract(*np.quantile(apart, [0.841, 0.159]))) / 2
        gap = abs(float(np.median(apart)) + math.log1p(matter.delta))
        needed = units_for(gap, error * math.sqrt(units))
        told = f"more than {100 * matter.delta:g}% better than the choice with P {ahead:.0%}"
        more = _more(matter.lines[at], needed)
        yield {"metric": None, "action": f"{told}; {more}, of both", "needed": needed}


def units_for(distance: float, spread: float) -> int | None:
    """Fewest units that prove a log distance with 90% power: (t + t_power) s / sqrt(m) <= d.

    It assumes that the spread stays as seen and the distance is the true one; null above 1,000.
    """
    if spread == 0:
        return 2 if distance > 0 else None
    units = np.arange(2, MOST_LAUNCHES + 1)
    factor = special.stdtrit(units - 1, SURE) + special.stdtrit(units - 1, POWER)
    enough = units[factor * spread / np.sqrt(units) <= distance]
    return int(enough[0]) if enough.size else None


def _more(line: Line, needed: int | None) -> str:
    level, units = line.candidate.level, line.candidate.units
    if needed is None:
        return f"more {level}s would hardly decide (it has {units})"
    what = counted(max(needed, units + 1), level)
    return f"about {what} instead of {units} would decide"


def nearest(lines: Sequence[Line], found: Sequence[Feasible]) -> list[dict[str, Any]]:
    """Of each hardware the candidate that misses least, and all that it misses.

    Least is the smallest sum of its misses: relative, of shares a point as a percent.
    """
    best: dict[str, tuple[float, dict[str, Any]]] = {}
    for line, judged in zip(lines, found, strict=True):
        misses = [
            miss
            for limit, kept in line.keeps
            if not isinstance(kept, str) and (miss := _miss(line, limit))
        ]
        if judged.verdict != "no":
            continue
        rank = float(sum(miss["beyond"] for miss in misses))
        place = line.candidate.hardware
        if place not in best or rank < best[place][0]:
            best[place] = (
                rank,
                {
                    **line.candidate.named,
                    "p_feasible": judged.at_most,
                    "misses": misses,
                    "open": line.open,
                },
            )
    return [row for _, row in sorted(best.values(), key=lambda item: item[0])]


def _miss(line: Line, limit: Limit) -> dict[str, Any] | None:
    """By how much a value misses a limit: relative, of shares absolute; null if it keeps it."""
    estimate = line.doubts[limit.metric].estimate
    if estimate.value is None or not (beyond := excess(limit, estimate.value)):
        return None
    return {
        "limit": str(limit),
        "metric": limit.metric,
        "value": estimate.value,
        "ci": list(estimate.interval) if estimate.interval else None,
        "beyond": beyond,
        "absolute": abs(estimate.value - limit.value),
        "unit": unit(limit.metric),
        "measured": limit.metric in (*METRICS, ENERGY),
    }


def sources(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Declared numbers as the document has them."""
    return {name: {"value": each.value, "source": each.source} for name, each in facts.items()}
