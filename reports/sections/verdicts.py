"""The verdict on every gate, the broken ones first."""

from __future__ import annotations

from collections.abc import Sequence

from reports.counts import by_waiver
from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, counted, valued

ORDER = 20
VALUE = "value [95% interval]"
_WORST_FIRST = ("fail", "inconclusive", "pass")


def section(document: Document) -> Section:
    found = sorted(document["verdicts"], key=lambda row: _WORST_FIRST.index(row["verdict"]))
    if not found:
        return Section("Verdicts", ["The study sets no gates, so there is nothing to judge."])
    names = Names(document)
    tables = [
        _open_table(names, counts, [row for row in found if row["gate"] == counts["gate"]])
        for counts in sorted(document["counts"]["gates"], key=_worst)
        if counts["pass"] < counts["asked"]
    ]
    waived = [row for row in found if row["waiver"]]
    if waived:
        tables.append(_waivers_table(names, waived))
    passed = [row for row in found if row["verdict"] == "pass"]
    if held := [row for row in passed if not by_waiver(row)]:
        tables.append(_passed_table(names, held))
    asked = document["counts"]["verdicts"]["asked"]
    words = [] if len(passed) < len(found) else [f"Pass: {asked} of {counted(asked, 'verdict')}."]
    return Section("Verdicts", words, tables=tables)


def _worst(counts: Row) -> tuple[bool, bool]:
    return not counts["fail"], not counts["inconclusive"]


def _open_table(names: Names, counts: Row, rows: Sequence[Row]) -> Table:
    """What one gate refused or could not decide."""
    refused = [row for row in rows if row["verdict"] != "pass"]
    columns = [
        Column("verdict", "word"),
        *names.columns(),
        Column(VALUE, "number"),
        Column("why"),
        Column("what would decide", detail=True),
    ]
    body = [
        [
            row["verdict"],
            *names.values(row),
            _value(row),
            _why(row),
            clean(row["prescription"] or ""),
        ]
        for row in refused
    ]
    told = ", ".join(f"{counts[word]} {word}" for word in _WORST_FIRST if counts[word])
    return Table(f"{clean(counts['gate'])}: {told}", columns, body).filled()


def _passed_table(names: Names, rows: Sequence[Row]) -> Table:
    columns = [Column("gate"), *names.columns(), Column(VALUE, "number")]
    body = [[clean(row["gate"]), *names.values(row), _value(row)] for row in rows]
    return Table("Passed", columns, body, detail=True)


def _waivers_table(names: Names, rows: Sequence[Row]) -> Table:
    """Cells that may break a gate, so that nobody takes their pass for the gate's."""
    columns = [
        Column("gate"),
        *names.columns(),
        Column(VALUE, "number"),
        Column("verdict", "word"),
        Column("waived"),
        Column("why"),
    ]
    body = [
        [clean(row["gate"]), *names.values(row), _value(row), row["verdict"], *_waived(row)]
        for row in rows
    ]
    return Table("Waivers", columns, body)


def _waived(row: Row) -> tuple[str, str]:
    waiver = row["waiver"]
    until = clean(waiver["expires"])
    held = f"up to {waiver['ceiling']:g} until {until}" if waiver["in_force"] else f"ended {until}"
    return held, clean("; ".join(filter(None, [waiver["reason"], waiver["issue"]])), 300)


def _why(row: Row) -> str:
    """Nothing where the interval beside it says it all: it is beyond the limit, or around it."""
    low, high = row["ci"] or (None, None)
    if row["ci"] and (row["verdict"] == "fail" or low <= row["limit"] <= high):
        return ""
    return clean(row["reason"].removesuffix(f"; {row['prescription']}"), 300)


def _value(row: Row) -> str:
    return valued(row["value"], row["ci"], row["unit"])
