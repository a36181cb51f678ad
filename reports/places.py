"""The evaluations of a document: where they ran, their rows of results, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from reports.layout import Column, Document, Row, Table
from reports.names import Names

T = TypeVar("T")
# An evaluation has no batch size, threads or scenario.
WITHOUT = ("batch", "threads", "scenario")
TEXTS = frozenset({"scores", "note"})  # columns that hold no numbers
MOST_PLACES = 4  # that are drawn; the tables have all


def by_place(document: Document, found: Sequence[Row]) -> dict[str, list[Row]]:
    """The evaluations of one device, runtime and precision, the baseline first."""
    names = Names(document)
    places: dict[str, list[Row]] = {}
    baseline = document["baseline"]
    for each in sorted(found, key=lambda each: each["variant"] != baseline):
        label = " · ".join(names.values(each, ("variant", *WITHOUT)))
        places.setdefault(label, []).append(each)
    return places


def rows_of(document: Document) -> list[Row]:
    """A row of results, which has the intervals, for each evaluation; all say the same of it."""
    rows = {_key(row): row for row in reversed(document["results"])}
    keys = [_key(each) for each in document["evaluations"]]
    return [rows[key] for key in keys if key in rows]


def table_of(
    caption: str, names: Names, rows: Sequence[Row], values: Callable[[Row], Mapping[str, str]]
) -> Table:
    """A row an evaluation; `values` makes its cells by the name of their column."""
    told = [values(row) for row in rows]
    columns = [
        Column(name, "text" if name in TEXTS else "number") for name in (told[0] if told else {})
    ]
    body = [
        [*names.values(row, WITHOUT), *each.values()] for row, each in zip(rows, told, strict=True)
    ]
    return Table(caption, [*names.columns(WITHOUT), *columns], body).filled()


def first(found: Mapping[str, T], most: int) -> list[tuple[str, T]]:
    """Those that are drawn."""
    return list(found.items())[:most]


def left_out(found: Mapping[str, Any], most: int) -> str:
    """What a caption says of those that are not."""
    return f"; the first {most} of {len(found)} variants" if len(found) > most else ""


def _key(row: Row) -> tuple[str, str]:
    return row["device"], row["evaluation"]
