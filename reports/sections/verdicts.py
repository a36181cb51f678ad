"""The verdict on every gate, the broken ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, percent, with_interval

ORDER = 20
VALUE = "value [95% interval]"
_WORST_FIRST = ("fail", "inconclusive", "pass")


def section(document: Document) -> Section:
    found = sorted(document["verdicts"], key=lambda row: _WORST_FIRST.index(row["verdict"]))
    if not found:
        return Section("Verdicts", ["The study sets no gates, so there is nothing to judge."])
    names = Names(document)
    tables = [
        _open_table(names, gate, [row for row in found if row["gate"] == gate])
        for gate in dict.fromkeys(row["gate"] for row in found if row["verdict"] != "pass")
    ]
    waived = [row for row in found if row["waiver"]]
    if waived:
        tables.append(_waivers_table(names, waived))
    passed = [row for row in found if row["verdict"] == "pass"]
    if passed:
        tables.append(_passed_table(names, passed))
    words = [] if len(passed) < len(found) else [f"All {len(passed)} verdicts are pass."]
    return Section("Verdicts", words, tables=tables)


def _open_table(names: Names, gate: str, rows: Sequence[Row]) -> Table:
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
    counts = Counter(row["verdict"] for row in rows)
    told = ", ".join(f"{counts[word]} {word}" for word in _WORST_FIRST if counts[word])
    return Table(f"{clean(gate)}: {told}", columns, body).filled()


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
    if row["unit"] == "share":
        return percent(row["value"], row["ci"])
    text = with_interval(row["value"], row["ci"])
    return text if row["value"] is None or row["unit"] == "x" else f"{text} {row['unit']}"
