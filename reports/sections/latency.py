"""Time of one inference, per cell."""

from __future__ import annotations

from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, with_interval

ORDER = 40
_DETAIL = ("p99", "mean", "min")


def section(document: Document) -> Section:
    rows = [row for row in document["results"] if row["status"] == "ok"]
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
        Column("flags", detail=True),
    ]
    caption = "Milliseconds an inference, with the 95% interval of this run only"
    table = Table(caption, columns, [_cells(names, row) for row in rows]).filled()
    words = [word for word in (names.shared(), *_short_samples(rows)) if word]
    return Section("Latency", words, tables=[table])


def _cells(names: Names, row: Row) -> list[str]:
    latency = row["latency_ms"]
    return [
        *names.values(row),
        *(with_interval(latency[name], latency["ci"][name]) for name in ("p50", "p95", *_DETAIL)),
        str(row["launches"]),
        f"{row['samples']:,}",
        "; ".join(clean(flag) for flag in row["flags"]),
    ]


def _short_samples(rows: list[Row]) -> list[str]:
    """Why some percentiles are missing, once for each reason."""
    reasons = [
        f"{name}: {clean(row['reasons'][f'latency_ms.{name}'])}"
        for row in rows
        for name in ("p50", "p95", "p99")
        if row["latency_ms"][name] is None
    ]
    distinct = sorted(set(reasons))
    return [f"Not reported where too few samples were taken: {'; '.join(distinct[:5])}."] * bool(
        distinct
    )
