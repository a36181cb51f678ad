"""A stretch of load: inferences back to back for some time, thinned to what a journal holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, List, Optional

from agents.loop import Timed, timed

if TYPE_CHECKING:
    from agents.backends import Session

# A network of 30 us makes two million samples a minute; quantiles need no more than these.
MOST_SAMPLES = 20_000
SLICE_NS = 20_000_000
LONGEST_SLICE = 1000


def run(session: Session, seconds: float, most: int = MOST_SAMPLES) -> Timed:
    """Infer without a pause; keeps every k-th sample, with the smallest power of 2 that does.

    They are thinned on the way, since they would be part of the peak memory. A row of what was
    preempted goes with its sample.
    """
    samples: List[int] = []
    overheads: List[int] = []
    rows: List[List[Optional[int]]] = []
    stride, done, size = 1, 0, 1
    end = time.perf_counter_ns() + round(seconds * 1e9)
    while not samples or time.perf_counter_ns() < end:
        part = timed(session, size)
        first = -done % stride
        samples += part.samples[first::stride]
        overheads += part.overheads[first::stride]
        rows += [[done + (row[0] or 0), *row[1:]] for row in part.preempted]
        done += size
        while len(samples) > most:
            samples, overheads, stride = samples[::2], overheads[::2], 2 * stride
        size = max(1, min(LONGEST_SLICE, SLICE_NS // max(1, part.samples[-1])))
    return Timed(samples, overheads, kept_rows(rows, stride))


def kept_rows(rows: List[List[Optional[int]]], stride: int) -> List[List[Optional[int]]]:
    """Rows of the samples that were kept, numbered as these are."""
    numbered = [(row[0] or 0, row[1:]) for row in rows]
    return [[at // stride, *rest] for at, rest in numbered if at % stride == 0]
