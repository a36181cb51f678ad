"""The parts of a worker that need no runtime."""

from __future__ import annotations

import os
from typing import Any

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
