"""What really ran, read back from the runtime: precision, who ran it, by which kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import NOTHING, clean, number, percent

ORDER = 45
TITLE = "Executed, not requested"
WORDS = (
    "Read back in a first run of each file, which the runtime traces; timed launches trace "
    "nothing. Precision is that of convolutions and matrix products. Times of layers are rough: "
    "means of a few inferences, of 30 with `edgeproof run --profile`."
)
# What a cell has beyond its evaluation, which speaks for all of them.
_BEYOND = ("batch", "threads", "scenario", "precision")
MAIN_KERNELS = 3
_UNTOLD = {"layers": "layers", "layers_us": "times of layers", "kernels": "names of kernels"}
# Of the time: layers that take less are one row together.
SHOWN_FROM = 0.01


def section(document: Document) -> Section:
    rows = _first_of_each([row for row in document["results"] if _told(row)])
    if not rows:
        return Section(TITLE, ["No runtime has told what it ran."], detail=True)
    names = Names(document)
    tables = [_table(names, rows), *_layers(names, document["profiles"])]
    points = list(_points(rows))
    words = [WORDS, *_untold(rows)]
    return Section(TITLE, words, points=points, tables=tables, detail=not points)


def _told(row: Row) -> bool:
    return row["precision_executed"] is not None or row["executed"]["layers"] is not None


def _first_of_each(rows: Sequence[Row]) -> list[Row]:
    """One row for each evaluation: its first cell's."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        found.setdefault((row["device"], row["evaluation"]), row)
    return list(found.values())


def _points(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Where something else ran than was asked for."""
    for row in rows:
        for flag in row["executed"]["flags"]:
            yield clean(f"{row['variant']} in {row['runtime']}"), f"{clean(flag, 300)}."


def _table(names: Names, rows: Sequence[Row]) -> Table:
    columns = [
        *names.columns(without=_BEYOND),
        Column("requested"),
        Column("executed"),
        Column("run by"),
        Column("fell back, of layers", "number"),
        Column("of time", "number"),
        Column("layers", "number"),
        Column("main kernels"),
        Column("note"),
    ]
    body = [[*names.values(row, without=_BEYOND), *_cells(row)] for row in rows]
    caption = "What each file ran as, once for each runtime and precision"
    return Table(caption, columns, body).filled()


def _cells(row: Row) -> list[str]:
    ran: Mapping[str, Any] = row["executed"]
    fallback: Mapping[str, Any] = ran["fallback"] or {"layers": None}
    fell = [percent(fallback[key]) for key in ("share", "time_share") if fallback["layers"]]
    return [
        clean(row["precision_requested"]),
        _precisions(row),
        _coverage(ran),
        *(fell or ["", ""]),
        str(ran["layers"] or NOTHING),
        _kernels(row),
        clean(ran["note"] or "", 300),
    ]


def _precisions(row: Row) -> str:
    """The precision, or how many compute layers ran in each."""
    found = row["executed"]["precisions"] or []
    if len(found) < 2:
        return clean(row["precision_executed"] or NOTHING)
    return clean(", ".join(f"{one['precision']}: {one['layers']}" for one in found)) + " layers"


def _coverage(ran: Mapping[str, Any]) -> str:
    """Who ran it; where several did, what share of the layers and of the time each."""
    found = ran["coverage"] or []
    if len(found) < 2:
        return clean(found[0]["provider"] if found else ran["provider"] or NOTHING)
    return clean("; ".join(f"{one['provider']} {_of(one)}" for one in found), 300)


def _of(one: Mapping[str, Any]) -> str:
    timed = "" if one["time_share"] is None else f", {percent(one['time_share'])} of time"
    return f"{percent(one['share'])} of layers{timed}"


def _kernels(row: Row) -> str:
    """Those with most of the time, else of the layers."""
    found = row["executed"]["kernels"] or []
    shown = [
        f"{one['kernel']} {percent(one['share' if one['time_share'] is None else 'time_share'])}"
        for one in found[:MAIN_KERNELS]
    ]
    return clean(", ".join(shown), 300)


def _untold(rows: Sequence[Row]) -> Iterator[str]:
    """Why parts of the table are missing, once for each runtime and reason."""
    for key, named in _UNTOLD.items():
        reasons = dict.fromkeys(
            f"{row['runtime']}: {row['reasons'][f'executed.{key}']}"
            for row in rows
            if f"executed.{key}" in row["reasons"]
        )
        if reasons:
            yield f"Not everywhere told are {named} ({clean('; '.join(reasons), 600)})."


def _layers(names: Names, profiles: Sequence[Row]) -> Iterator[Table]:
    """A table for each evaluation whose layers were timed, in order of execution."""
    columns = [
        Column("layer"),
        Column("operator"),
        Column("kernel"),
        Column("run by"),
        Column("precision"),
        Column("us", "number"),
        Column("of time", "number"),
        Column("zeros", "number"),
    ]
    for profile in profiles:
        layers = profile["layers"]
        shown = [one for one in layers if (one["time_share"] or 0.0) >= SHOWN_FROM]
        if not shown:
            continue
        rest = [one for one in layers if (one["time_share"] or 0.0) < SHOWN_FROM]
        body = [_layer(one) for one in shown] + [_rest(rest)] * bool(rest)
        told = clean(" · ".join(map(str, _subject(names, profile))), 200)
        unknown = dict.fromkeys(one["zeros_reason"] for one in shown if one["zeros_reason"])
        why = f"; zeros are blank where {'; '.join(map(clean, unknown))}" * bool(unknown)
        yield Table(f"Time by layer: {told}{why}", columns, body, detail=True).filled()


def _subject(names: Names, profile: Row) -> Iterator[str]:
    yield from names.values(profile, without=_BEYOND)
    yield profile["precision_requested"]


def _layer(one: Row) -> list[str]:
    return [
        clean(one["name"]),
        *(clean(one[key] or "") for key in ("operator", "kernel", "provider", "precision")),
        number(one["us"]),
        percent(one["time_share"]),
        "" if one["zeros"] is None else percent(one["zeros"]),
    ]


def _rest(rest: Sequence[Row]) -> list[str]:
    spent = (sum(one[key] or 0.0 for one in rest) for key in ("us", "time_share"))
    us, share = spent
    return [f"{len(rest)} more", *[""] * 4, number(us), percent(share), ""]
