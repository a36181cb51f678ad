"""Temperature and clocks around the launches, over the time of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, zip_longest
from typing import Any

from reports.charts import minutes_chart, thermal_chart
from reports.heat import HEAT
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import LONGEST_LABEL, Names
from reports.text import NOTHING, clean, counted, number, percent

ORDER = 87
TITLE = "Temperature and clocks"
MOST_DEVICES, MOST_SENSORS, MOST_LAUNCHES, MOST_LINES = 3, 4, 100, 8  # that are drawn
_AROUND = (
    "The probes are read before and after each launch{}, never while it is timed: between two "
    "readings a board may rest and its clock with it. Whether it throttled is counted over the "
    "whole launch."
)
_MINUTES = ", and under a lasting load after each minute"
Pair = Sequence[float | None]  # before and after


def section(document: Document) -> Section:
    devices = document["thermal"]
    told = [device for device in devices if device["launches"] and _reads(device)]
    lasting = [row for row in document["results"] if row["sustained"] and _minutes(row)]
    names = Names(document)
    return Section(
        TITLE,
        [
            *([_AROUND.format(_MINUTES * _heated(lasting))] if told else []),
            *_left_out(told),
            *_unread(lasting),
        ],
        points=[(clean(device["device"]), _words(device)) for device in devices],
        tables=[*map(_table, told), *_lasting(names, lasting)],
        charts=[*_charts(told), *_load(names, lasting)],
        detail=not any(device["throttled"] for device in devices),
    )


def _reads(device: Row) -> bool:
    return not {"temperature_c", "clock_mhz"} <= device["reasons"].keys()


def _words(device: Row) -> str:
    """What became of a device, and why something is not known of it."""
    parts = []
    if device["hottest_c"] is not None:
        sensor = clean(device["hottest_sensor"], LONGEST_LABEL)
        parts.append(f"at most {number(device['hottest_c'])} °C ({sensor})")
    if device["lowest_share"] is not None:
        highest = f"{number(device['highest_mhz'], 4)} MHz"
        parts.append(f"clock at least {percent(device['lowest_share'])} of its highest, {highest}")
    elif device["lowest_mhz"] is not None:
        parts.append(f"clock at least {number(device['lowest_mhz'], 4)} MHz")
    if device["throttled"]:
        parts.append(f"throttled in {device['throttled']} of {counted(device['count'], 'launch')}")
    reasons = dict.fromkeys(device["reasons"].values())
    return f"{'; '.join([*parts, *(clean(reason) for reason in reasons)])}."


def _left_out(devices: Sequence[Row]) -> Iterator[str]:
    if len(devices) > MOST_DEVICES:
        yield "Only the first devices are drawn; the tables have all."


def _charts(devices: Sequence[Row]) -> Iterator[Chart]:
    for device in [d for d in devices if "at_s" not in d["reasons"]][:MOST_DEVICES]:
        step = -(-device["count"] // MOST_LAUNCHES)
        thinned = " (not every launch is drawn)" if step > 1 else ""
        shaded = "; shaded: throttled" if device["throttled"] else ""
        caption = (
            f"{clean(device['device'])}: temperature and clock before and after each launch"
            f"{thinned}{shaded}"
        )
        yield Chart(caption, partial(_drawn, device, device["launches"][::step]))


def _throttled(launches: Sequence[Row]) -> Iterator[tuple[float, float]]:
    """From when to when launches in a row were throttled, seconds."""
    for throttled, spell in groupby(launches, key=lambda row: row["throttled"] is not None):
        rows = list(spell)
        if throttled:
            yield rows[0]["at_s"], rows[-1]["at_s"] + rows[-1]["seconds"]


def _drawn(device: Row, launches: Sequence[Row]) -> dict[str, Any]:
    shares = device["lowest_share"] is not None
    unit = 60.0 if launches[-1]["at_s"] > 300 else 1.0
    clocks = [
        {"at": at / unit, "value": value}
        for row in launches
        for at, value in _readings(row, row["clock_share" if shares else "clock_mhz"])
    ]
    heat = [
        {"at": at / unit, "value": value, "sensor": clean(sensor, LONGEST_LABEL)}
        for sensor in _hottest(device["launches"])
        for row in launches
        for at, value in _readings(row, row["temperature_c"].get(sensor, ()))
    ]
    throttled = [
        {"from": begin / unit, "to": end / unit} for begin, end in _throttled(device["launches"])
    ]
    time = "minutes" if unit > 1 else "seconds"
    return thermal_chart(heat, clocks, throttled, f"{time} since the first launch", shares)


def _readings(row: Row, pair: Pair) -> Iterator[tuple[float, float]]:
    """When a value was read in seconds, and the value."""
    for at, value in zip((row["at_s"], row["at_s"] + row["seconds"]), pair, strict=False):
        if value is not None:
            yield at, value


def _hottest(launches: Sequence[Row]) -> list[str]:
    """The sensors that are drawn, the hottest first."""
    highest: dict[str, float] = {}
    for row in launches:
        for sensor, pair in row["temperature_c"].items():
            known = [value for value in pair if value is not None]
            highest[sensor] = max([*known, highest.get(sensor, float("-inf"))])
    return sorted(highest, key=lambda sensor: -highest[sensor])[:MOST_SENSORS]


def _table(device: Row) -> Table:
    launches = device["launches"]
    sensors = list(dict.fromkeys(name for row in launches for name in row["temperature_c"]))
    columns = [
        Column("launch"),
        Column("at, s", "number"),
        Column("lasts, s", "number"),
        *(Column(f"{clean(sensor, LONGEST_LABEL)}, °C", "number") for sensor in sensors),
        Column("clock, MHz", "number"),
        Column("of the highest", "number"),
        Column("throttled"),
    ]
    body = [
        [
            f"{clean(row['group'])} {row['ordinal']}",
            "" if row["at_s"] is None else number(row["at_s"], 4),
            number(row["seconds"]),
            *(_pair(row["temperature_c"].get(sensor, ()), number) for sensor in sensors),
            _pair(row["clock_mhz"], lambda mhz: number(mhz, 4)),
            _pair(row["clock_share"], percent),
            clean(row["throttled"] or ""),
        ]
        for row in launches
    ]
    caption = (
        f"{clean(device['device'])}: each launch in order of time, readings before and after it; "
        "the clock is the lowest of the processors that it ran on"
    )
    return Table(caption, columns, body, detail=True).filled()


def _pair(pair: Pair, told: Any) -> str:
    """Before and after; one value where both read alike."""
    if all(value is None for value in pair):
        return ""
    return " to ".join(dict.fromkeys(NOTHING if value is None else told(value) for value in pair))


def _minutes(row: Row) -> list[float | None]:
    found: list[float | None] = row["sustained"]["over_first"]
    return found if sum(ratio is not None for ratio in found) > 1 else []


def _lasting(names: Names, rows: Sequence[Row]) -> Iterator[Table]:
    if not rows:
        return
    heated = _heated(rows)
    columns = [*names.columns(), Column("over the first minute")]
    columns += [Column("°C"), Column("clock"), Column("throttled")] * heated
    caption = "p50 of each minute of a lasting load over that of the first"
    if heated:
        caption += "; temperature and clock before it and after each minute"
    body = [
        [
            *names.values(row),
            ", ".join(number(ratio) for ratio in _minutes(row)),
            *(_heat_words(row["sustained"]) if heated else ()),
        ]
        for row in rows
    ]
    yield Table(caption, columns, body, detail=True)


def _heat_words(load: Row) -> Iterator[str]:
    """Of one cell the hottest sensor, its clock, and what throttled it, minute by minute."""
    sensor, degrees = _hottest_of(load)
    name = clean(sensor or "", LONGEST_LABEL)
    yield f"{name}: {_listed(degrees, number)}" if sensor else NOTHING
    if load["clock_share"]:
        yield _listed(load["clock_share"], percent)
    elif load["clock_mhz"]:
        yield f"{_listed(load['clock_mhz'], lambda mhz: number(mhz, 4))} MHz"
    else:
        yield NOTHING
    held = load["throttled"] or []
    yield "; ".join(clean(cause or NOTHING) for cause in held) if any(held) else ""


def _listed(values: Sequence[float | None], told: Any) -> str:
    return ", ".join(NOTHING if value is None else told(value) for value in values)


def _hottest_of(load: Row) -> tuple[str | None, Sequence[float | None]]:
    """The sensor of a cell that grew hottest, and its readings."""

    def highest(sensor: str) -> float:
        known = [value for value in sensors[sensor] if value is not None]
        return max(known, default=float("-inf"))

    sensors = load["temperature_c"] or {}
    sensor = max(sensors, key=highest, default=None)
    return sensor, sensors[sensor] if sensor else ()


def _heated(rows: Sequence[Row]) -> bool:
    """Whether anything was read minute by minute."""
    return any(row["sustained"]["temperature_c"] or row["sustained"]["clock_mhz"] for row in rows)


def _unread(rows: Sequence[Row]) -> Iterator[str]:
    """Why something is not known of the minutes."""
    paths = [f"sustained.{name}" for name in HEAT]
    reasons = {
        row["reasons"][path]: None for row in rows for path in paths if path in row["reasons"]
    }
    if reasons:
        yield f"Of the minutes under a lasting load: {'; '.join(map(clean, reasons))}."


def _load(names: Names, rows: Sequence[Row]) -> Iterator[Chart]:
    if not rows:
        return
    slowest = sorted(rows, key=lambda row: -max(ratio or 0.0 for ratio in _minutes(row)))
    drawn = [(names.label(row), row["sustained"]) for row in slowest[:MOST_LINES]]
    most = "; those that slow down most" if len(rows) > MOST_LINES else ""
    heat = "; below, temperature and clock: at 0 before the load, then after each minute"
    held = any(cause for _, load in drawn for cause in load["throttled"] or ())
    caption = (
        f"p50 of each minute of a lasting load over that of the first{most}"
        f"{heat * _heated(slowest[:MOST_LINES])}{'; diamonds: throttled' * held}"
    )
    yield Chart(caption, partial(_drawn_load, drawn))


def _drawn_load(cells: Sequence[tuple[str, Row]]) -> dict[str, Any]:
    points = [
        {"cell": cell, "minute": minute, "value": ratio, "throttled": bool(cause)}
        for cell, load in cells
        for minute, (ratio, cause) in enumerate(
            zip_longest(load["over_first"], load["throttled"] or ()), 1
        )
        if ratio is not None
    ]
    shares = all(load["clock_share"] for _, load in cells if load["clock_mhz"])
    clock = "clock_share" if shares else "clock_mhz"
    heat = _over_minutes((cell, _hottest_of(load)[1]) for cell, load in cells)
    clocks = _over_minutes((cell, load[clock] or ()) for cell, load in cells)
    return minutes_chart(points, heat, clocks, shares)


def _over_minutes(cells: Iterable[tuple[str, Sequence[float | None]]]) -> list[dict[str, Any]]:
    return [
        {"cell": cell, "minute": minute, "value": value}
        for cell, values in cells
        for minute, value in enumerate(values)
        if value is not None
    ]
