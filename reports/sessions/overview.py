"""The JSON document of a lab's past at one glance, "edgeproof.overview/1".

One row for every cell that several sessions followed, each with where it stands now, the changes of
level that are nominated, and the commands that show and confirm them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.estimate import CONFIDENCE

SCHEMA = "edgeproof.overview/1"
_CELL = ("runtime", "precision_requested", "batch", "threads", "scenario")
Row = Mapping[str, Any]


def build(histories: Mapping[str, Sequence[Row]], metric: str) -> dict[str, Any]:
    """The document of histories (reports.sessions.history) by study."""
    rows = [
        _row(study, found, series)
        for study, documents in histories.items()
        for found in documents
        for series in found["series"]
    ]
    return {
        "schema": SCHEMA,
        "metric": metric,
        "confidence": CONFIDENCE,
        "fewest_sessions": max((d["fewest_sessions"] for d in _all(histories)), default=None),
        "exact": any(d["exact"] for d in _all(histories)),
        "unit": next((d["unit"] for d in _all(histories)), None),
        "studies": list(histories),
        "rows": rows,
        "surroundings": _surroundings(histories),
    }


def _all(histories: Mapping[str, Sequence[Row]]) -> Iterable[Row]:
    return (found for documents in histories.values() for found in documents)


def _row(study: str, found: Row, series: Row) -> dict[str, Any]:
    points, follows = series["points"], series["follows"]
    now = points[-1][follows]  # an older session's would pass for the last one's
    before = (point[follows]["value"] for point in points[:-1])
    first = next((value for value in before if value is not None), None)
    return {
        "study": study,
        "device": found["device"],
        "variant": found["variant"],
        **{key: series[key] for key in _CELL},
        "sessions": len(points),
        "first": points[0]["started"],
        "last": points[-1]["started"],
        "follows": follows,
        "anchor": series["anchor"],
        "now": now,
        "since_first": now["value"] / first if first and now["value"] is not None else None,
        "changes": series["changes"],
        "anchor_changes": series["anchor_changes"],
        "show": _command(study, found),
    }


def _command(study: str, found: Row) -> str:
    asked = ["history", study, "--variant", found["variant"], "--device", found["device"]]
    if found["metric"] != "latency_p50_ms":
        asked += ["--metric", found["metric"]]
    return "edgeproof " + shlex.join(asked)


def _surroundings(histories: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """What differed around the sessions of each device, once whatever was followed there."""
    told: dict[tuple[str, ...], dict[str, Any]] = {}
    for study, documents in histories.items():
        for found in documents:
            for session in found["sessions"]:
                for each in session["surroundings"]:
                    keys = ("device", "fact", "first", "second", "runtime", "scenario")
                    key = (session["run"], *(str(each[k]) for k in keys))
                    row = {"study": study, "run": session["run"], "started": session["started"]}
                    told.setdefault(key, row | each)
    return sorted(told.values(), key=lambda row: row["started"])
