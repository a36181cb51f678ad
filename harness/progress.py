"""Progress of a run on the terminal: a line per device where it is one, plain lines where not.

Devices have a say in what is shown, so it is made harmless here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from agents import wire
from reports.text import printable

# Without a terminal, launches of one device are told at most this often.
QUIET_S = 10.0


class Display(Protocol):
    """Shows how far each device is."""

    def update(self, device: str, what: str, doing: wire.DoingEvent | None = None) -> None:
        """Show what a device does now."""

    def end(self, device: str, what: str, whole: bool = False) -> None:
        """Show how a device ended; `whole` when it did all that was asked."""


def left(doing: wire.DoingEvent, budget_s: float) -> float | None:
    """Estimate the seconds to go: steps so far set the pace, the budget is the limit.

    Null before the first step is done.
    """
    if not doing["done"] or not doing["elapsed_s"]:
        return None
    pace = doing["elapsed_s"] / doing["done"]
    steps = pace * max(0, doing["total"] - doing["done"])
    return max(0.0, min(steps, budget_s - doing["elapsed_s"]))


def duration(seconds: float | None) -> str:
    """Write seconds as m:ss; an unknown time is a dash."""
    return "-" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Plain:
    """Timestamped lines: each change, and a launch now and then."""

    def __init__(self, console: Console, budget_s: float) -> None:
        self.console = console
        self.budget_s = budget_s
        self.told: dict[str, float] = {}
        self.lock = threading.Lock()

    def update(self, device: str, what: str, doing: wire.DoingEvent | None = None) -> None:
        """Print a line, unless it is one of many launches."""
        with self.lock:
            if doing and time.monotonic() - self.told.get(device, 0.0) < QUIET_S:
                return
            self.told[device] = time.monotonic() if doing else 0.0
            count = f" ({doing['done']}/{doing['total']}" if doing else ""
            count += f", {duration(left(doing, self.budget_s))} to go)" if doing else ""
            line = f"{time.strftime('%H:%M:%S')} {device}: {what}{count}"
            self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def end(self, device: str, what: str, whole: bool = False) -> None:
        """Print a last line."""
        self.update(device, what)


class Bars:
    """One line per device, redrawn in place; a failure is told above them, for it takes lines."""

    def __init__(self, progress: Progress, budget_s: float) -> None:
        self.progress = progress
        self.budget_s = budget_s
        self.tasks: dict[str, TaskID] = {}
        self.lock = threading.Lock()

    def update(self, device: str, what: str, doing: wire.DoingEvent | None = None) -> None:
        """Redraw the line of a device."""
        with self.lock:
            task = self._task(device)
            time_left = left(doing, self.budget_s) if doing else None
            told = f"{duration(time_left)} to go" if time_left is not None else ""
            fields: dict[str, Any] = {"what": escape(_launch_first(printable(what))), "left": told}
            if doing:
                fields |= {"total": doing["total"], "completed": doing["done"]}
                fields["count"] = f"{doing['done']}/{doing['total']}"
            self.progress.update(task, **fields)

    def end(self, device: str, what: str, whole: bool = False) -> None:
        """Leave the line as it ended, without motion."""
        with self.lock:
            task = self._task(device)
            told = printable(what)
            first, *more = told.split("\n")
            if more:
                text = Text(f"{device}: {told}")
                self.progress.console.print(text, soft_wrap=True)
            total = self.progress.tasks[task].total or 1
            fields: dict[str, Any] = {"total": total, "what": escape(first), "left": ""}
            if whole:
                fields |= {"completed": total, "count": f"{total:.0f}/{total:.0f}"}
            self.progress.update(task, **fields)

    def _task(self, device: str) -> TaskID:
        if device not in self.tasks:
            fields: dict[str, Any] = {"device": escape(device), "what": "", "left": "", "count": ""}
            self.tasks[device] = self.progress.add_task("", total=None, **fields)
        return self.tasks[device]


def _launch_first(what: str) -> str:
    """Of `GROUP: launch 3 of 7`, what a narrow terminal cuts off last."""
    group, colon, launch = what.rpartition(": ")
    return f"{launch}, {group}" if colon and launch.startswith("launch ") else what


class Silent:
    """Shows nothing."""

    def update(self, device: str, what: str, doing: wire.DoingEvent | None = None) -> None:
        """Show nothing."""

    def end(self, device: str, what: str, whole: bool = False) -> None:
        """Show nothing."""


@contextmanager
def display(mode: str, budget_s: float) -> Iterator[Display]:
    """Choose how to show progress, on standard error: auto, plain or none."""
    console = Console(stderr=True)
    if mode == "none":
        yield Silent()
    elif mode == "auto" and console.is_terminal:
        columns = (
            TextColumn("{task.fields[device]}"),
            BarColumn(bar_width=20, style="dim", complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[what]}", table_column=Column(no_wrap=True, ratio=1)),
        )
        with Progress(*columns, console=console, expand=True) as progress:
            yield Bars(progress, budget_s)
    else:
        yield Plain(console, budget_s)
