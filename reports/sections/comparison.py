"""Candidates against their baselines, measured side by side, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from reports.charts import ratio_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, counted, number, with_interval

ORDER = 30
MOST_DRAWN = 40
_TITLES = {
    "variant": "Same runtime, variant by variant",
    "runtime": "Same variant, runtime by runtime",
}


def section(document: Document) -> Section:
    names = Names(document)
    words = [
        "The ratio is the candidate's time over the baseline's: below 1 is faster. The interval "
        "is across launches in which both ran side by side."
    ]
    tables, charts = [], []
    for kind, title in _TITLES.items():
        rows = [row for row in document["comparisons"] if row["kind"] == kind]
        if not rows:
            continue
        tables.append(_table(title, names, kind, rows))
        drawn, note = _drawable(rows)
        if drawn:
            charts.append(_chart(f"{title}: p50 ratio with its interval{note}", names, kind, drawn))
    if not tables:
        return Section("Comparison", ["Nothing was compared: no group holds a baseline and more."])
    if not charts:
        words.append("No ratio could be formed, so there is no chart; the table says why.")
    return Section("Comparison", words, tables=tables, charts=charts)


def _drawable(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The p50 ratios that exist, fastest first; of very many, both ends."""
    ratios = [r for r in rows if r["metric"] == "latency_p50_ratio" and r["ratio"] is not None]
    ratios.sort(key=lambda row: float(row["ratio"]))
    if len(ratios) <= MOST_DRAWN:
        return ratios, ""
    half = MOST_DRAWN // 2
    note = f" (the {half} lowest and {half} highest of {len(ratios)}; the table has all)"
    return ratios[:half] + ratios[-half:], note


def _chart(caption: str, names: Names, kind: str, rows: Sequence[Row]) -> Chart:
    points = [
        {
            "label": _label(names, kind, row),
            "ratio": row["ratio"],
            "low": row["ci"][0] if row["ci"] else row["ratio"],
            "high": row["ci"][1] if row["ci"] else row["ratio"],
            "finding": row["finding"],
        }
        for row in rows
    ]
    return Chart(caption, lambda: ratio_chart(points))


def _label(names: Names, kind: str, row: Row) -> str:
    if kind == "runtime":
        first = f"{clean(row['variant'], 32)}: {row['candidate']} against {row['baseline']}"
        return names.label(row, clean(first))
    return names.label(row)


def _table(caption: str, names: Names, kind: str, rows: Sequence[Row]) -> Table:
    """One row a pair of cells: the p50 and the p95 ratio side by side."""
    without = (kind,)
    pairs: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        key = (row["device"], row["group"], row["candidate_cell"])
        pairs.setdefault(key, {})[row["metric"]] = row
    against = dict.fromkeys(clean(row["baseline"]) for row in rows)
    columns = [
        Column(kind),
        Column("against", detail=len(against) == 1),
        *names.columns(without),
        Column("p50 ratio", "number"),
        Column("finding", "word"),
        Column("p95 ratio", "number"),
        Column("p95 finding", "word", detail=True),
        Column("launches", "number", detail=True),
        Column("board time", "number", detail=True),
        Column("note", detail=True),
    ]
    body = [_cells(names, without, *pair.values()) for pair in pairs.values()]
    if len(against) == 1:
        caption += f": against {next(iter(against))}"
    caption += f" ({counted(len(body), 'pair')}), with 95% intervals"
    return Table(caption, columns, body).filled()


def _cells(names: Names, without: Sequence[str], p50: Row, p95: Row) -> list[str]:
    reasons = dict.fromkeys(
        f"{name}: {clean(row['reason'])}"
        for name, row in (("p50", p50), ("p95", p95))
        if row["reason"]
    )
    return [
        clean(p50["candidate"]),
        clean(p50["baseline"]),
        *names.values(p50, without),
        with_interval(p50["ratio"], p50["ci"]),
        p50["finding"],
        with_interval(p95["ratio"], p95["ci"]),
        p95["finding"],
        str(p50["launches"]),
        f"{number(p50['seconds'])} s",
        "; ".join(reasons),
    ]
