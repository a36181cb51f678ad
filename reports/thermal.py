"""How hot each device was over the run, how fast it was clocked, and what a lasting load did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from reports.conditions import slowest_mhz, temperatures_c, throttled
from reports.row import Row
from reports.run import DeviceRecord, LaunchRecord, Run

NO_LAUNCH = "no launch came back"
NO_SENSOR = "no temperature sensor was read"
NO_CLOCK = "the machine does not tell its clock"
NO_HIGHEST = "the machine does not tell its highest clock"
UNTIMED = "the run was stored before launches had a time"
SET_BACK = "the device's clock was set back during the run"
KHZ_PER_MHZ = 1000
# The kernel rounds the clock that it reads: so far above the highest is not another core's.
ROUNDING = 1.01
Readings = list[float | None]  # before and after a launch


def thermal(run: Run) -> list[dict[str, Any]]:
    """What the probes read around each launch, a row a device, launches in order of time.

    `at_s` is from the device's first launch on. A clock is the lowest of the processors that the
    launch ran on; its share is of the highest that the kernel allows.
    """
    return [_device(device, _launches(run, device.name)) for device in run.devices]


def _launches(run: Run, device: str) -> list[tuple[LaunchRecord, set[int]]]:
    """A record of each launch of a group, with the processors that its cells ran on."""
    found: dict[tuple[str, int], tuple[LaunchRecord, set[int]]] = {}
    for record in run.launches:
        if record.device == device:
            key = (record.group, record.ordinal)
            found.setdefault(key, (record, set()))[1].update(record.launch["cpus"])
    return list(found.values())


def _device(
    device: DeviceRecord, launches: Sequence[tuple[LaunchRecord, set[int]]]
) -> dict[str, Any]:
    untimed = _untimed([record for record, _ in launches])
    first = launches[0][0].started if launches and not untimed else None
    rows = [_launch(record, cpus, first) for record, cpus in launches]
    highest = _highest_mhz(device)
    too_low = _too_low(rows, highest)
    for row in rows:
        row["clock_share"] = [
            mhz / highest if mhz is not None and highest and not too_low else None
            for mhz in row["clock_mhz"]
        ]
    return {
        "device": device.name,
        "count": len(rows),
        "launches": rows,
        "highest_mhz": highest,
        "reasons": dict(_reasons(rows, untimed, highest, too_low)),
        **_summary(rows),
    }


def _launch(record: LaunchRecord, cpus: set[int], first: float | None) -> Row:
    began = record.started
    return {
        "group": record.group,
        "ordinal": record.ordinal,
        "at_s": None if first is None or began is None else began - first,
        "seconds": record.seconds,
        "temperature_c": temperatures_c(record.conditions),
        "clock_mhz": slowest_mhz(record.conditions, cpus),
        "throttled": throttled(record.conditions),
    }


def _untimed(records: Sequence[LaunchRecord]) -> str | None:
    """Why launches cannot be put on an axis of time; null if they can."""
    times = [record.started for record in records if record.started is not None]
    if len(times) < len(records):
        return UNTIMED
    return SET_BACK if any(later < earlier for earlier, later in pairwise(times)) else None


def _highest_mhz(device: DeviceRecord) -> float | None:
    told = (device.facts.get("clocks") or {}).get("scaling_max_freq")
    return int(told) / KHZ_PER_MHZ if told and str(told).isdigit() else None


def _too_low(rows: Sequence[Row], highest: float | None) -> str | None:
    """Why the highest clock is not that of the processors in use: facts tell of the first alone."""
    seen = max((mhz for row in rows for mhz in row["clock_mhz"] if mhz is not None), default=0.0)
    if highest is None or seen <= highest * ROUNDING:
        return None
    return f"only the first processor's highest clock is known, and others run at {seen:,.0f} MHz"


def _reasons(
    rows: Sequence[Row], untimed: str | None, highest: float | None, too_low: str | None
) -> Iterator[tuple[str, str]]:
    """Why something is null of this device, by its key."""
    if not rows:
        yield from ((key, NO_LAUNCH) for key in ("temperature_c", "clock_mhz", "clock_share"))
        return
    if untimed:
        yield "at_s", untimed
    if not any(row["temperature_c"] for row in rows):
        yield "temperature_c", NO_SENSOR
    if all(mhz is None for row in rows for mhz in row["clock_mhz"]):
        yield from ((key, NO_CLOCK) for key in ("clock_mhz", "clock_share"))
    elif highest is None or too_low:
        yield "clock_share", too_low or NO_HIGHEST


def _summary(rows: Sequence[Row]) -> Mapping[str, Any]:
    """What the launches come to: the hottest sensor, the lowest clock, how many were throttled."""
    heats = [
        (degrees, name)
        for row in rows
        for name, readings in row["temperature_c"].items()
        for degrees in readings
        if degrees is not None
    ]
    hottest, sensor = max(heats, default=(None, None))
    return {
        "hottest_c": hottest,
        "hottest_sensor": sensor,
        "lowest_mhz": _lowest(rows, "clock_mhz"),
        "lowest_share": _lowest(rows, "clock_share"),
        "throttled": sum(row["throttled"] is not None for row in rows),
    }


def _lowest(rows: Sequence[Row], key: str) -> float | None:
    return min((value for row in rows for value in row[key] if value is not None), default=None)
