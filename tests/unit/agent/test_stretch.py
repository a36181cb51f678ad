"""A stretch of load: as long as asked, and as many samples as a journal holds."""

from __future__ import annotations

import time
from typing import Any, Iterator, List, NamedTuple, Optional
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from agents import stretch
from agents.loop import Timed


class Clock:
    """A clock that every inference moves on."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now


class Numbered(NamedTuple):
    """Stands in for the timed loop: inference after inference takes a ns more."""

    clock: Clock
    start: int
    every: int  # so many inferences apart, one is preempted

    def timed(self, at: Iterator[int]) -> Any:
        def part(session: Any, size: int) -> Timed:
            samples = [self.start + next(at) for _ in range(size)]
            self.clock.now += sum(samples)
            rows: List[List[Optional[int]]] = [
                [place, 1, sample]
                for place, sample in enumerate(samples)
                if (sample - self.start) % self.every == 0
            ]
            return Timed(samples, [10 * sample for sample in samples], rows)

        return part


@settings(max_examples=25)
@given(st.integers(1000, 10**8), st.integers(1, 7), st.integers(1000, 3000))
def test_samples_are_thinned_evenly_and_keep_what_belongs_to_them(
    start: int, every: int, most: int
) -> None:
    clock = Clock()
    loop = Numbered(clock, start, every)
    counter = iter(range(10**9))
    with mock.patch.object(stretch, "timed", loop.timed(counter)):
        with mock.patch.object(stretch, "time", clock):
            samples, overheads, preempted = stretch.run(mock.Mock(), 0.5, most)
    ran = next(counter)
    kept = [sample - start for sample in samples]
    stride = kept[1] - kept[0] if len(kept) > 1 else 1
    assert kept == list(range(0, ran, stride))
    assert len(kept) == ran if ran <= most else most / 2 <= len(kept) <= most
    assert overheads == [10 * sample for sample in samples]
    expected = [place for place, at in enumerate(kept) if at % every == 0]
    assert [row[0] for row in preempted] == expected
    assert all(samples[row[0] or 0] == row[2] for row in preempted)
    # Not shorter than asked, and longer by no more than a slice.
    assert 0.5e9 <= clock.now <= 0.5e9 + 2 * max(stretch.SLICE_NS, start + ran)


def test_a_slow_network_gives_at_least_one_sample() -> None:
    session = mock.Mock(native_ns=None, infer=lambda: time.sleep(0.01))
    assert len(stretch.run(session, 0.001).samples) == 1
