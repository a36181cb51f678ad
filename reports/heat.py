"""Temperature, clock and throttling of a device over the minutes of a sustained load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agents import wire
from reports.clock import NO_CLOCK, no_share
from reports.conditions import throttled

UNREAD = "the run was stored before the probes were read minute by minute"
NO_SENSOR = "no temperature sensor was read"
NO_COUNTER = "the machine does not tell whether it throttles"
HEAT = ("temperature_c", "clock_mhz", "clock_share", "throttled")
Moments = list[float | None]  # before the first minute and after each


@dataclass(frozen=True)
class Heat:
    """What the probes read between minutes; `reasons` has, by name, why something is null.

    Of several launches the highest temperature, the lowest clock, and what throttled any of them.
    """

    temperature_c: dict[str, Moments] | None  # by sensor
    clock_mhz: Moments | None  # the lowest of the processors in use
    clock_share: Moments | None  # of the highest that the kernel allows
    throttled: list[str | None] | None  # minute by minute, why; null: not known to have been
    reasons: Mapping[str, str]


def heat(launches: Sequence[wire.CellLaunch], minutes: int, highest_mhz: float | None) -> Heat:
    """What was read in launches of one cell, over the minutes that all of them have."""
    # Launches that were stored earlier have no readings.
    read = [found[: minutes + 1] for each in launches if (found := each["readings"])]
    if not read:
        return Heat(None, None, None, None, dict.fromkeys(HEAT, UNREAD))
    temperature, clock, held = _temperature(read), _clock(read), _throttled(read)
    fastest = max((mhz for mhz in clock or () if mhz is not None), default=None)
    unshared = no_share(highest_mhz, fastest)
    share = None
    if clock and highest_mhz and not unshared:
        share = [None if mhz is None else mhz / highest_mhz for mhz in clock]
    reasons = {
        "temperature_c": None if temperature else NO_SENSOR,
        "clock_mhz": None if clock else NO_CLOCK,
        "clock_share": unshared,
        "throttled": NO_COUNTER if held is None else None,
    }
    told = {key: reason for key, reason in reasons.items() if reason is not None}
    return Heat(temperature, clock, share, held, told)


def _temperature(read: Sequence[Sequence[wire.Reading]]) -> dict[str, Moments] | None:
    moments = [[each["temperature"] or {} for each in moment] for moment in _moments(read)]
    sensors = dict.fromkeys(name for moment in moments for each in moment for name in each)
    return {
        name: [_highest(each[name] for each in moment if name in each) for moment in moments]
        for name in sensors
    } or None


def _clock(read: Sequence[Sequence[wire.Reading]]) -> Moments | None:
    clocks = [
        min((mhz for each in moment for mhz in (each["clock"] or {}).values()), default=None)
        for moment in _moments(read)
    ]
    return None if all(mhz is None for mhz in clocks) else clocks


def _throttled(read: Sequence[Sequence[wire.Reading]]) -> list[str | None] | None:
    """Of each minute why a launch was throttled, of the first that was."""
    if not any(each["throttling"] for launch in read for each in launch):
        return None
    causes = [
        [throttled({"before": dict(one), "after": dict(other)}) for one, other in pairwise(launch)]
        for launch in read
    ]
    return [
        next((cause for cause in minute if cause), None) for minute in zip(*causes, strict=False)
    ]


def _moments(read: Sequence[Sequence[wire.Reading]]) -> list[tuple[wire.Reading, ...]]:
    """The readings of all launches at each moment."""
    return list(zip(*read, strict=False))


def _highest(values: Iterable[float]) -> float | None:
    return max(values, default=None)
