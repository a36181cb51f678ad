"""How hot each device was over the run, how fast it was clocked, and what a lasting load did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from reports.clock import NO_CLOCK, highest_mhz, no_share
from reports.conditions import slowest_mhz, spells, temperatures_c, throttled, throttled_within
from reports.heat import NO_SENSOR
from reports.row_builder import Row
from reports.run import DeviceRecord, LaunchRecord, Run

NO_LAUNCH = "no launch came back"
UNTIMED = "the run was stored before launches had a time"
SET_BACK = "the device's clock was set back during the run"


def thermal(run: Run) -> list[dict[str, Any]]:
    """What the probes read around each launch, a row a device, launches in order of time.

    `at_s` is from the device's first launch on. A clock is the lowest of the processors that the
    launch ran on; its share is of the highest that the kernel allows. What sums a device up also
    counts the readings within launches of a sustained load.
    """
    return [_device(device, _launches(run, device.name)) for device in run.devices]


def _launches(run: Run, device: str) -> list[list[LaunchRecord]]:
    """The launches of groups, each with a record a cell."""
    found: dict[tuple[str, int], list[LaunchRecord]] = {}
    for record in run.launches:
        if record.device == device:
            found.setdefault((record.group, record.ordinal), []).append(record)
    return list(found.values())


def _device(device: DeviceRecord, launches: Sequence[Sequence[LaunchRecord]]) -> dict[str, Any]:
    untimed = _untimed([records[0] for records in launches])
    first = launches[0][0].started if launches and not untimed else None
    rows = [_launch(records, first) for records in launches]
    clocks = _clocks(launches)
    highest = highest_mhz(device)
    unshared = no_share(highest, max(clocks, default=None))
    scale = None if unshared else highest
    for row in rows:
        row["clock_share"] = [_share(mhz, scale) for mhz in row["clock_mhz"]]
    hottest, sensor = max(_heats(launches), default=(None, None))
    lowest = min(clocks, default=None)
    return {
        "device": device.name,
        "count": len(rows),
        "launches": rows,
        "highest_mhz": highest,
        "reasons": dict(_reasons(rows, untimed, clocks, unshared)),
        "hottest_c": hottest,
        "hottest_sensor": sensor,
        "lowest_mhz": lowest,
        "lowest_share": _share(lowest, scale),
        "throttled": sum(row["throttled"] is not None for row in rows),
    }


def _launch(records: Sequence[LaunchRecord], first: float | None) -> Row:
    record, began = records[0], records[0].started
    cpus = {cpu for each in records for cpu in each.launch["cpus"]}
    causes = (throttled(record.conditions), *map(throttled_within, records))
    return {
        "group": record.group,
        "ordinal": record.ordinal,
        "at_s": None if first is None or began is None else began - first,
        "seconds": record.seconds,
        "temperature_c": temperatures_c(record.conditions),
        "clock_mhz": slowest_mhz(record.conditions, cpus),
        "throttled": next((cause for cause in causes if cause), None),
    }


def _untimed(records: Sequence[LaunchRecord]) -> str | None:
    """Why launches cannot be put on an axis of time; null if they can."""
    times = [record.started for record in records if record.started is not None]
    if len(times) < len(records):
        return UNTIMED
    return SET_BACK if any(later < earlier for earlier, later in pairwise(times)) else None


def _heats(launches: Sequence[Sequence[LaunchRecord]]) -> list[tuple[float, str]]:
    """Every temperature that was read, with its sensor."""
    return [
        (degrees, sensor)
        for records in launches
        for record in records
        for spell in (record.conditions, *spells(record))
        for sensor, readings in temperatures_c(spell).items()
        for degrees in readings
        if degrees is not None
    ]


def _clocks(launches: Sequence[Sequence[LaunchRecord]]) -> list[float]:
    """The lowest clock of each cell's processors whenever it was read."""
    return [
        mhz
        for records in launches
        for record in records
        for spell in (record.conditions, *spells(record))
        for mhz in slowest_mhz(spell, record.launch["cpus"])
        if mhz is not None
    ]


def _share(mhz: float | None, highest: float | None) -> float | None:
    return mhz / highest if mhz is not None and highest else None


def _reasons(
    rows: Sequence[Row], untimed: str | None, clocks: Sequence[float], unshared: str | None
) -> Iterator[tuple[str, str]]:
    """Why something is null of this device, by its key."""
    if not rows:
        yield from ((key, NO_LAUNCH) for key in ("temperature_c", "clock_mhz", "clock_share"))
        return
    if untimed:
        yield "at_s", untimed
    if not any(row["temperature_c"] for row in rows):
        yield "temperature_c", NO_SENSOR
    if not clocks:
        yield "clock_mhz", NO_CLOCK
    if unshared:
        yield "clock_share", unshared
