"""The price at which the choice turns, as far as prices enter it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.estimate import CONFIDENCE
from reports.selection.table import Line
from reports.selection.wanted import PRICE, Floats, Wanted

_TAILS = ((1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2)

_NEVER = {
    "below": "it would not be chosen at any price",
    "above": "another, not yet proven to keep the limits, would be better at any price",
}


def turning_prices(
    lines: Sequence[Line], wanted: Wanted, weights: Mapping[str, float], chosen: int, count: int
) -> list[dict[str, Any]]:
    """For the chosen hardware up to which price, for every other below which, all else as it is.

    Empty where neither a limit nor the objective names the price. The interval is of the draws.
    """
    limits = [
        limit.value for limit in wanted.limits if limit.metric == PRICE and limit.bound == "max"
    ]
    if PRICE not in weights and not limits:
        return []
    cap = min(limits, default=np.inf)
    bare = {metric: weight for metric, weight in weights.items() if metric != PRICE}
    places = list(dict.fromkeys(line.candidate.hardware for line in lines))
    ours = lines[chosen].candidate.hardware
    weight = weights.get(PRICE, 0.0)
    found = [_told(lines, ours, _own(lines, ours, bare, weights, weight, count), cap, "above")]
    total = np.where(lines[chosen].known(count), lines[chosen].cost(weights, count), np.nan)
    for place in places:
        if place != ours:
            free = _cheapest(lines, [place], bare, count, PRICE)
            row = _told(lines, place, _equal(total, free, weight), cap, "below")
            if row["turns_at_usd"] is None:
                row["reason"] = _unfit(lines, place, free) or row["reason"]
            found.append(row)
    return found


def _unfit(lines: Sequence[Line], place: str, free: Floats) -> str | None:
    """Why no price helps a hardware that is not known or not likely to keep the limits."""
    mine = [line for line in lines if line.candidate.hardware == place]
    lacking = [
        {limit.metric for limit, kept in line.keeps if isinstance(kept, str)} for line in mine
    ]
    always = set.intersection(*lacking) - {PRICE}
    if always:
        return f"not known to keep {', '.join(sorted(always))}"
    able = float(np.isfinite(free).mean())
    return None if able > 0.5 else f"P(it keeps the other constraints) is {able:.0%}"


def _own(
    lines: Sequence[Line],
    ours: str,
    bare: Mapping[str, float],
    weights: Mapping[str, float],
    weight: float,
    count: int,
) -> Floats:
    """The price of ours at which the best of the other hardware costs the same."""
    others = {line.candidate.hardware for line in lines} - {ours}
    rival = _cheapest(lines, others, weights, count, None)
    free = _cheapest(lines, [ours], bare, count, PRICE)
    return _equal(rival, np.where(np.isfinite(free), free, np.nan), weight)


def _cheapest(
    lines: Sequence[Line],
    places: Any,
    weights: Mapping[str, float],
    count: int,
    without: str | None,
) -> Floats:
    """The lowest cost [draws] of what is feasible on some hardware; infinite where nothing is."""
    costs = [
        np.where(line.proven(count, without), line.cost(weights, count), np.inf)
        for line in lines
        if line.candidate.hardware in places
    ]
    return np.asarray(np.min([np.full(count, np.inf), *costs], axis=0))


def _equal(total: Floats, free: Floats, weight: float) -> Floats:
    """The price that makes a cost without price as high as a total; 0 if none does, NaN unknown."""
    with np.errstate(over="ignore", invalid="ignore"):
        room = total - free
        room = np.where(np.isposinf(free), np.where(np.isnan(total), np.nan, -np.inf), room)
        if weight > 0:
            return np.asarray(np.exp(np.clip(room / weight, -700, 700)))
        return np.where(np.isnan(room), np.nan, np.where(room > 0, np.inf, 0.0))


def _told(
    lines: Sequence[Line], place: str, found: Floats, cap: float, side: str
) -> dict[str, Any]:
    """One row; a price is null where no price turns the choice, and then there is a reason."""
    known = np.minimum(found[~np.isnan(found)], cap)
    price = next(
        line.doubts[PRICE].estimate.value for line in lines if line.candidate.hardware == place
    )
    row: dict[str, Any] = {"hardware": place, "price_usd": price, "side": side, "ci": None}
    if not known.size:
        return {**row, "turns_at_usd": None, "reason": "its cost is not known"}
    low, middle, high = (float(np.quantile(known, tail, method="nearest")) for tail in _TAILS)
    if middle < 0.005:
        return {**row, "turns_at_usd": None, "reason": _NEVER[side]}
    if not np.isfinite(middle) or middle > 1e12:
        return {**row, "turns_at_usd": None, "reason": "at no price does another take its place"}
    ends = [low, high] if np.isfinite(high) else None
    bound = "the limit on the price" if middle == cap else None
    return {**row, "ci": ends, "turns_at_usd": middle, "reason": bound}
