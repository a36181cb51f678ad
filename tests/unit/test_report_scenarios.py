"""What each scenario gives: inputs of a sample, the rate that a server holds, minutes of a load."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import cell, cell_launch, every_scenario

from agents import wire
from reports import render, server, sustained
from reports.document import build
from reports.scenarios import elsewhere, inputs, parameters

TARGET_MS = 10.0


def trial(rate: float, ms: float, requests: int = 400) -> wire.Trial:
    return {"rate": rate, "latencies_ns": [int(ms * 1e6)] * requests}


TRIALS = st.lists(
    st.builds(trial, st.sampled_from([10.0, 20.0, 40.0, 80.0]), st.sampled_from([5.0, 10.0, 11.0]))
)


def test_parameters_are_those_of_the_study() -> None:
    assert parameters({}, "offline") == {}
    listed = {"scenarios": [{"name": "server"}, {"name": "offline", "requests": 3}]}
    assert parameters(listed, "offline")["requests"] == 3


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [("single-stream", 8), ("sustained", 8), ("multi-stream", 40), ("offline", 256)],
)
def test_inputs_of_a_sample(scenario: str, expected: int) -> None:
    study = {"scenarios": [{"name": "offline", "streams": 2, "requests": 32}]}
    launch = cell_launch("c", [], streams=5)
    assert inputs(study, cell("v", batch=8, scenario=scenario), launch) == expected


def test_where_else_a_value_is_measured() -> None:
    assert elsewhere("server", {"server"}) is None
    assert elsewhere("offline", {"server"}) == "measured in the scenario server"
    several = {"sustained", "single-stream", "offline"}
    expected = "measured in the scenarios single-stream, offline and sustained"
    assert elsewhere("server", several) == expected


@given(TRIALS)
def test_the_rate_held_lies_below_every_rate_that_missed(trials: list[wire.Trial]) -> None:
    held = server.highest_held(trials, TARGET_MS)
    missed = [t["rate"] for t in trials if t["latencies_ns"][0] > TARGET_MS * 1e6]
    kept = [t["rate"] for t in trials if t["latencies_ns"][0] <= TARGET_MS * 1e6]
    below = [rate for rate in kept if all(rate < other for other in missed)]
    assert held == (max(below) if below else None)


def test_a_rate_with_too_few_requests_has_not_been_held() -> None:
    trials = [trial(10, 5), trial(20, 5, requests=100), trial(40, 5)]
    assert server.highest_held(trials, TARGET_MS) == 10
    given_up = server.held_rate([[trial(20, 15, requests=100)]], TARGET_MS)
    assert given_up.value is None and given_up.reason == (
        "100 of 100 requests were late at the lowest rate tried, 20.0/s; the target is 10.0 ms, "
        "and p99 needs 368 requests"
    )


def test_the_rate_of_a_cell_is_the_median_of_its_launches() -> None:
    launches = [[trial(rate, 5), trial(2 * rate, 50)] for rate in (20.0, 10.0, 40.0)]
    found = server.held_rate(launches, TARGET_MS)
    assert found.value == 20 and found.interval is not None
    rows = server.tried(launches, TARGET_MS)
    assert [(row["rate"], row["launches"]) for row in rows] == [(10, 1), (20, 2), (40, 2), (80, 1)]
    assert (rows[0]["p50_ms"], rows[0]["p99_ms"], rows[0]["late"]) == (5, 5, 0)
    assert (rows[2]["requests"], rows[2]["late"]) == (800, 400)


def test_one_launch_that_held_nothing_leaves_no_rate() -> None:
    found = server.held_rate([[trial(20, 5)], [trial(40, 13), trial(20, 12)]], TARGET_MS)
    assert found.value is None and found.reason == (
        "in 1 of 2 launches: p99 12.0 ms at the lowest rate tried, 20.0/s; the target is 10.0 ms"
    )
    assert server.held_rate([[]], TARGET_MS).reason == "no rate was tried"


def minutes(*medians: float) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    return [np.full(50, median) for median in medians]


def test_the_slowdown_is_the_last_minute_over_the_first() -> None:
    found = sustained.slowdown([minutes(2, 3, 3), minutes(2, 3, 3.2, 9)])
    assert found.value == pytest.approx(3.1 / 2)
    assert found.interval and found.interval[0] < 1.5 and found.interval[1] > 1.6
    assert sustained.slowdown([minutes(2)]).reason == "1 whole minute; a ratio needs 2"
    assert sustained.slowdown([]).value is None


def test_rows_hold_what_their_scenario_measures() -> None:
    rows = {
        (r["variant"], r["runtime"], r["scenario"]): r
        for r in build(every_scenario().build())["results"]
    }
    single, multi, offline, served, cold, loaded = (
        rows["dense", "onnxruntime", name] for name in wire.SCENARIOS
    )
    assert single["latency_ms"]["p50"] == pytest.approx(4, rel=0.1)  # not the runtime group's 40
    assert multi["latency_ms"]["p50"] == pytest.approx(16, rel=0.1)
    assert cold["latency_ms"]["p50"] == pytest.approx(104, rel=0.1)
    assert single["throughput_ips"] == pytest.approx(250, rel=0.1)
    assert (multi["streams"], multi["throughput_ips"]) == (4, pytest.approx(250, rel=0.1))
    assert (offline["streams"], offline["throughput_ips"]) == (2, pytest.approx(500, rel=0.1))
    assert offline["latency_ms"]["p50"] is None and cold["throughput_ips"] is None
    assert (served["server"]["rate_ips"], served["server"]["target_ms"]) == (200, 20)
    assert (served["launches"], served["samples"]) == (7, 7 * 3 * 400)
    assert served["latency_ms"]["p99"] is None and single["server"] is None
    assert loaded["sustained"]["ratio"] == pytest.approx(1.2, rel=0.02)
    assert len(loaded["sustained"]["minutes"]) == 3
    assert single["unpreempted_ms"]["p95"] == single["latency_ms"]["p95"]
    why = "measured in the scenarios single-stream, multi-stream, cold-start and sustained"
    assert offline["reasons"]["latency_ms.p50"] == why


def test_the_report_shows_every_scenario() -> None:
    text = render.markdown(build(every_scenario().build()))
    for told in (
        "Runtimes against each other, same variant: against onnxruntime (1 pair)",
        "| openvino | dense |",
        "Variants against each other, same runtime, throughput: against dense (1 pair)",
        "Highest rate of random arrivals",
        "| int8 | onnxruntime | server | 400",
        "p50 under a load that lasts",
        "| dense | onnxruntime | sustained | 4.02 ms | 4.81 ms |",
    ):
        assert told in text
