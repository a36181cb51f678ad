"""The timed loop: nothing but the inference is between two readings of the clock."""

from __future__ import annotations

import resource
import time
from statistics import median
from typing import Any, Callable, List, NamedTuple, Optional, Protocol

from agents import proc, wire

STEADY_WINDOW = 10
STEADY_TOLERANCE = 0.02
# Slow models: a block need not be longer than this to make the switch between workers cheap.
BLOCK_CAP_NS = 500_000_000
FEWEST_IN_BLOCK = 3


class Subject(Protocol):
    """What is timed: a session, a query of several requests, or nothing at all."""

    native_ns: Optional[Callable[[], int]]  # see agents.backends.Session

    def infer(self) -> Any:
        """Take one sample."""


class Timed(NamedTuple):
    """Some inferences, one after the other."""

    samples: List[int]  # ns of each, by the runtime's own clock where it has one
    overheads: List[int]  # ns that the call from Python added to each; empty without such a clock
    preempted: List[List[Optional[int]]]  # rows [sample, involuntary switches, run delay in ns]


def timed(subject: Subject, iterations: int) -> Timed:
    """Time each of some inferences.

    A runtime that times itself natively is believed, and the clock around the call tells what the
    binding costs. Lost cores are counted between the samples, outside of what is timed.
    """
    infer, native, clock, usage = (
        subject.infer,
        subject.native_ns,
        time.perf_counter_ns,
        resource.getrusage,
    )
    around = [0] * iterations
    inside: List[int] = []
    preempted: List[List[Optional[int]]] = []
    switches, delay = usage(resource.RUSAGE_SELF).ru_nivcsw, proc.run_delay_ns()
    for at in range(iterations):
        begin = clock()
        infer()
        around[at] = clock() - begin
        if native is not None:
            inside.append(native())
        now = usage(resource.RUSAGE_SELF).ru_nivcsw
        if now != switches:
            waited = proc.run_delay_ns()
            lost = None if waited is None or delay is None else waited - delay
            preempted.append([at, now - switches, lost])
            switches, delay = now, waited
    if native is None:
        return Timed(around, [], preempted)
    return Timed(inside, [whole - part for whole, part in zip(around, inside)], preempted)


def warm_up(subject: Subject, timing: wire.Timing) -> "tuple[wire.Warmup, int]":
    """Run until two successive windows have medians within 2%, or the cap is reached.

    Returns how it went, and the typical time of a sample at its end, ns.
    """
    begin = time.perf_counter_ns()
    samples: List[int] = []
    steady = False
    while time.perf_counter_ns() - begin < timing["warmup_cap_ns"]:
        samples += timed(subject, STEADY_WINDOW).samples
        elapsed = time.perf_counter_ns() - begin
        enough = len(samples) >= timing["warmup_iterations"] and elapsed >= timing["warmup_ns"]
        steady = is_steady(samples)
        if enough and steady:
            break
    took = time.perf_counter_ns() - begin
    typical = int(median(samples[-STEADY_WINDOW:]))
    return {"iterations": len(samples), "steady": steady, "ns": took}, typical


def is_steady(samples: List[int]) -> bool:
    """Whether the last two windows of samples have medians within the tolerance."""
    if len(samples) < 2 * STEADY_WINDOW:
        return False
    last = median(samples[-STEADY_WINDOW:])
    before = median(samples[-2 * STEADY_WINDOW : -STEADY_WINDOW])
    return abs(last - before) <= STEADY_TOLERANCE * before


def block_size(typical_ns: int, timing: wire.Timing) -> int:
    """Inferences in a block: enough to last block_ns, fewer than usual for a slow model."""
    typical = max(typical_ns, 1)
    usual = min(timing["block_iterations"], BLOCK_CAP_NS // typical + 1)
    return max(FEWEST_IN_BLOCK, usual, -(-timing["block_ns"] // typical))
