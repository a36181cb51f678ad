"""Temperature and clocks around the launches, over the time of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from reports.charts import minutes_chart, thermal_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import LONGEST_LABEL, Names
from reports.text import NOTHING, clean, counted, number, percent

ORDER = 87
TITLE = "Temperature and clocks"
MOST_DEVICES, MOST_SENSORS, MOST_LAUNCHES, MOST_LINES = 3, 4, 100, 8  # that are drawn
_AROUND = (
    "The probes are read before and after each launch, not within it: between two of them a board "
    "may rest and its clock with it. Whether it throttled is counted over the whole launch."
)
Pair = Sequence[float | None]  # before and after


def section(document: Document) -> Section:
    devices = document["thermal"]
    told = [device for device in devices if device["launches"] and _reads(device)]
    lasting = [row for row in document["results"] if row["sustained"] and _minutes(row)]
    names = Names(document)
    return Section(
        TITLE,
        [*([_AROUND] if told else []), *_left_out(told)],
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
    if rows:
        columns = [*names.columns(), Column("over the first minute")]
        body = [
            [*names.values(row), ", ".join(number(ratio) for ratio in _minutes(row))]
            for row in rows
        ]
        caption = "p50 of each minute of a lasting load over that of the first"
        yield Table(caption, columns, body, detail=True)


def _load(names: Names, rows: Sequence[Row]) -> Iterator[Chart]:
    if rows:
        slowest = sorted(rows, key=lambda row: -max(ratio or 0.0 for ratio in _minutes(row)))
        points = [
            {"cell": names.label(row), "minute": minute, "ratio": ratio}
            for row in slowest[:MOST_LINES]
            for minute, ratio in enumerate(_minutes(row), 1)
            if ratio is not None
        ]
        most = "; those that slow down most" if len(rows) > MOST_LINES else ""
        caption = f"p50 of each minute of a lasting load over that of the first{most}"
        yield Chart(caption, partial(minutes_chart, points))
