"""The evaluations of a document: where they ran, their rows of results, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from reports.gates import FLOWING, WAITING
from reports.layout import Column, Document, Row, Table
from reports.names import Names

T = TypeVar("T")
# An evaluation has no batch size, threads or scenario.
WITHOUT = ("batch", "threads", "scenario")
# Where a variant ran; of what else a cell has, one setting stands for all.
PLACE = ("device", "runtime", "precision_requested")
TEXTS = frozenset({"scores", "note", "corruption", "set"})  # columns that hold no numbers
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


def one_each(rows: Sequence[Row]) -> list[Row]:
    """One row for each variant in each place: of the smallest batch and the fewest threads.

    Of several scenarios it is of the first, but of a server, which has no ratio of times, last.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=_setting):
        found.setdefault((row["variant"], *(row[key] for key in PLACE)), row)
    chosen = {id(row) for row in found.values()}
    return [row for row in rows if id(row) in chosen]


def rows_of(document: Document) -> list[Row]:
    """A row of results, which has the intervals, for each evaluation; all say the same of it."""
    came_back = {_key(each) for each in document["evaluations"]}
    return [row for row in one_each(document["results"]) if _key(row) in came_back]


def table_of(
    caption: str,
    names: Names,
    rows: Sequence[Row],
    values: Callable[[Row], Mapping[str, str]],
    detail: bool = False,
) -> Table:
    """A row an evaluation, or a set of it; `values` makes its cells by the name of their column."""
    told = [values(row) for row in rows]
    columns = [
        Column(name, "text" if name in TEXTS else "number") for name in (told[0] if told else {})
    ]
    body = [
        [*names.values(row, WITHOUT), *each.values()] for row, each in zip(rows, told, strict=True)
    ]
    return Table(caption, [*names.columns(WITHOUT), *columns], body, detail).filled()


def first(found: Mapping[str, T], most: int) -> list[tuple[str, T]]:
    """Those that are drawn."""
    return list(found.items())[:most]


def left_out(found: Mapping[str, Any], most: int) -> str:
    """What a caption says of those that are not."""
    return f"; the first {most} of {len(found)} variants" if len(found) > most else ""


def _setting(row: Row) -> tuple[bool, int, int]:
    return row["scenario"] not in WAITING | FLOWING, row["batch"], row["threads"]


def _key(row: Row) -> tuple[str, str]:
    return row["device"], row["evaluation"]
