"""How far each variant has drifted from the last release: steps that no gate fails on add up."""

from __future__ import annotations

from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.sessions.drift import way
from reports.text import clean, with_interval

ORDER = 25
TITLE = "Drift since the last release"
TO_NAME = "edgeproof gate STUDY --release NAME gives one"
_PRODUCTS = (
    "A product of gates only nominates: gates stop as soon as they are decided, so that its "
    "interval holds the truth less often than it says."
)


def section(document: Document) -> Section:
    found = document["drift"]
    if found["release"] is None:
        return Section(TITLE, [f"{_sentence(found['reason'])} {TO_NAME}."], detail=True)
    words = [_released(found["release"])]
    if not found["cells"]:
        return Section(TITLE, [*words, _sentence(found["reason"])])
    proofs = dict.fromkeys(filter(None, (row["next_step"] for row in found["cells"])))
    if not all(row["direct"] for row in found["cells"]):
        words.append(_PRODUCTS)
    words += [f"To prove what is beyond: {clean(proof)}." for proof in proofs]
    return Section(TITLE, words, tables=[_table(Names(document), found["cells"])])


def _released(release: Row) -> str:
    name, variant, run = (clean(release[key]) for key in ("name", "variant", "run"))
    return f"Release {name}: {variant} of run {run}, named {clean(release['named'][:10])}."


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{clean(reason[1:], 400)}."


def _table(names: Names, rows: list[Row]) -> Table:
    columns = [
        *names.columns(),
        Column("one gate allows"),
        Column("over the release [95% interval]", "number"),
        Column("beyond", "word"),
        Column("known by"),
    ]
    body = [
        [
            *names.values(row),
            clean(row["gate"] or f"{row['metric']}, of which there is no gate"),
            with_interval(row["ratio"], row["ci"]),
            "beyond" if row["beyond"] else "",
            "; ".join(filter(None, [way(row), clean(row["reason"] or "")])),
        ]
        for row in rows
    ]
    return Table("Each cell over the same cell of the release", columns, body).filled()
