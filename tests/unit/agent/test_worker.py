"""The parts of a worker that need no runtime."""

from __future__ import annotations

import os
from typing import Any, List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import loop, proc, worker

TIMING: Any = {"block_iterations": 10, "block_ns": 15_000_000}


@given(st.integers(1, 10**11))
def test_a_block_is_long_enough_and_not_much_longer(typical: int) -> None:
    size = loop.block_size(typical, TIMING)
    assert size >= loop.FEWEST_IN_BLOCK
    assert size * typical >= TIMING["block_ns"]
    longest = max(TIMING["block_ns"], loop.BLOCK_CAP_NS, loop.FEWEST_IN_BLOCK * typical)
    assert size * typical <= longest + 2 * typical


@pytest.mark.parametrize(
    ("typical_ms", "expected"), [(0.1, 150), (1.5, 10), (20, 10), (100, 6), (5000, 3)]
)
def test_block_sizes(typical_ms: float, expected: int) -> None:
    assert loop.block_size(int(typical_ms * 1e6), TIMING) == expected


def test_steady_means_two_windows_within_two_percent() -> None:
    assert loop.is_steady([100] * 10 + [101] * 10)
    assert not loop.is_steady([100] * 10 + [103] * 10)
    assert not loop.is_steady([100] * 19)


def test_best_classes_take_the_lower_class_on_a_tie() -> None:
    scores = np.array([[0.1, 0.9, 0.9, 0.2, 0.0, 0.0, 0.3]])
    assert worker.best_classes(scores) == [[1, 2, 6, 3, 0]]


def test_best_classes_of_integers_do_not_overflow() -> None:
    assert worker.best_classes(np.array([[-128, 127, 0]], "int8")) == [[1, 2, 0]]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_best_class_is_argmax(rows: List[List[float]]) -> None:
    scores = np.array(rows)
    assert [row[0] for row in worker.best_classes(scores)] == scores.argmax(axis=1).tolist()


def test_nonfinite_scores_are_counted_by_sample() -> None:
    scores = np.array([[1.0, np.nan], [1.0, 2.0], [np.inf, np.nan]])
    assert worker.count_nonfinite(scores) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("Foo(1) is not a registered function/op"), "unsupported"),
        (RuntimeError("something broke"), "failed"),
        (MemoryError(), "failed"),
    ],
)
def test_a_missing_operator_is_unsupported_and_the_rest_failed(
    error: Exception, status: str
) -> None:
    found = worker.failure(error, ("is not a registered function/op",))
    assert found["status"] == status
    assert found["reason"]


def test_a_process_is_named_by_its_start_time() -> None:
    assert proc.start_time(os.getpid()) == proc.start_time(os.getpid())
    assert proc.start_time(2**22 + 1) is None


def test_memory_of_this_process_is_read() -> None:
    assert proc.status_kib("VmHWM") >= proc.status_kib("VmRSS") > 1000
    with pytest.raises(KeyError):
        proc.status_kib("VmNothing")


def test_a_row_that_is_not_finite_has_no_best_class() -> None:
    scores = np.array([[np.nan, 1.0], [0.0, 1.0], [np.inf, 0.0]])
    assert worker.best_classes(scores) == [[], [1, 0], []]
