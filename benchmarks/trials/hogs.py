"""CPU hogs: one process for each core that is busy and idle in turn, for random times."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# From shorter than a block to longer than a launch, any order of magnitude as likely as another.
SHORTEST_S, LONGEST_S = 0.01, 5.0


@contextmanager
def hogs(seed: int, most_s: float) -> Iterator[list[int]]:
    """Hogs on all cores while the block runs, at most for some time; yields their pids."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for cpu in sorted(os.sched_getaffinity(0)):
            arguments = [str(cpu), str(seed), str(most_s)]
            # In a session of its own: an interrupt from the keyboard is for the parent to handle.
            command = [sys.executable, "-S", __file__, *arguments]
            started.append(subprocess.Popen(command, start_new_session=True))
        yield [child.pid for child in started]
    finally:
        for child in started:
            child.kill()
        for child in started:
            child.wait()


def durations(rng: random.Random) -> Iterator[float]:
    """Endless random times in seconds, uniform in their logarithm."""
    while True:
        yield math.exp(rng.uniform(math.log(SHORTEST_S), math.log(LONGEST_S)))


def hog(cpu: int, seed: int, most_s: float, parent: int) -> None:
    """Be one hog, until the time is over or the parent is gone."""
    os.sched_setaffinity(0, {cpu})
    rng = random.Random(f"{seed}/{cpu}")
    end = time.monotonic() + most_s
    busy = rng.random() < 0.5
    for seconds in durations(rng):
        until = time.monotonic() + seconds
        if until > end or os.getppid() != parent:
            return
        while busy and time.monotonic() < until:
            pass
        time.sleep(max(0.0, until - time.monotonic()))
        busy = not busy


if __name__ == "__main__":
    hog(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), os.getppid())
