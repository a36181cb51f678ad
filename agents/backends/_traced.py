"""The call of a session that traces: counted, for what layers take is a mean over the warm ones."""

from __future__ import annotations

import time
from typing import Any, Callable


class Traced:
    """An inference that counts itself; the first is cold and left out."""

    def __init__(self, infer: Callable[[], Any]) -> None:
        self.infer = infer
        self.calls = 0
        self.warm_ns = 0

    def __call__(self) -> None:
        started = time.perf_counter_ns()
        self.infer()
        self.warm_ns += time.perf_counter_ns() - started if self.calls else 0
        self.calls += 1

    @property
    def warm(self) -> int:
        """Inferences but the first."""
        return max(0, self.calls - 1)

    @property
    def seconds(self) -> float:
        """Mean time of a warm inference; 0 without one."""
        return 1e-9 * self.warm_ns / self.warm if self.warm else 0.0
