"""Accuracy on the device, and what sparsity costs and brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.charts import sparsity_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import LONGEST_LABEL, Names
from reports.text import NOTHING, clean, mebibytes, percent

ORDER = 60
# A trained network has a stray zero here and there, and rounding to integers makes more.
FEWEST_ZEROS = 0.05
INTEGERS = frozenset({"int8", "uint8"})
BYTES_PER_MIB = 2**20


def section(document: Document) -> Section:
    rows = _distinct(document["results"])
    if not rows:
        return Section("Accuracy and sparsity", ["The run has no cells."], detail=True)
    words = [
        "Each file is evaluated once in each runtime. A drop is the baseline's accuracy minus this "
        "variant's on the same samples; below zero is a gain."
    ]
    charts = _charts(document, rows)
    if not charts:
        words.append("There is no curve to draw: no two cells have both a sparsity and a value.")
    return Section(
        "Accuracy and sparsity", words, tables=[_table(document, rows)], charts=charts, detail=True
    )


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """One row for each device, variant, runtime and precision: the smallest batch and threads."""
    found: dict[tuple[str, ...], Row] = {}
    for row in sorted(rows, key=lambda row: (row["batch"], row["threads"], row["scenario"])):
        keys = ("device", "variant", "runtime", "precision_requested")
        found.setdefault(tuple(row[key] for key in keys), row)
    return list(found.values())


def _table(document: Document, rows: Sequence[Row]) -> Table:
    names = Names(document)
    without = ("batch", "threads", "scenario")
    columns = [
        *names.columns(without),
        Column("sparsity", "number"),
        Column("top-1", "number"),
        Column("top-1 drop", "number"),
        Column("top-5", "number", detail=True),
        Column("samples", "number", detail=True),
        Column("file", "number"),
        Column("compressed", "number"),
        Column("note"),
    ]
    body = [[*names.values(row, without), *_values(row)] for row in rows]
    caption = "Share of right answers with its 95% interval, and the file"
    return Table(caption, columns, body).filled()


def _values(row: Row) -> list[str]:
    accuracy = row["accuracy"]
    ends = accuracy["ci"]
    return [
        percent(row["sparsity"]),
        percent(accuracy["top1"], ends["top1"]),
        percent(accuracy["top1_drop"], ends["top1_drop"]),
        percent(accuracy["top5"], ends["top5"]),
        NOTHING if accuracy["samples"] is None else str(accuracy["samples"]),
        mebibytes(row["file_bytes"]),
        mebibytes(row["compressed_bytes"]),
        clean(row["reasons"].get("accuracy.top1") or row["reasons"].get("sparsity", "")),
    ]


def _charts(document: Document, rows: Sequence[Row]) -> list[Chart]:
    rows = [row for row in rows if row["status"] == "ok"]
    batch = min((row["batch"] for row in rows), default=1)
    runtimes = list(dict.fromkeys(_place(document, row) for row in rows))
    measures = {
        "Top-1 accuracy": [(row, row["accuracy"]["top1"]) for row in rows],
        f"p50, ms (batch {batch})": [
            (row, row["latency_ms"]["p50"]) for row in rows if row["batch"] == batch
        ],
        "Compressed size, MiB": [
            (row, None if (size := row["compressed_bytes"]) is None else size / BYTES_PER_MIB)
            for row in rows
        ],
    }
    charts = []
    for title, found in measures.items():
        points = [
            _point(document, row, value)
            for row, value in found
            if value is not None and row["sparsity"] is not None
        ]
        if len(points) > 1:
            charts.append(_chart(title, points, runtimes))
    return charts


def _chart(title: str, points: list[dict[str, Any]], runtimes: Sequence[str]) -> Chart:
    line = "the line joins the baseline and the float variants that store zeros"
    caption = f"{title} against sparsity; {line}"
    return Chart(caption, lambda: sparsity_chart(points, title, runtimes))


def _point(document: Document, row: Row, value: float) -> dict[str, Any]:
    return {
        "variant": clean(row["variant"], LONGEST_LABEL),
        "runtime": _place(document, row),
        "sparsity": row["sparsity"],
        "value": value,
        "curve": _on_curve(document, row),
    }


def _place(document: Document, row: Row) -> str:
    several = len({other["device"] for other in document["results"]}) > 1
    place = f"{row['device']} · {row['runtime']}" if several else row["runtime"]
    return clean(place, LONGEST_LABEL)


def _on_curve(document: Document, row: Row) -> bool:
    """The baseline, and what has zeros stored among float weights: fewer channels leave none."""
    if row["variant"] == document["baseline"]:
        return True
    return row["sparsity"] >= FEWEST_ZEROS and row["precision_executed"] not in INTEGERS
