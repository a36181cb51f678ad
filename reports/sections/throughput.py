"""Inputs a second, per cell and over batch sizes."""

from __future__ import annotations

from reports.charts import throughput_chart
from reports.layout import Chart, Column, Document, Section, Table
from reports.names import LONGEST_LABEL, Names
from reports.text import clean, with_interval

ORDER = 50


def section(document: Document) -> Section:
    rows = [row for row in document["results"] if row["throughput_ips"] is not None]
    if not rows:
        return Section("Throughput", ["No cell has a result."], detail=True)
    names = Names(document)
    columns = [*names.columns(), Column("inputs a second", "number")]
    body = [
        [
            *names.values(row),
            with_interval(row["throughput_ips"], row["intervals"]["throughput_ips"]),
        ]
        for row in rows
    ]
    table = Table("Batch over mean time, with the 95% interval of this run only", columns, body)
    if len({row["batch"] for row in rows}) < 2:
        words = ["One batch size was measured, so there is no curve to draw."]
        return Section("Throughput", words, tables=[table], detail=True)
    points = [
        {
            "variant": clean(row["variant"], LONGEST_LABEL),
            "place": _place(document, row["device"], row["runtime"], row["precision_requested"]),
            "line": f"{row['variant']}{row['threads']}{row['scenario']}",
            "batch": row["batch"],
            "throughput": row["throughput_ips"],
        }
        for row in rows
    ]
    chart = Chart("Inputs a second over the batch size", lambda: throughput_chart(points))
    return Section("Throughput", tables=[table], charts=[chart], detail=True)


def _place(document: Document, device: str, runtime: str, precision: str) -> str:
    parts = [runtime]
    if len({row["device"] for row in document["results"]}) > 1:
        parts.insert(0, device)
    if len({row["precision_requested"] for row in document["results"]}) > 1:
        parts.append(precision)
    return " · ".join(clean(part, LONGEST_LABEL) for part in parts)
