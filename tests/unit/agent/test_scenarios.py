"""How requests flow in each scenario, and which rates a server is asked."""

from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents import scenarios, wire
from agents.scenarios import Flow, server

TARGET = 1000


def parameters(streams: Optional[int], requests: int) -> Any:
    return {"streams": streams, "requests": requests}


def test_every_scenario_is_a_module() -> None:
    assert scenarios.names() == sorted(wire.SCENARIOS)
    for name in scenarios.names():
        module = scenarios.find(name)
        assert module.__doc__
        assert callable(module.order) and callable(module.measure)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        (wire.SINGLE_STREAM, (4, 9), Flow(1, 1)),
        (wire.COLD_START, (4, 9), Flow(1, 1)),
        (wire.SUSTAINED, (4, 9), Flow(1, 1)),
        (wire.MULTI_STREAM, (8, 8), Flow(8, 8)),
        (wire.MULTI_STREAM, (None, 8), Flow(3, 3)),
        (wire.OFFLINE, (None, 32), Flow(3, 32)),
        (wire.OFFLINE, (8, 4), Flow(4, 4)),
        (wire.SERVER, (2, 9), Flow(2, 1)),
        (wire.SERVER, (None, 9), Flow(3, 1)),
    ],
)
def test_requests_flow_as_the_study_says(name: str, given: Any, expected: Flow) -> None:
    assert scenarios.find(name).flow(parameters(*given), 3) == expected


def trial(rate: float, late: int, of: int = 400) -> wire.Trial:
    latencies = [TARGET + 1] * late + [TARGET] * (of - late)
    return {"rate": rate, "latencies_ns": latencies}


def searched(capacity: float, highest: float) -> List[wire.Trial]:
    """Trials of a cell that meets the target up to some rate."""
    trials: List[wire.Trial] = []
    rate = server.next_rate(trials, TARGET, capacity)
    while rate is not None:
        trials.append(trial(rate, late=0 if rate <= highest else 40))
        rate = server.next_rate(trials, TARGET, capacity)
    return trials


@given(st.floats(1e-2, 1e6), st.floats(0.01, 100))
@example(100.0, 1.0)
def test_the_highest_rate_is_bracketed(capacity: float, load: float) -> None:
    highest = load * capacity
    trials = searched(capacity, highest)
    assert trials[0]["rate"] == capacity
    assert len(trials) <= server.MOST_TRIALS
    met, missed = 0.0, float("inf")
    for one in trials:
        assert met < one["rate"] < missed, "each trial narrows the bracket"
        if server.meets(one, TARGET):
            met = one["rate"]
        else:
            missed = one["rate"]
    assert met <= highest < missed
    # From a sensible estimate it comes to its end, and else it says how far it came.
    if 0.25 <= load <= 2:
        assert missed <= server.CLOSE_ENOUGH * met
    assert missed == float("inf") or met > 0 or missed <= 2 * server.LOWEST_LOAD * capacity


def test_a_cell_that_is_too_slow_for_one_request_is_asked_once() -> None:
    assert server.next_rate([trial(50.0, late=400)], TARGET, 50.0) is None


@given(st.integers(1, 1000), st.data())
def test_what_meets_the_target_has_a_p99_that_does(of: int, data: Any) -> None:
    one = trial(1.0, late=data.draw(st.integers(0, of // 50)), of=of)
    p99 = float(np.percentile(one["latencies_ns"], 99))
    assert server.meets(one, TARGET) == (p99 <= TARGET)
