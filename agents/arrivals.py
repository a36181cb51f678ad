"""Requests that arrive at random, whether or not the earlier ones are answered."""

from __future__ import annotations

import random
import select
import time
from array import array
from itertools import accumulate
from typing import Iterable, Iterator, List

from agents.streams import Infer, Streams

# Once so many of the planned requests are late, the rate cannot meet its target any more.
HOPELESS = 0.05
# A sleep ends 50 us late and more; the rest is spent watching the clock.
WATCH_NS = 200_000
# The streams' threads are awake before the first request arrives.
LEAD_NS = 10_000_000


class Trial:
    """Poisson arrivals at one rate, answered in the order of their arrival.

    A free stream takes the next request, even one that is still to come, and waits for it: this is
    a queue in front of all streams without a thread that hands out. A latency counts from the
    scheduled arrival and not from when a stream got round to it, else the slow requests would hide
    how long the others waited for them: Gil Tene's coordinated omission ("How not to measure
    latency", 2013).
    """

    def __init__(self, gaps_ns: Iterable[float], target_ns: int) -> None:
        begin = time.perf_counter_ns() + LEAD_NS
        self.target_ns = target_ns
        # Arrays and not lists: thousands of requests must not show in the peak memory.
        self.due = array("q", (begin + round(after) for after in accumulate(gaps_ns)))
        self.latencies = array("q", [0]) * len(self.due)
        self.left = iter(range(len(self.due)))
        self.late: List[int] = []

    def run(self, streams: Streams) -> List[int]:
        """Latencies in ns, in order of arrival; fewer than planned when the rate is hopeless."""
        streams.each(self.serve)
        # Whatever was taken was answered, and they were taken in order.
        return self.latencies[: next(self.left, len(self.latencies))].tolist()

    def serve(self, infer: Infer) -> None:
        """Be one of the streams."""
        for at in self.left:
            wait_until(self.due[at])
            infer()
            self.latencies[at] = time.perf_counter_ns() - self.due[at]
            if self.latencies[at] > self.target_ns:
                self.late.append(at)
            if len(self.late) > HOPELESS * len(self.due):
                return


def poisson_gaps_ns(rate: float, count: int, seed: str) -> Iterator[float]:
    """Times between so many arrivals at a rate in 1/s: exponential.

    The same seed gives the same pattern at any rate, only faster or slower.
    """
    generator = random.Random(seed)
    for _ in range(count):
        yield 1e9 / rate * generator.expovariate(1.0)


def wait_until(due_ns: int) -> None:
    """Sleep until shortly before, then watch the clock; returns at once when it is past."""
    left = due_ns - time.perf_counter_ns()
    if left > WATCH_NS:
        time.sleep((left - WATCH_NS) * 1e-9)
    while time.perf_counter_ns() < due_ns:
        # Lets go of the GIL, which other streams need when their inference ends; a sleep of no
        # time would do so for 80 us.
        select.select((), (), (), 0)
