"""Inputs a second: back to back, under random arrivals, and minute by minute under load."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from agents import wire
from reports.charts import throughput_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import LONGEST_LABEL, Names
from reports.saturation import RULE
from reports.text import NOTHING, clean, number, with_interval

ORDER = 50
MOST_PANELS = 6


def section(document: Document) -> Section:
    """A detail, unless the study asks for rates or for a load that lasts."""
    good = [row for row in document["results"] if row["status"] == "ok"]
    flowing = [row for row in good if row["throughput_ips"] is not None]
    served = [row for row in good if row["scenario"] == wire.SERVER]
    loaded = [row for row in good if row["scenario"] == wire.SUSTAINED]
    swept = _sweeps(Names(document), document["saturation"])
    tables = [*swept, *_tables(Names(document), flowing, served, loaded)]
    if not tables:
        return Section("Throughput", ["No cell has a result."], detail=True)
    detail = not served and not loaded and not swept
    rule = [RULE] * bool(swept)
    if len({row["batch"] for row in flowing}) < 2:
        words = ["One batch size was measured, so there is no curve to draw."] * bool(flowing)
        return Section("Throughput", [*rule, *words], tables=tables, detail=detail)
    return Section(
        "Throughput", rule, tables=tables, charts=[_chart(document, flowing)], detail=detail
    )


def _chart(document: Document, flowing: Sequence[Row]) -> Chart:
    keys = ("device", "runtime", "precision_requested", "scenario")
    told = [k for k in keys if k == "runtime" or len({row[k] for row in document["results"]}) > 1]
    points = [
        {
            "variant": clean(row["variant"], LONGEST_LABEL),
            "place": " · ".join(clean(row[key], LONGEST_LABEL) for key in told),
            "line": clean(f"{row['variant']} {row['threads']}"),
            "batch": row["batch"],
            "throughput": row["throughput_ips"],
        }
        for row in flowing
    ]
    places = list(dict.fromkeys(point["place"] for point in points))
    most = "; the first places, the table has all" if len(places) > MOST_PANELS else ""
    drawn = [point for point in points if point["place"] in places[:MOST_PANELS]]
    return Chart(f"Inputs a second over the batch size{most}", lambda: throughput_chart(drawn))


def _sweeps(names: Names, sweeps: Sequence[Row]) -> list[Table]:
    """Where more inputs at once, or more threads, bring no more; nothing without a sweep."""
    axes = ("batch", "threads")
    columns = [
        *names.columns(without=axes),
        Column("over"),
        Column("best inputs a second", "number"),
        Column("best at", "number"),
        Column("saturated from", "number"),
        Column("note", detail=True),
    ]
    body = [
        [
            *names.values(row, without=axes),
            _over(row),
            with_interval(row["best_ips"], row["ci"]),
            str(row["best_at"]),
            str(row["saturated_from"] or NOTHING),
            _doubt(row),
        ]
        for row in sweeps
    ]
    caption = "Best throughput, and from where on more does not raise it by 5%"
    return [Table(caption, columns, body)] * bool(body)


def _over(row: Row) -> str:
    """What was varied, and what was not: batch 1, 8 (threads 2)."""
    fixed = "threads" if row["axis"] == "batch" else "batch"
    return f"{row['axis']} {', '.join(map(str, row['settings']))} ({fixed} {row[fixed]})"


def _doubt(row: Row) -> str:
    at = row["perhaps_from"]
    perhaps = "" if at is None else f"{row['axis']} {at} is perhaps as good: more launches tell"
    return "; ".join(part for part in (row["reason"], perhaps) if part)


def _tables(
    names: Names, flowing: Sequence[Row], served: Sequence[Row], loaded: Sequence[Row]
) -> Iterator[Table]:
    if served:
        yield _rates(names, served)
    if loaded:
        yield _minutes(names, loaded)
    if flowing:
        yield _flow(names, flowing)
    if served:
        yield _tried(names, served)


def _flow(names: Names, rows: Sequence[Row]) -> Table:
    columns = [*names.columns(), Column("inputs a second", "number"), Column("in flight", "number")]
    body = [
        [
            *names.values(row),
            with_interval(row["throughput_ips"], row["intervals"]["throughput_ips"]),
            str(row["streams"] or NOTHING),
        ]
        for row in rows
    ]
    caption = "Inputs of a sample over its mean time, with the 95% interval of this run only"
    return Table(caption, columns, body, detail=True)


def _rates(names: Names, rows: Sequence[Row]) -> Table:
    """What each cell can serve, or what it came closest to."""
    columns = [
        *names.columns(),
        Column("inputs a second", "number"),
        Column("target p99", "number"),
        Column("p99 there", "number"),
        Column("note"),
    ]
    body = []
    for row in rows:
        found, ends = row["server"], row["server"]["ci"]["rate_ips"]
        rate = with_interval(found["rate_ips"], ends)
        why = "" if ends else clean(row["reasons"]["server.ci.rate_ips"], 300)
        target = f"{number(found['target_ms'])} ms"
        body.append([*names.values(row), rate, target, _p99_there(row), why])
    caption = "Highest rate of random arrivals whose p99 keeps the target, median of launches"
    return Table(caption, columns, body).filled()


def _p99_there(row: Row) -> str:
    """p99 at the rate that was held; nothing where that lies between two rates tried."""
    held = row["server"]["rate_ips"]
    for trial in row["server"]["trials"]:
        if held is not None and math.isclose(trial["rate"] * row["batch"], held):
            return f"{number(trial['p99_ms'])} ms"
    return ""


def _tried(names: Names, rows: Sequence[Row]) -> Table:
    columns = [
        *names.columns(),
        *(Column(name, "number") for name in ("requests a second", "p50 ms", "p99 ms")),
        *(Column(name, "number") for name in ("requests", "late", "launches")),
    ]
    body = [
        [
            *names.values(row),
            *(number(trial[key]) for key in ("rate", "p50_ms", "p99_ms")),
            *(f"{trial[key]:,}" for key in ("requests", "late", "launches")),
        ]
        for row in rows
        for trial in row["server"]["trials"]
    ]
    return Table("Every rate tried, from scheduled arrival to answer", columns, body, detail=True)


def _minutes(names: Names, rows: Sequence[Row]) -> Table:
    columns = [
        *names.columns(),
        Column("first minute", "number"),
        Column("last minute", "number"),
        Column("last over first", "number"),
        Column("p50 of each minute", detail=True),
    ]
    body = [
        [
            *names.values(row),
            *(f"{number(row['sustained'][key])} ms" for key in ("first_p50_ms", "last_p50_ms")),
            with_interval(row["sustained"]["ratio"], row["sustained"]["ci"]["ratio"]),
            ", ".join(number(minute) for minute in row["sustained"]["minutes"]),
        ]
        for row in rows
    ]
    return Table("p50 under a load that lasts; above 1 it slowed down", columns, body)
