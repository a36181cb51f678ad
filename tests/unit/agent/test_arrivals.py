"""Requests that arrive at random: answered in order, and late from when they were due."""

from __future__ import annotations

import threading
import time
from itertools import accumulate
from typing import Any, Callable, List

import pytest

from agents.arrivals import Trial, poisson_gaps_ns, wait_until
from agents.streams import Streams

MS = 1_000_000
AGES = 10**12


def streams(infer: Callable[[], Any], count: int) -> Streams:
    class Session:
        native_ns = None

    Session.infer = staticmethod(infer)  # type: ignore[attr-defined]
    sessions: Any = [Session()] * count
    return Streams(sessions)


def test_gaps_are_exponential_and_one_pattern_at_any_rate() -> None:
    gaps = list(poisson_gaps_ns(1000.0, 20_000, "seed"))
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(MS, rel=0.03)
    # Exponential: as wide as its mean, and a share of 1/e is longer.
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(mean**2, rel=0.1)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)
    twice = list(poisson_gaps_ns(2000.0, 20_000, "seed"))
    assert twice == pytest.approx([gap / 2 for gap in gaps])
    assert list(poisson_gaps_ns(1000.0, 5, "other")) != gaps[:5]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_request_is_answered_no_earlier_than_it_arrives(count: int) -> None:
    begun: List[int] = []
    trial = Trial([MS / 2] * 40, AGES)
    latencies = trial.run(streams(lambda: begun.append(time.perf_counter_ns()), count))
    assert len(begun) == len(latencies) == 40
    assert min(latencies) > 0
    assert all(at >= due for at, due in zip(sorted(begun), trial.due))


def test_one_slow_answer_makes_those_behind_it_late() -> None:
    slow = iter([0.2])
    trial = Trial([MS] * 50, AGES)
    latencies = trial.run(streams(lambda: time.sleep(next(slow, 0.0)), 1))
    # The next was due 1 ms after it, and the one before the last 40 ms.
    assert all(latencies[at] > (200 - at) * MS for at in range(50))


def test_other_streams_go_on_while_one_is_slow() -> None:
    ended = threading.Event()
    answered: List[None] = []

    def infer() -> None:
        answered.append(None)
        if len(answered) == 1:
            assert ended.wait(10.0)
        elif len(answered) == 20:
            ended.set()

    assert len(Trial([MS / 10] * 20, AGES).run(streams(infer, 2))) == 20


@pytest.mark.parametrize("count", [1, 3])
def test_a_hopeless_rate_is_cut_short(count: int) -> None:
    latencies = Trial([1000.0] * 1000, 2 * MS).run(streams(lambda: time.sleep(0.001), count))
    late = sum(latency > 2 * MS for latency in latencies)
    assert 50 < late <= 50 + count
    assert min(latencies) > 0
    assert len(latencies) < 500


def test_waiting_ends_when_it_is_time_and_not_before() -> None:
    for ahead in accumulate([0, 50_000, 300_000, MS]):
        due = time.perf_counter_ns() + ahead
        wait_until(due)
        assert time.perf_counter_ns() >= due
