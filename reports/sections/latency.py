"""Time of one inference, query or first answer, per cell."""

from __future__ import annotations

from agents import wire
from reports.floor import time_words
from reports.gates import WAITING
from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.stats import SMALLEST_SAMPLE
from reports.text import with_interval

ORDER = 40
_DETAIL = ("p99", "mean", "min")
# What one time is, where it is not that of one inference.
_TIMED = {
    wire.MULTI_STREAM: "of a query, until the last of its requests is answered",
    wire.COLD_START: "from the start of a process to its first answer",
}


def section(document: Document) -> Section:
    rows = [r for r in document["results"] if r["status"] == "ok" and r["scenario"] in WAITING]
    if not rows:
        return Section("Latency", ["No cell has a result."])
    names = Names(document)
    columns = [
        *names.columns(),
        Column("p50", "number"),
        Column("p95", "number"),
        *(Column(name, "number", detail=True) for name in _DETAIL),
        Column("launches", "number"),
        Column("samples", "number", detail=True),
        Column("flags", "number", detail=True),
    ]
    table = Table(_caption(rows), columns, [_cells(names, row) for row in rows]).filled()
    words = [names.shared(), *_short_samples(rows), *time_words(document)]
    return Section("Latency", [word for word in words if word], tables=[table])


def _caption(rows: list[Row]) -> str:
    found = dict.fromkeys(row["scenario"] for row in rows)
    told = [f"{name}: {_TIMED[name]}" for name in found if name in _TIMED]
    unit = "Milliseconds an inference" + f" ({'; '.join(told)})" * bool(told)
    return f"{unit}, with the 95% interval of this run only"


def _cells(names: Names, row: Row) -> list[str]:
    latency = row["latency_ms"]
    return [
        *names.values(row),
        *(with_interval(latency[name], latency["ci"][name]) for name in ("p50", "p95", *_DETAIL)),
        str(row["launches"]),
        f"{row['samples']:,}",
        str(len(row["flags"]) or ""),  # what they say stands beside the failures
    ]


def _short_samples(rows: list[Row]) -> list[str]:
    """Which percentiles are missing for want of samples, once each."""
    told = []
    for name, needed in SMALLEST_SAMPLE.items():
        counts = [row["samples"] for row in rows if row["latency_ms"][name] is None]
        if counts:
            most = f" to {max(counts)}" if max(counts) > min(counts) else ""
            told.append(f"{name} needs {needed}, and cells without it have {min(counts)}{most}")
    return [f"Not reported where too few samples were taken: {'; '.join(told)}."] * bool(told)
