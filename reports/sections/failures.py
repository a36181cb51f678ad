"""What has no result and why, and what a reader should know about the rest."""

from __future__ import annotations

from reports.layout import Column, Document, Section, Table
from reports.names import Names
from reports.text import clean

ORDER = 80


def section(document: Document) -> Section:
    names = Names(document)
    lost = [row for row in document["results"] if row["status"] != "ok"]
    flagged = [row for row in document["results"] if row["status"] == "ok" and row["flags"]]
    tables = []
    if lost:
        columns = [*names.columns(), Column("state", "word"), Column("why")]
        body = [[*names.values(r), r["status"], clean(r["reason"], 400)] for r in lost]
        tables.append(Table("Without a result", columns, body))
    if flagged:
        columns = [*names.columns(), Column("flags")]
        body = [
            [*names.values(r), "; ".join(clean(flag, 300) for flag in r["flags"])] for r in flagged
        ]
        tables.append(Table("Measured, but with a flag", columns, body))
    words = [] if tables else ["Every cell has a result, and nothing was flagged."]
    return Section("Failures, unsupported cells and flags", words, tables=tables)
