"""Several requests in flight: each answered once, and none forgotten when one fails."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import loop
from agents.streams import Query, Streams

DEADLINE_S = 10.0


class Session:
    """A stream that does whatever a test wants."""

    native_ns = None

    def __init__(self, infer: Callable[[], Any]) -> None:
        self.infer = infer


def streams(*infers: Callable[[], Any]) -> Streams:
    sessions: Any = [Session(infer) for infer in infers]
    return Streams(sessions)


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(1, 3))
def test_every_request_is_answered_once_and_every_stream_takes_one(
    count: int, more: int, queries: int
) -> None:
    answered: List[List[None]] = [[] for _ in range(count)]
    query = Query(
        streams(*[lambda mine=mine: mine.append(None) for mine in answered]), count + more
    )
    for _ in range(queries):
        query.infer()
    assert sum(map(len, answered)) == queries * (count + more)
    assert min(map(len, answered)) >= queries


def test_requests_of_a_query_are_in_flight_together() -> None:
    together = threading.Barrier(3)
    Query(streams(*[lambda: together.wait(DEADLINE_S)] * 3), 3).infer()


def test_a_free_stream_takes_what_a_busy_one_leaves() -> None:
    others = threading.Semaphore(0)
    counts = [0, 0]

    def busy() -> None:
        counts[0] += 1
        for _ in range(9):
            assert others.acquire(timeout=DEADLINE_S)

    def free() -> None:
        counts[1] += 1
        others.release()

    Query(streams(busy, free), 10).infer()
    assert counts == [1, 9]


def test_a_single_stream_has_no_thread() -> None:
    before = threading.active_count()
    seen: List[int] = []
    Query(streams(lambda: seen.append(threading.get_ident())), 3).infer()
    assert seen == [threading.get_ident()] * 3
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_what_one_stream_raises_comes_out_after_all_have_ended(failing: int) -> None:
    answered = []

    def fail() -> None:
        raise ValueError("broken")

    def answer() -> None:
        time.sleep(0.01)
        answered.append(None)

    infers: List[Callable[[], Any]] = [answer, answer, answer]
    infers[failing] = fail
    query = Query(streams(*infers), 6)
    with pytest.raises(ValueError, match="broken"):
        query.infer()
    assert len(answered) == 5
    with pytest.raises(ValueError, match="broken"):  # and not a hang
        query.infer()


def test_a_query_is_timed_like_a_session() -> None:
    query: Any = Query(streams(*[lambda: time.sleep(0.002)] * 2), 6)
    timed = loop.timed(query, 2)
    assert timed.overheads == []
    assert all(6_000_000 <= sample < 1_000_000_000 for sample in timed.samples)
