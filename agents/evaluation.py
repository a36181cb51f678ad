"""An evaluation: one model file in one runtime, loaded once and run over all sets of samples."""

from __future__ import annotations

import math
import time
from typing import Any, Dict, Iterator, List, Literal, NamedTuple, Optional

from agents import process, wire
from agents.bench import Bench

# What a slow board may need for one sample beside its inference: to find its boxes, to read its
# scores, and for each number of it, preprocessing and the slowest corruption.
BOXES_S, SCORES_S, NUMBER_S = 2.0, 0.02, 1e-5


class Set(NamedTuple):
    """Samples to be run: the dataset, a part of it under a corruption, or another dataset."""

    name: str
    kind: Literal["clean", "corruption", "ood"]
    severity: int
    dataset: wire.Dataset
    samples: int
    corruption: Optional[List[Any]]  # of agents.corruptions.Corruption

    def scored(self, reason: Optional[str], answers: Dict[str, Any]) -> wire.Scored:
        """Make the record of what came back."""
        return {
            "name": self.name,
            "kind": self.kind,
            "severity": self.severity,
            "samples": self.samples,
            "reason": reason,
            "classes": answers.get("classes"),
            "positive": answers.get("positive"),
            "boxes": answers.get("boxes"),
            "pixels": answers.get("pixels"),
        }


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
        "scores": None,
        "inputs_sha256": None,
        "sets": [],
        "seconds": 0.0,
        "executed": {},
    }
    try:
        fill(event, bench, cell, clock + bench.job["budget_s"])
    except process.WorkerError as error:
        event["status"] = "unsupported" if error.status == "unsupported" else "failed"
        event["reason"] = error.reason
    event["seconds"] = time.monotonic() - clock
    return event


def fill(event: wire.EvaluationEvent, bench: Bench, cell: wire.Cell, deadline: float) -> None:
    """Load the model and run every set; raises WorkerError when it fails without a corruption."""
    request = bench.load_request(cell, trace=True)
    worker = bench.spawn(cell, "evaluation")
    try:
        loaded = worker.ask(request, bench.timeout)
        # At once: a trace of every inference would fill the disk.
        executed = worker.ask({"do": "finish"}, bench.timeout)["executed"]
        session = Asked(bench, cell, worker, loaded["first_ns"])
        for number, one in enumerate(sets(bench.job)):
            if number == 0:
                found = session.ask(one)
                for key in ("top", "nonfinite", "scores", "inputs_sha256"):
                    event[key] = found[key]
                event["sets"].append(one.scored(None, found["answers"]))
            else:
                event["sets"].append(session.try_to_ask(one, deadline))
        event["executed"] = executed
    finally:
        worker.close()


def sets(job: wire.Job) -> Iterator[Set]:
    """List the sets of a job: the dataset itself, then what its robustness asks for."""
    dataset, more = job["dataset"], job["robustness"]
    if dataset is None:
        return
    yield Set("clean", "clean", 0, dataset, dataset["samples"], None)
    if more is None:
        return
    samples = min(more["samples"], dataset["samples"])
    for name in more["corruptions"]:
        for severity in more["severities"]:
            spoil = [name, severity, more["seed"]]
            yield Set(name, "corruption", severity, dataset, samples, spoil)
    for name, other in more["ood"].items():
        yield Set(name, "ood", 0, other, other["samples"], None)


class Asked:
    """A loaded worker that is asked for one set after the other."""

    def __init__(
        self, bench: Bench, cell: wire.Cell, worker: process.Process, first_ns: int
    ) -> None:
        self.bench = bench
        self.cell = cell
        self.worker = worker
        self.first_s = 1e-9 * first_ns
        self.gone: Optional[str] = None  # why the worker answers no more

    def ask(self, one: Set) -> Dict[str, Any]:
        """Ask for the answers to one set; raises WorkerError with the reason."""
        request = {
            "do": "evaluate",
            "dataset": one.dataset,
            "dataset_path": self.bench.blob(one.dataset["artifact"]),
            "samples": one.samples,
            "corruption": one.corruption,
        }
        found: Dict[str, Any] = self.worker.ask(request, self.seconds(one))
        return found

    def seconds(self, one: Set) -> float:
        """Bound the time for a set: twice its first, slowest inference for every sample, and more.

        More is what preparing a sample and reading its answers take on a slow board.
        """
        shapes = [spec["shape"] for spec in self.cell["inputs"]]
        numbers = sum(math.prod(shape) for shape in shapes) / self.cell["batch"]
        dataset = self.bench.job["dataset"]
        reading = BOXES_S if dataset and dataset["boxes"] else SCORES_S
        each = 2 * self.first_s + reading + NUMBER_S * numbers
        return max(self.bench.timeout, one.samples * each)

    def try_to_ask(self, one: Set, deadline: float) -> wire.Scored:
        """Ask for a set whose failure is a reason in it; a dead worker is asked no more."""
        if self.gone is None and time.monotonic() > deadline:
            self.gone = "the board-time budget ended"
        if self.gone is not None:
            return one.scored(self.gone, {})
        answered = self.worker.answered_ns
        try:
            return one.scored(None, self.ask(one)["answers"])
        except process.WorkerError as error:
            if self.worker.answered_ns == answered:
                self.gone = error.reason
            return one.scored(error.reason, {})
