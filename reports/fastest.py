"""Which runtime serves a variant best, by the groups in which its runtimes ran side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.comparison import of_times
from reports.estimate import Interval
from reports.findings import lead

Row = Mapping[str, Any]
_KEYS = ("device", "variant", "precision", "batch", "threads", "scenario", "group")
_UNKNOWN: Interval = (0.0, float("inf"))


def fastest_runtimes(compared: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each group of runtimes: the fastest, or null and between which it lies."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in compared:
        if row["kind"] == "runtime" and row["metric"] == lead(row["scenario"]):
            groups.setdefault((row["device"], row["group"]), []).append(row)
    return [_fastest(rows) for rows in groups.values()]


def _fastest(rows: Sequence[Row]) -> dict[str, Any]:
    """The runtime whose times, as multiples of the baseline's, lie below those of all others."""
    times = {rows[0]["baseline"]: (1.0, 1.0)} | {row["candidate"]: _times(row) for row in rows}
    best = min(times, key=lambda name: times[name][1])
    rivals = [name for name, (low, _) in times.items() if name != best and low <= times[best][1]]
    return {
        **{key: rows[0][key] for key in _KEYS},
        "runtime": None if rivals else best,
        "between": sorted([best, *rivals]) if rivals else [],
    }


def _times(row: Row) -> Interval:
    """The interval of a ratio of times; one whose difference from 1 is not confirmed holds 1."""
    interval = of_times(row["ci"] and (row["ci"][0], row["ci"][1]), row["metric"])
    if interval is None:
        return _UNKNOWN
    if row["finding"] in ("faster", "slower"):
        return interval
    return min(interval[0], 1.0), max(interval[1], 1.0)
