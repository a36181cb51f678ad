"""Memory and load, per cell."""

from __future__ import annotations

from reports.floor import peak_words
from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import with_interval

ORDER = 70
_MEASURES = {
    "peak_rss_mib": "peak memory, MiB",
    "load_ms": "load, ms",
    "first_inference_ms": "first inference, ms",
}


def section(document: Document) -> Section:
    rows = [row for row in document["results"] if row["status"] == "ok"]
    if not rows:
        return Section("Memory and load", ["No cell has a result."], detail=True)
    names = Names(document)
    columns = [*names.columns(), *(Column(name, "number") for name in _MEASURES.values())]
    body = [[*names.values(row), *_values(row)] for row in rows]
    caption = "Median over launches, with the 95% interval of this run only"
    words = [
        "Peak memory is the whole process's: the runtime's own libraries are in it. "
        f"Weights and activations: {rows[0]['reasons'].get('weights_mib', 'in the JSON')}.",
        *peak_words(document),
    ]
    return Section("Memory and load", words, tables=[Table(caption, columns, body)], detail=True)


def _values(row: Row) -> list[str]:
    return [with_interval(row[name], row["intervals"][name]) for name in _MEASURES]
