"""Which runtime serves a variant best, by the groups in which its runtimes ran side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.comparison import settled_times
from reports.estimate import Interval
from reports.findings import lead

Row = Mapping[str, Any]
_KEYS = ("device", "variant", "precision", "batch", "threads", "scenario", "group")
_UNKNOWN: Interval = (0.0, float("inf"))


def fastest_runtimes(compared: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each group of runtimes: the fastest, or null and between which it lies.

    A runtime that did not run beside the others is none of them.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in compared:
        measured = row["kind"] == "runtime" and row["seconds"] > 0
        if measured and row["metric"] == lead(row["scenario"]):
            groups.setdefault((row["device"], row["group"]), []).append(row)
    return [_fastest(rows) for rows in groups.values()]


def _fastest(rows: Sequence[Row]) -> dict[str, Any]:
    """The runtime whose times, as multiples of the baseline's, lie below those of all others."""
    times = {rows[0]["baseline"]: (1.0, 1.0)}
    times |= {row["candidate"]: settled_times(row) or _UNKNOWN for row in rows}
    best = min(times, key=lambda name: times[name][1])
    rivals = [name for name, (low, _) in times.items() if name != best and low <= times[best][1]]
    return {
        **{key: rows[0][key] for key in _KEYS},
        "runtime": None if rivals else best,
        "between": sorted([best, *rivals]) if rivals else [],
    }
