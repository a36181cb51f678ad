"""The sections that show a lab's past at one glance, whatever the form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from reports.faults import kept
from reports.forms import Sections
from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.sessions.history_page import around, change
from reports.text import clean, counted, percent, with_interval

_MOST_POINTS, _MOST_NAMES = 20, 4


def title(document: Document) -> str:
    names = [clean(name) for name in document["studies"]]
    told = ", ".join(names) if len(names) <= _MOST_NAMES else _studies(len(names))
    return f"edgeproof history: {told}"


def sections(document: Document) -> Sections:
    """The sections of a document of reports.sessions.overview, in order."""
    parts = {"answer": _answer, "cells": _cells, "surroundings": _surroundings}
    return kept((name, partial(part, document)) for name, part in parts.items())


def _answer(document: Document) -> Section:
    rows = document["rows"]
    changed = sum(len(row["changes"]) for row in rows)
    moved = sum(len(row["anchor_changes"]) for row in rows)
    devices = {row["device"] for row in rows}
    words = [
        f"{document['metric']} of {counted(len(rows), 'cell')} on "
        f"{counted(len(devices), 'device')}, in {_studies(len(document['studies']))}: "
        f"{_changes(document, changed)}",
    ]
    if moved:
        words.append(
            f"In {counted(moved, 'place')} the anchor's own time changed its level: the "
            "surroundings moved there, which is no variant's doing."
        )
    short = sum(row["sessions"] < document["fewest_sessions"] for row in rows)
    if short and not document["exact"]:
        words.append(
            f"Of {short} of {counted(len(rows), 'cell')} a change cannot be told yet: that takes "
            f"{document['fewest_sessions']} sessions."
        )
    return Section("Answer", words, list(_points(document))[:_MOST_POINTS])


def _changes(document: Document, count: int) -> str:
    if document["exact"]:
        return f"{counted(count, 'change')}."
    if not count:
        return "no change of level is nominated."
    return (
        f"{counted(count, 'change')} of level nominated. None is a verdict: what confirms one is "
        "to measure both files again, in turns."
    )


def _studies(count: int) -> str:
    return "1 study" if count == 1 else f"{count} studies"


def _points(document: Document) -> Iterator[tuple[str, str]]:
    names = Names({"results": document["rows"]})
    for row in document["rows"]:
        name = f"{clean(row['study'])}: {names.label(row)}"
        unit = document["unit"]
        for each in row["changes"]:
            yield name, f"{change(row, each, unit)} More: {clean(row['show'], 300)}"
        for each in row["anchor_changes"]:
            yield name, around(row, each, unit)


def _cells(document: Document) -> Section:
    names = Names({"results": document["rows"]})
    columns = [
        Column("study"),
        Column("cell"),
        Column("sessions", "number"),
        Column("last"),
        Column("follows"),
        Column("now [95% interval]", "number"),
        Column("since the first", "number"),
        Column("new levels", "number"),
        Column("why not", detail=True),
        Column("all of it", detail=True),
    ]
    rows = [_row(document, names, row) for row in document["rows"]]
    table = Table("Where each cell stands", columns, rows).filled()
    return Section("Every cell", tables=[table] if rows else [])


def _row(document: Document, names: Names, row: Row) -> list[str]:
    now, show = row["now"], percent if document["unit"] == "share" else with_interval
    ratio = row["follows"] == "ratio"
    since = row["since_first"]
    return [
        clean(row["study"]),
        names.label(row),
        f"{row['sessions']}",
        clean(row["last"])[:10],
        f"ratio to {clean(row['anchor'])}" if ratio else f"its own, {document['unit']}",
        show(now["value"], now["ci"]),
        "" if since is None else f"{100 * (since - 1):+.1f}%",
        f"{len(row['changes'])}" if row["changes"] else "",
        clean(now["reason"] or "", 200) if now["value"] is None else "",
        clean(row["show"], 300),
    ]


def _surroundings(document: Document) -> Section:
    heads = ("study", "session", "device", "where", "what", "before", "from here on")
    rows = [
        [
            clean(each["study"]),
            clean(each["run"]),
            clean(each["device"] or "all"),
            clean(" · ".join(filter(None, (each["runtime"], each["scenario"])))),
            clean(each["fact"]),
            clean(each["first"], 200),
            clean(each["second"], 200),
        ]
        for each in document["surroundings"]
    ]
    if not rows:
        words = ["Nothing that was recorded differs from one session to the next."]
        return Section("What differed around the sessions", words)
    table = Table("Differences from the session before", [Column(head) for head in heads], rows)
    return Section("What differed around the sessions", tables=[table.filled()])
