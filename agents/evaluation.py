"""An evaluation: one model file in one runtime, loaded once and run over the dataset."""

from __future__ import annotations

import time
from typing import Any, Dict

from agents import process, wire
from agents.bench import Bench


def run(bench: Bench, evaluation: wire.Evaluation) -> wire.EvaluationEvent:
    """Evaluate in a process of its own: its memory must not be part of a timed cell's peak."""
    clock = time.monotonic()
    cell = bench.job["cells"][evaluation["cell"]]
    event: wire.EvaluationEvent = {
        "kind": "evaluation",
        "evaluation": evaluation["id"],
        "cell": cell["id"],
        "status": "ok",
        "reason": None,
        "top": None,
        "nonfinite": 0,
        "seconds": 0.0,
        "executed": {},
    }
    try:
        found = ask(bench, cell)
        event["top"] = found["top"]
        event["nonfinite"] = found["nonfinite"]
        event["executed"] = found["executed"]
    except process.WorkerError as error:
        event["status"] = "unsupported" if error.status == "unsupported" else "failed"
        event["reason"] = error.reason
    event["seconds"] = time.monotonic() - clock
    return event


def ask(bench: Bench, cell: wire.Cell) -> Dict[str, Any]:
    """Load, evaluate and answer; raises WorkerError with the reason."""
    request = bench.load_request(cell, trace=True)
    worker = bench.spawn(cell, "evaluation")
    try:
        loaded = worker.ask(request, bench.timeout)
        samples = bench.job["dataset"]["samples"] if bench.job["dataset"] else 0
        # Twice the time that the first, slowest inference would take for every sample.
        needed = 2e-9 * loaded["first_ns"] * samples
        found: Dict[str, Any] = worker.ask(dict(request, do="evaluate"), max(bench.timeout, needed))
        return found
    finally:
        worker.close()
