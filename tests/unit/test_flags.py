"""What a row says of its noise: flagged and kept; only a throttled launch does not count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import RunBuilder, blocks, cell, cell_launch, conditions

from agents import wire
from reports import noise, stats
from reports.document import build
from reports.index import index

MS = 2.0


def reading(**changes: Any) -> wire.Conditions:
    """The readings of a quiet launch, but for some probes: (before, after)."""
    quiet = conditions()
    return {
        "before": quiet["before"] | {probe: value[0] for probe, value in changes.items()},
        "after": quiet["after"] | {probe: value[1] for probe, value in changes.items()},
    }


THROTTLED = reading(throttling=({"get_throttled": 0}, {"get_throttled": 0x10001}))


def row(
    *readings: wire.Conditions,
    scenario: str = wire.SINGLE_STREAM,
    interleaved: bool = True,
    **changes: Any,
) -> dict[str, Any]:
    """The row of a cell with a launch for each of the readings."""
    made = RunBuilder()
    of = cell("dense", scenario=scenario)
    made.add_cell(of)
    for ordinal, around in enumerate(readings):
        launch = cell_launch(of["id"], blocks(MS, made.rng), **changes)
        made.add_launch("g", ordinal, launch, interleaved, around)
    found: dict[str, Any] = build(made.build())["results"][0]
    return found


def test_a_quiet_cell_has_no_flag() -> None:
    found = row(*[reading()] * 6)
    assert found["flags"] == []
    assert found["noise"]["clock_mhz"] == [2400.0, 2400.0]
    assert found["noise"]["interleaved_share"] == 1
    assert found["reasons"]["noise.call_overhead_us"] == noise.UNREAD["call_overhead_us"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steal": (0.0, 0.16)}, "the hypervisor took 2.0% of the processors' time"),
        ({"pressure": (0, 400_000)}, "some task waited for a processor 20.0% of the time"),
        ({"clock": ({"0": 2000.0}, {"0": 1500.0})}, "clock changed by up to 25% within 6 of 6"),
        ({"temperature": ({"cpu": 40.0}, {"cpu": 55.0})}, "warmed by up to 15.0 degrees"),
        ({"temperature": ({"cpu": 79.0}, {"cpu": 80.0})}, "80.0 degrees Celsius: near"),
    ],
)
def test_noise_of_the_device_is_flagged_and_kept(changes: dict[str, Any], told: str) -> None:
    found = row(*[reading(**changes)] * 6)
    (flag,) = found["flags"]
    assert flag.startswith(told)
    assert found["launches"] == 6 and found["samples"] == 6 * 20 * 9


def test_preemption_and_waiting_are_flagged() -> None:
    preempted = [[block, sample, 1, 50_000] for block in range(20) for sample in (0, 4)]
    busy = {"preempted": preempted, "run_delay_ns": 20_000_000}
    found = row(*[reading()] * 6, noise=busy)
    assert found["noise"]["preempted_share"] == pytest.approx(1 / 9)  # the first does not count
    assert found["noise"]["run_delay_share"] == pytest.approx(20 / (200 * MS), rel=0.05)
    assert [flag.split(" ")[0] for flag in found["flags"]] == ["preempted", "waited"]
    unknown = row(*[reading()] * 6, noise=None)
    assert unknown["noise"]["preempted_share"] is None and unknown["flags"] == []


def test_a_call_that_costs_much_is_flagged() -> None:
    assert row(*[reading()] * 6, call_overhead_ns=90_000)["flags"] == []
    (flag,) = row(*[reading()] * 6, call_overhead_ns=240_000)["flags"]
    assert flag.startswith("the call from Python costs 240 us more (12% of p50)")


def test_launches_one_at_a_time_have_looser_ratios() -> None:
    (flag,) = row(*[reading()] * 6, interleaved=False)["flags"]
    assert flag.startswith("measured one at a time in 6 of 6 launches for want of memory")


def test_a_throttled_launch_does_not_count_and_is_said() -> None:
    found = row(*[reading()] * 6, *[THROTTLED] * 2)
    assert found["launches"] == 6
    assert found["flags"] == ["2 of 8 launches invalid: throttled (under-voltage)"]


def test_a_cell_whose_launches_all_throttled_is_invalid() -> None:
    found = row(*[THROTTLED] * 3)
    assert (found["status"], found["reason"]) == ("invalid", "throttled (under-voltage)")
    assert found["flags"] == [] and found["variance"] is None
    assert found["reasons"]["variance"] == "throttled (under-voltage)"


def test_under_a_sustained_load_throttling_is_the_result() -> None:
    found = row(THROTTLED, reading(), scenario=wire.SUSTAINED)
    assert found["status"] == "ok" and found["launches"] == 2
    assert found["flags"] == ["throttled in 1 of 2 launches: under-voltage"]


def test_the_variance_of_a_row_is_that_of_its_samples() -> None:
    found = row(*[reading()] * 6)["variance"]
    shares = [found[level] for level in ("within_block", "between_blocks", "between_launches")]
    assert sum(shares) == pytest.approx(1) and shares[0] > 0.9  # the builder's samples are iid
    assert 0 < found["launch_sd"] < 0.02


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=6), st.sampled_from([0, 1]))
def test_preemptions_stand_beside_their_samples(counts: list[list[int]], dropped: int) -> None:
    """Each sample's time is its number of switches: so it must be that of the row found for it."""
    rows = [
        [block, sample, switches, None]
        for block, inside in enumerate(counts)
        for sample, switches in enumerate(inside)
        if switches
    ]
    of = cell("dense", scenario=wire.SINGLE_STREAM if dropped else wire.COLD_START)
    made = RunBuilder()
    made.add_cell(of)
    told = {"preempted": rows, "run_delay_ns": None}
    made.add_launch("g", 0, cell_launch(of["id"], counts, noise=told))
    (taken,) = index(made.build()).launches["pi5", of["id"]]
    assert taken.switches is not None
    assert taken.switches.tolist() == np.rint(taken.samples * stats.NS_PER_MS).tolist()
    assert taken.samples.size == sum(len(inside[dropped:]) for inside in counts)
