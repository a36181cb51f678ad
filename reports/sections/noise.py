"""How steady it was: what disturbed the launches, and where the spread of a cell comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, number, percent
from reports.variance import LEVELS

ORDER = 85
TITLE = "How steady it was"


def _span(ends: list[float] | None) -> str:
    """A range, or its one value where both ends read alike."""
    return "" if ends is None else " to ".join(dict.fromkeys(map(number, ends)))


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


# Key in a row's `noise`, heading, how to show it: a column is there where any cell has a value.
_DISTURBANCE: Mapping[str, tuple[str, Callable[..., str]]] = {
    "preempted_share": ("preempted", _share),
    "run_delay_share": ("waited", _share),
    "pressure_share": ("pressure", _share),
    "steal_share": ("stolen", _share),
    "clock_mhz": ("clock, MHz", _span),
    "temperature_c": ("hottest, °C", _span),
    "interleaved_share": ("in turns", _share),
    "call_overhead_us": ("call, us", lambda us: "" if us is None else number(us)),
}
_WORDS = (
    "Nothing was deleted: the times of the other sections hold the disturbed samples too, since "
    "users wait for them. Without the samples during which the process lost its core a time is the "
    "code's own, and a small regression shows first."
)


def section(document: Document) -> Section:
    rows = [row for row in document["results"] if row["status"] == "ok"]
    if not rows:
        return Section(TITLE, ["No cell has a result."], detail=True)
    names = Names(document)
    made = (_disturbance(names, rows), _unpreempted(names, rows), _variance(names, rows))
    tables = [table for table in made if table.rows]
    return Section(TITLE, [_WORDS, *_unread(rows)], tables=tables, detail=True)


def _unpreempted(names: Names, rows: list[Row]) -> Table:
    """Wall-clock times beside those of the samples that kept their core."""
    heads = ("p50", "p50 unpreempted", "p95", "p95 unpreempted")
    columns = [*names.columns(), *(Column(name, "number") for name in heads)]
    body = [
        [
            *names.values(row),
            *(
                number(row[times][quantile])
                for quantile in ("p50", "p95")
                for times in ("latency_ms", "unpreempted_ms")
            ),
        ]
        for row in rows
        if row["unpreempted_ms"]["p50"] is not None
    ]
    return Table("Milliseconds: of all samples, and of those that kept their core", columns, body)


def _disturbance(names: Names, rows: list[Row]) -> Table:
    heads = [Column(heading, "number") for heading, _ in _DISTURBANCE.values()]
    body = [
        [
            *names.values(row),
            *(show(row["noise"][key]) for key, (_, show) in _DISTURBANCE.items()),
        ]
        for row in rows
    ]
    caption = (
        "What disturbed the launches of each cell: samples preempted, time waited for a core, time "
        "in which any task did (pressure), processors' time stolen by a hypervisor, clock and "
        "hottest sensor, launches measured in turns, and what the call from Python costs beside "
        "a time"
    )
    return Table(caption, [*names.columns(), *heads], body).filled()


def _variance(names: Names, rows: list[Row]) -> Table:
    """Shares of the variance of log time, and what a launch's p50 varies by."""
    heads = ["sd of launches", *(level.replace("_", " ") for level in LEVELS)]
    columns = [*names.columns(), *(Column(name, "number") for name in heads)]
    body = [
        [
            *names.values(row),
            percent(row["variance"]["launch_sd"]),
            *(percent(row["variance"][level]) for level in LEVELS),
        ]
        for row in rows
        if row["variance"] is not None
    ]
    caption = (
        "Standard deviation of p50 from launch to launch, and where the variance of one sample "
        "comes from; a share that was estimated below zero is given as 0"
    )
    return Table(caption, columns, body)


def _unread(rows: list[Row]) -> list[str]:
    """Why some values are missing, once for each reason."""
    headings = {f"noise.{key}": heading for key, (heading, _) in _DISTURBANCE.items()}
    headings["variance"] = "variance"
    reasons = dict.fromkeys(
        f"{heading}: {clean(row['reasons'][path])}"
        for path, heading in headings.items()
        for row in rows
        if path in row["reasons"]
    )
    return [f"Not told everywhere: {'; '.join(reasons)}."] * bool(reasons)
