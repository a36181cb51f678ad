"""What the probes' readings around a launch say of the device: throttled, stolen from, hot.

A reading is null where the machine has no such probe, and then so is all that is made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from agents import wire
from reports.run import LaunchRecord

Span = tuple[float, float]
Reading = Mapping[str, Any]

# The Raspberry Pi's firmware: bits 0-3 tell of now, bits 16-19 the same of the time since boot.
GET_THROTTLED = "get_throttled"
PI_BITS: Mapping[int, str] = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
PI_SINCE_BOOT = 16


def throttled(conditions: wire.Conditions) -> str | None:
    """What held the device back during a launch, in words; null if nothing is known to have.

    Counters may stand above zero from the start, so only what rose counts; one that was read only
    once says nothing. On the Pi a bit that tells of now counts in either reading, and one since
    boot only if it is new: its kernel clears those every two seconds, so that one is gone
    afterwards says nothing.
    """
    before, after = _both(conditions, "throttling")
    found = [*_pi(before.get(GET_THROTTLED), after.get(GET_THROTTLED)), *_risen(before, after)]
    return ", ".join(found) or None


def around(record: LaunchRecord) -> wire.Conditions:
    """The readings around a cell's part of a launch: its own ones if it has some, alone in turn."""
    within = record.launch["readings"]
    if not within:
        return record.conditions
    return {"before": dict(within[0]), "after": dict(within[-1])}


def spells(record: LaunchRecord) -> list[wire.Conditions]:
    """From each reading of a cell's part of a launch to the next; one spell if none is within."""
    within = [dict(reading) for reading in record.launch["readings"]]
    steps: list[wire.Conditions] = [{"before": b, "after": a} for b, a in pairwise(within)]
    return steps or [around(record)]


def throttled_within(record: LaunchRecord) -> str | None:
    """As `throttled`, of a cell's part of a launch, by all that was read in it."""
    causes = (throttled(each) for each in (around(record), *spells(record)))
    return next((cause for cause in causes if cause), None)


def _pi(before: int | None, after: int | None) -> list[str]:
    """The names of the Pi's bits that tell of throttling within the launch."""
    now = (before or 0) | (after or 0)
    since = after & ~before if before is not None and after is not None else 0
    held = now | since >> PI_SINCE_BOOT
    return [name for bit, name in PI_BITS.items() if held >> bit & 1]


def _risen(before: Reading, after: Reading) -> list[str]:
    return [
        f"{name} +{count - before[name]}"
        for name, count in after.items()
        if name != GET_THROTTLED and name in before and count > before[name]
    ]


def steal_share(conditions: wire.Conditions, seconds: float, cpus: int) -> float | None:
    """Share of the launch's processor time that the hypervisor gave to others, 0..1."""
    stolen_s = _rise(conditions, "steal")
    return stolen_s / (seconds * cpus) if stolen_s is not None and seconds * cpus > 0 else None


def pressure_share(conditions: wire.Conditions, seconds: float) -> float | None:
    """Share of the launch's time in which some task waited for a processor, 0..1."""
    waited_us = _rise(conditions, "pressure")
    return waited_us / 1e6 / seconds if waited_us is not None and seconds > 0 else None


def clock_mhz(conditions: wire.Conditions, cpus: Sequence[int]) -> Span | None:
    """Slowest and fastest clock of these processors in either reading, MHz."""
    return _span(
        [
            mhz
            for reading in _both(conditions, "clock")
            for cpu, mhz in reading.items()
            if int(cpu) in cpus
        ]
    )


def clock_change(conditions: wire.Conditions, cpus: Sequence[int]) -> float | None:
    """Largest relative change of one of these processors' clocks over the launch: 0.1 is 10%."""
    before, after = _both(conditions, "clock")
    changes = [
        abs(after[cpu] / mhz - 1)
        for cpu, mhz in before.items()
        if int(cpu) in cpus and cpu in after and mhz > 0
    ]
    return max(changes, default=None)


def temperature_c(conditions: wire.Conditions) -> Span | None:
    """Of the hottest sensor at the time: the lower and the higher reading, degrees Celsius."""
    readings = _both(conditions, "temperature")
    return _span([max(reading.values()) for reading in readings if reading])


def temperature_rise(conditions: wire.Conditions) -> float | None:
    """Largest rise of a sensor over the launch, degrees; negative if all of them cooled."""
    before, after = _both(conditions, "temperature")
    return max((after[name] - before[name] for name in before if name in after), default=None)


def temperatures_c(conditions: wire.Conditions) -> dict[str, list[float | None]]:
    """Of each sensor the readings before and after, degrees Celsius; null where it gave none."""
    before, after = _both(conditions, "temperature")
    return {name: [before.get(name), after.get(name)] for name in {**before, **after}}


def slowest_mhz(conditions: wire.Conditions, cpus: Collection[int]) -> list[float | None]:
    """The lowest clock of these processors before and after, MHz; null where none tells it."""
    readings = _both(conditions, "clock")
    return [
        min((mhz for cpu, mhz in reading.items() if int(cpu) in cpus), default=None)
        for reading in readings
    ]


def _both(conditions: wire.Conditions, probe: str) -> tuple[Reading, Reading]:
    """What a probe of many values read before and after; empty where it read nothing."""
    return conditions["before"].get(probe) or {}, conditions["after"].get(probe) or {}


def _rise(conditions: wire.Conditions, probe: str) -> float | None:
    before, after = conditions["before"].get(probe), conditions["after"].get(probe)
    return None if before is None or after is None else float(after - before)


def _span(values: Sequence[float]) -> Span | None:
    return (min(values), max(values)) if values else None
