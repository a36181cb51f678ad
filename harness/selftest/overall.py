"""Progress over all gates of a self-test: one device, many runs."""

from __future__ import annotations

import time

from agents import wire
from harness.progress import Display


class Overall:
    """Shows what the run of the moment does as a part of the whole."""

    def __init__(self, show: Display, device: str) -> None:
        self.show = show
        self.device = device
        self.phase = "fitting"  # what is measured when it is no gate
        self.total = 0  # gates
        self.done = 0
        self.began = time.monotonic()

    def begin(self, total: int) -> None:
        """Count from here, towards so many gates."""
        self.phase = ""
        self.total, self.began = total, time.monotonic()

    def passed(self, what: str) -> None:
        """Count a gate and say what became of it."""
        self.done += 1
        self.show.update(self.device, f"{self.done}/{self.total} {what}")

    def after(self, phase: str) -> None:
        """Say what comes when all gates are decided."""
        self.phase = phase

    def update(self, device: str, what: str, doing: wire.DoingEvent | None = None) -> None:
        """Show what a device does now, seldom where lines are not redrawn."""
        what = what.rpartition(": ")[2]  # the group of a launch is always the same here
        if self.phase:
            self.show.update(device, f"{self.phase}: {what}", doing)
            return
        at: wire.DoingEvent = {
            "kind": "doing",
            "what": what,
            "done": self.done,
            "total": self.total,
            "elapsed_s": time.monotonic() - self.began,
        }
        self.show.update(device, f"gate {self.done + 1}: {what}", at)

    def end(self, device: str, what: str, whole: bool = False) -> None:
        """Pass over the end of one run of many; what went wrong in it is told as an error."""
