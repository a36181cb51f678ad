"""How candidates, probabilities and values of a selection read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.layout import Row
from reports.selection.wanted import unit
from reports.text import NOTHING, clean, percent, with_interval

Document = Mapping[str, Any]
LONGEST = 48
ON, BEHIND = "on the front", "behind it"
_DIMENSIONS = (
    ("precision_requested", "{}"),
    ("batch", "batch {}"),
    ("threads", "threads {}"),
    ("scenario", "{}"),
)


def named(document: Document, row: Row) -> str:
    """A candidate in words: whatever else differs between the candidates comes with it."""
    text = f"{row['variant']} in {row['runtime']} on {row['hardware']}"
    rest = [
        form.format(row[key])
        for key, form in _DIMENSIONS
        if len({other[key] for other in document["candidates"]}) > 1
    ]
    return clean(text + (f" ({', '.join(rest)})" if rest else ""), 3 * LONGEST)


def rank(row: Row) -> tuple[Any, ...]:
    verdicts = {"yes": 0, "undecided": 1, "no": 2}
    regret = row["regret"] if row["regret"] is not None else float("inf")
    return verdicts[row["feasible"]], regret, -row["p_feasible_at_most"]


def with_ends(metric: str, value: float | None, ends: Sequence[float] | None) -> str:
    """A value and its interval, if it has a width."""
    shown = ends if ends and ends[0] != ends[1] else None
    return (percent if unit(metric) == "share" else with_interval)(value, shown)


def heading(metric: str) -> str:
    return f"{metric}, %" if unit(metric) == "share" else metric


def drawn(axis: str, metric: str, told: Row) -> dict[str, float]:
    """A value and its interval's ends, or itself for them, on the axis that `heading` names."""
    factor = 100.0 if unit(metric) == "share" else 1.0
    low, high = told["ci"] or [told["value"]] * 2
    ends = {f"{axis}_low": factor * low, f"{axis}_high": factor * high}
    return {axis: factor * told["value"], **ends}


def feasible(row: Row) -> str:
    """P(feasible), or the most that it can be."""
    if row["p_feasible"] is not None:
        return chance(row["p_feasible"])
    most = row["p_feasible_at_most"]
    return "?" if most > 0.999 else f"? up to {chance(most)}"


def chance(value: float | None) -> str:
    """A probability of so many draws, which are never sure."""
    if value is None:
        return NOTHING
    if value > 0.999:
        return "> 99.9%"
    return "< 0.1%" if value < 0.001 else f"{100 * value:.1f}%"
