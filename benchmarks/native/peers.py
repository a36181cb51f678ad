"""The benchmark tools inside the wheels, run between the agent's blocks: benchmark_app and others.

They cannot be asked for one block, so that they are let run for a while (SIGCONT), stopped, and let
run again; the inference during which they were stopped is one long sample, which a median bears.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from agents import process
from benchmarks.native.loops import UnavailableError

READY_TIMEOUT_S = 60.0
POLL_S = 0.002
# A printed median is of use when its last digit is worth less than this.
COARSEST = 0.01
COARSEST_US = 2.0


@dataclass(frozen=True)
class Tool:
    """How one tool is called, when it begins to measure and what it says in the end."""

    name: str
    options: tuple[str, ...]
    model_option: str
    runs_option: str
    begins: str
    median: str  # a pattern: number and unit


BENCHMARK_APP = Tool(
    "benchmark_app",
    (
        *("-d", "CPU", "-hint", "none", "-api", "sync", "-nireq", "1"),
        *("-nthreads", "1", "-nstreams", "1", "-infer_precision", "f32", "-pin", "NO"),
    ),
    "-m",
    "-niter",
    "[Step 9/11]",  # stopped before its first sample, not in it
    r"Median:\s+(\d+(?:\.\d+)?) (us|ms)",
)
LITERT_BENCHMARK = Tool(
    "litert-benchmark",
    ("--num_threads", "1", "--warmup_runs", "50"),
    "--model",
    "--num_runs",
    "benchmark iterations...",
    r"Inference \(median\):\s+(\d+(?:\.\d+)?) (us|ms)",
)
TOOLS = {"openvino": BENCHMARK_APP, "litert": LITERT_BENCHMARK}


class Peer:
    """One run of a tool on one model."""

    def __init__(self, tool: Tool, tree: Path, model: Path, runs: int, log: Path) -> None:
        self.tool = tool
        self.log = log
        command = [sys.executable, "-S", str(tree / "bin" / tool.name), *tool.options]
        command += [tool.model_option, str(model), tool.runs_option, str(runs)]
        environment = dict(process.environment(str(tree)), PYTHONUNBUFFERED="1")
        with log.open("wb") as file:
            self.child = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    def until_ready(self) -> None:
        """Wait until it measures, and stop it there; raises UnavailableError."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.tool.begins not in self.log.read_text(errors="replace"):
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"{self.tool.name} did not begin: {self.said()}")
            time.sleep(POLL_S)
        self.signal(signal.SIGSTOP)

    def turn(self, seconds: float) -> None:
        """Let it measure for a while."""
        self.signal(signal.SIGCONT)
        time.sleep(seconds)
        self.signal(signal.SIGSTOP)

    def p50_us(self) -> float:
        """Let it come to its end; returns the median that it prints. Raises UnavailableError."""
        self.signal(signal.SIGCONT)
        try:
            self.child.wait(READY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{self.tool.name} did not end") from None
        return printed_us(self.tool, self.log.read_text(errors="replace"))

    def said(self) -> str:
        """The end of what it printed."""
        return " ".join(self.log.read_text(errors="replace").split())[-300:] or "nothing"

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.child.poll() is None:
            os.kill(self.child.pid, number)

    def close(self) -> None:
        """End it."""
        self.signal(signal.SIGKILL)
        self.child.wait()


def printed_us(tool: Tool, text: str) -> float:
    """The median in a tool's output; raises UnavailableError when it has too few digits."""
    found = re.search(tool.median, text)
    if found is None:
        raise UnavailableError(f"{tool.name} printed no median: {' '.join(text.split())[-300:]}")
    number, unit = found.groups()
    scale = 1000.0 if unit == "ms" else 1.0
    value = float(number) * scale
    digit = scale * 10.0 ** -len(number.partition(".")[2])
    # It is rounded: off by half a digit at most.
    if digit / 2 > max(COARSEST * value, COARSEST_US):
        raise UnavailableError(
            f"{tool.name} printed {number} {unit}, which is too few digits for a comparison"
        )
    return value
