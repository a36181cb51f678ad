"""What the probes' readings say: throttling bit by bit, shares, spans, and nothing made up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import wire
from reports import conditions

BITS = st.none() | st.integers(0, 0xFFFFF)
COUNTERS = st.none() | st.dictionaries(
    st.sampled_from(["core_throttle_count", "package_throttle_count", "oc1_event_cnt"]),
    st.integers(0, 5),
)


def around(probe: str, before: Any, after: Any) -> wire.Conditions:
    return {"before": {probe: before}, "after": {probe: after}}


def bits(before: int | None, after: int | None) -> wire.Conditions:
    sides = ({} if value is None else {"get_throttled": value} for value in (before, after))
    return around("throttling", *sides)


@given(BITS, BITS)
def test_the_pi_was_throttled_by_a_bit_of_now_or_a_new_one_since_boot(
    before: int | None, after: int | None
) -> None:
    told = (conditions.throttled(bits(before, after)) or "").split(", ")
    for bit, name in conditions.PI_BITS.items():
        now = any(value is not None and value & 2**bit for value in (before, after))
        was, came = (
            value is not None and bool(value & 2 ** (bit + 16)) for value in (before, after)
        )
        assert (name in told) == (now or (before is not None and came and not was))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0x0, 0x0, None),
        (0x50000, 0x50000, None),  # an old story
        (0x50000, 0x0, None),  # the kernel cleared it
        (0x0, 0x50005, "under-voltage, throttled"),
        (0x0, 0x80000, "soft temperature limit"),
        (0x20000, 0x20002, "frequency capped"),
    ],
)
def test_known_readings_of_a_pi(before: int, after: int, told: str | None) -> None:
    assert conditions.throttled(bits(before, after)) == told


@given(COUNTERS, COUNTERS)
def test_only_a_counter_that_rose_tells_of_throttling(
    before: dict[str, int] | None, after: dict[str, int] | None
) -> None:
    told = conditions.throttled(around("throttling", before, after)) or ""
    for name in (before or {}).keys() | (after or {}).keys():
        read_twice = before is not None and after is not None and name in before and name in after
        rose = read_twice and after[name] > before[name]  # type: ignore[index]
        assert (name in told) == rose


def test_shares_are_of_the_time_that_there_was() -> None:
    assert conditions.steal_share(around("steal", 10.0, 10.4), 2.0, 4) == pytest.approx(0.05)
    assert conditions.pressure_share(around("pressure", 500, 200_500), 2.0) == pytest.approx(0.1)


def test_only_the_clocks_of_the_cells_processors_count() -> None:
    read = around("clock", {"0": 2400.0, "3": 600.0}, {"0": 2400.0, "3": 1500.0})
    assert conditions.clock_change(read, [0]) == 0
    assert conditions.clock_change(read, [0, 3]) == pytest.approx(1.5)
    assert conditions.clock_mhz(read, [3]) == (600.0, 1500.0)


def test_the_temperature_is_that_of_the_hottest_sensor() -> None:
    read = around("temperature", {"cpu": 60.0, "nvme": 35.0}, {"cpu": 66.0, "nvme": 45.0})
    assert conditions.temperature_c(read) == (60.0, 66.0)
    assert conditions.temperature_rise(read) == 10.0


@pytest.mark.parametrize("read", [{"before": {}, "after": {}}, None])
def test_without_a_probe_nothing_is_known(read: wire.Conditions | None) -> None:
    """The probe is missing, or is there and found nothing to read."""
    names = ("steal", "pressure", "clock", "temperature", "throttling")
    nulls = dict.fromkeys(names)
    found: wire.Conditions = read or {"before": nulls, "after": dict(nulls)}
    assert conditions.throttled(found) is None
    assert conditions.steal_share(found, 2.0, 4) is None
    assert conditions.pressure_share(found, 2.0) is None
    assert conditions.clock_mhz(found, [0]) is None
    assert conditions.clock_change(found, [0]) is None
    assert conditions.temperature_c(found) is None
    assert conditions.temperature_rise(found) is None
