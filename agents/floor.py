"""The floor: what measuring costs by itself on this device, beneath every result."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Optional

from agents import cpus, probes, proc, process, wire
from agents.bench import Bench

CALLS = 10_000


def run(bench: Bench) -> wire.FloorEvent:
    """Time calls that do nothing, and read the memory that worker and supervisor take."""
    clock = time.monotonic()
    found: Dict[str, Any] = {"loop_ns": [], "worker_kib": None}
    reason: Optional[str] = None
    try:
        found = ask(bench)
    except process.WorkerError as error:
        reason = error.reason
    probes.read_all()  # loads what the supervisor lacks until its first launch
    return {
        "kind": "floor",
        "reason": reason,
        "loop_ns": found["loop_ns"],
        "supervisor_kib": proc.status_kib("VmHWM"),
        "worker_kib": found["worker_kib"],
        "seconds": time.monotonic() - clock,
    }


def ask(bench: Bench) -> Any:
    """Have a worker without a runtime measure; raises WorkerError with the reason."""
    nowhere = os.path.join(bench.folder, "no-runtime")  # a path keeps the board's packages out
    log = os.path.join(bench.folder, "floor.log")
    worker = process.Process(process.command(nowhere), process.environment(nowhere), log)
    try:
        core = cpus.choose(1, os.sched_getaffinity(0))
        return worker.ask({"do": "floor", "cpus": core, "calls": CALLS}, bench.timeout)
    finally:
        worker.close()
