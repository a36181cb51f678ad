"""What has no result and why, and what a reader should know about the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.layout import Column, Document, Section, Table
from reports.names import Names
from reports.text import clean

ORDER = 80
LOG_LINES = 16  # of each cell; the document holds more


def section(document: Document) -> Section:
    names = Names(document)
    lost = [row for row in document["results"] if row["status"] != "ok"]
    flagged = [row for row in document["results"] if row["status"] == "ok" and row["flags"]]
    tables = []
    if lost:
        columns = [*names.columns(), Column("state", "word"), Column("why")]
        body = [[*names.values(r), r["status"], clean(r["reason"], 400)] for r in lost]
        tables.append(Table("Without a result", columns, body))
    if any(row["log"] for row in lost):
        columns = [*names.columns(), Column("log")]
        body = [line for row in lost for line in _log(names.values(row), row["log"][-LOG_LINES:])]
        tables.append(Table("The last lines of their logs", columns, body, detail=True))
    if flagged:
        columns = [*names.columns(), Column("flags")]
        body = [
            [*names.values(r), "; ".join(clean(flag, 300) for flag in r["flags"])] for r in flagged
        ]
        tables.append(Table("Measured, but with a flag", columns, body))
    fine = "Every cell has a result, and nothing was flagged."
    words = [] if tables else [fine if document["results"] else "The run has no cells."]
    return Section("Failures, unsupported cells and flags", words, tables=tables)


def _log(cell: Sequence[str], log: Sequence[str]) -> Iterator[list[str]]:
    """A row for each line; the cell stands beside the first."""
    for at, line in enumerate(log):
        yield [*(cell if at == 0 else [""] * len(cell)), clean(line, 400)]
