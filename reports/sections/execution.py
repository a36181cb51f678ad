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
LONGEST_NAME, LONGEST_OPERATOR = 60, 30
NOT_TOLD = "not told"
_UNTOLD = {"layers": "Layers", "layers_us": "Times of layers", "kernels": "Names of kernels"}
# Of the time: layers that take less are one row together.
SHOWN_FROM = 0.01


def section(document: Document) -> Section:
    rows = _first_of_each([row for row in document["results"] if _told(row)])
    if not rows:
        return Section(TITLE, ["No runtime has told what it ran."], detail=True)
    names = Names(document)
    tables = [_table(names, rows), *_kernels(names, rows), *_layers(names, document["profiles"])]
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
    """What ran otherwise than was asked for, and where."""
    told: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for flag in row["executed"]["flags"]:
            told.setdefault(flag, {}).setdefault(row["variant"], []).append(row["runtime"])
    for flag, places in told.items():
        where = [
            f"{clean(variant)} in {', '.join(dict.fromkeys(map(clean, runtimes)))}"
            for variant, runtimes in places.items()
        ]
        yield clean(f"{flag[:1].upper()}{flag[1:]}:", 300), f"{'; '.join(where)}."


def _table(names: Names, rows: Sequence[Row]) -> Table:
    columns = [
        *names.columns(without=_BEYOND),
        Column("requested"),
        Column("executed"),
        Column("fell back"),
        Column("run by"),
        Column("note", detail=True),
    ]
    body = [[*names.values(row, without=_BEYOND), *_cells(row)] for row in rows]
    caption = "What each file ran as, once for each runtime and precision"
    return Table(caption, columns, body).filled()


def _cells(row: Row) -> list[str]:
    ran: Mapping[str, Any] = row["executed"]
    return [
        clean(row["precision_requested"]),
        _precisions(row),
        _fallback(ran["fallback"] or {"layers": None}),
        _coverage(ran),
        clean(ran["note"] or "", 300),
    ]


def _precisions(row: Row) -> str:
    """The precision, or how many compute layers ran in each."""
    found = row["executed"]["precisions"] or []
    if len(found) < 2:
        return clean(row["precision_executed"] or NOT_TOLD)
    return clean(", ".join(f"{one['layers']} {one['precision']}" for one in found))


def _fallback(found: Mapping[str, Any]) -> str:
    if not found["layers"]:
        return ""
    spent = found["time_share"]
    return f"{percent(found['share'])} of layers" if spent is None else f"{percent(spent)} of time"


def _coverage(ran: Mapping[str, Any]) -> str:
    """Who ran it; where several did, what share each."""
    found = ran["coverage"] or []
    if len(found) < 2:
        return clean(found[0]["provider"] if found else ran["provider"] or NOTHING)
    return clean(", ".join(f"{one['provider']} {percent(_share(one))}" for one in found), 300)


def _share(one: Mapping[str, Any]) -> float | None:
    """Of the time; of the layers where they are not timed."""
    share: float | None = one["share" if one["time_share"] is None else "time_share"]
    return share


def _kernels(names: Names, rows: Sequence[Row]) -> Iterator[Table]:
    """A table of the kernels with most of the time, else of the layers, of each evaluation."""
    body = [
        [
            *names.values(row, without=_BEYOND),
            clean(row["precision_requested"]),
            clean(one["kernel"]),
            str(one["layers"]),
            percent(one["time_share"]),
        ]
        for row in rows
        for one in (row["executed"]["kernels"] or [])[:MAIN_KERNELS]
    ]
    if body:
        columns = [
            *names.columns(without=_BEYOND),
            Column("requested"),
            Column("kernel"),
            Column("layers", "number"),
            Column("of time", "number"),
        ]
        yield Table("Main kernels", columns, body, detail=True)


def _untold(rows: Sequence[Row]) -> Iterator[str]:
    """What is missing from the tables, once for each reason."""
    for key, named in _UNTOLD.items():
        runtimes: dict[str, dict[str, None]] = {}
        for row in rows:
            if reason := row["reasons"].get(f"executed.{key}"):
                runtimes.setdefault(reason, {})[row["runtime"]] = None
        for reason, where in runtimes.items():
            yield f"{named} are missing for {', '.join(map(clean, where))}: {clean(reason)}."


def _layers(names: Names, profiles: Sequence[Row]) -> Iterator[Table]:
    """A table for each evaluation whose layers were timed, in order of execution."""
    columns = [
        Column("layer"),
        Column("kernel"),
        Column("precision"),
        Column("of time", "number"),
        Column("us", "number"),
        Column("zeros", "number"),
        Column("operator"),
        Column("run by"),
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
        mean = f"; mean of {profile['traced']} traced inferences" * bool(profile["traced"])
        yield Table(f"Time by layer: {told}{mean}{why}", columns, body, detail=True).filled()


def _subject(names: Names, profile: Row) -> Iterator[str]:
    yield from names.values(profile, without=_BEYOND)
    yield profile["precision_requested"]


def _layer(one: Row) -> list[str]:
    return [
        clean(one["name"], LONGEST_NAME),
        clean(one["kernel"] or ""),
        clean(one["precision"] or ""),
        percent(one["time_share"]),
        number(one["us"]),
        "" if one["zeros"] is None else percent(one["zeros"]),
        clean(one["operator"] or "", LONGEST_OPERATOR),
        clean(one["provider"] or ""),
    ]


def _rest(rest: Sequence[Row]) -> list[str]:
    us, share = (sum(one[key] or 0.0 for one in rest) for key in ("us", "time_share"))
    return [f"{len(rest)} more", "", "", percent(share), number(us), "", "", ""]
