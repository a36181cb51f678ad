"""An evaluation: one model file in one runtime answers the dataset, later what is made of it."""

from __future__ import annotations

import math
import os
import time
from typing import Any, Dict, Iterator, List, Literal, NamedTuple, Optional

from agents import process, wire
from agents.bench import Bench

# Inferences from which the times of layers are taken, besides the first: usually, and in a profile.
TRACED, PROFILED = 3, 30
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

    def __str__(self) -> str:
        return "{} {}".format(self.name, self.severity) if self.severity else self.name

    def scored(self, found: Dict[str, Any], reason: Optional[str] = None) -> wire.Scored:
        """Make the record of what came back, or of why nothing did."""
        answers = found.get("answers", {})
        return {
            "name": self.name,
            "kind": self.kind,
            "severity": self.severity,
            "samples": self.samples,
            "reason": reason,
            "seconds": found.get("seconds", 0.0),
            "classes": answers.get("classes"),
            "positive": answers.get("positive"),
            "boxes": answers.get("boxes"),
            "pixels": answers.get("pixels"),
        }


def run(bench: Bench, evaluation: wire.Evaluation) -> Optional[wire.EvaluationEvent]:
    """Load a model and have it answer the dataset itself; null when a stop came first."""
    clock = time.monotonic()
    cell = bench.job["cells"][evaluation["cell"]]
    event: wire.EvaluationEvent = {
        "kind": "evaluation",
        "evaluation": evaluation["id"],
        "cell": cell["id"],
        "status": "ok",
        "reason": None,
        "log": [],
        "top": None,
        "nonfinite": 0,
        "scores": None,
        "inputs_sha256": None,
        "sets": [],
        "seconds": 0.0,
        "executed": {},
        "account": None,
    }
    asked = Asked(bench, evaluation)
    try:
        if not fill(event, bench.job, asked, evaluation["answers"]):
            return None
    except process.WorkerError as error:
        event["status"] = "unsupported" if error.status == "unsupported" else "failed"
        event["reason"], event["log"] = error.reason, error.log
    finally:
        asked.close()
    event["seconds"] = time.monotonic() - clock
    return event


def fill(event: wire.EvaluationEvent, job: wire.Job, asked: "Asked", answers: bool) -> bool:
    """Take in what a model answers, false when it was stopped; raises WorkerError if it fails.

    A model that runs, but whose answers cannot be read, is timed all the same: its sets say why.
    """
    ran = asked.load(PROFILED if job["profile"] else TRACED)
    event["executed"], event["account"] = ran["executed"], ran["account"]
    if job["dataset"] is not None and answers:
        clean = Set("clean", "clean", 0, job["dataset"], job["dataset"]["samples"], None)
        try:
            found = asked.ask(clean)
        except process.WorkerError as error:
            if error.status != "unsupported":
                raise
            sets = [clean, *further_sets(job)]
            event["sets"] = [one.scored({}, error.reason) for one in sets]
            return True
        if found is None:
            return False
        for key in ("top", "nonfinite", "scores", "inputs_sha256"):
            event[key] = found[key]
        event["sets"] = [clean.scored(found)]
        event["sets"] += [one.scored({}, wire.NOT_RUN) for one in further_sets(job)]
    return True


def further_sets(job: wire.Job) -> Iterator[Set]:
    """List the sets that robustness asks for."""
    dataset, more = job["dataset"], job["robustness"]
    if dataset is None or more is None:
        return
    samples = min(more["samples"], dataset["samples"])
    for name in more["corruptions"]:
        for severity in more["severities"]:
            spoil = [name, severity, more["seed"]]
            yield Set(name, "corruption", severity, dataset, samples, spoil)
    for name, other in more["ood"].items():
        yield Set(name, "ood", 0, other, other["samples"], None)


class Asked:
    """A model in a process of its own, which is asked for one set after the other.

    Its memory must not be part of a timed cell's peak. `scores` is how those of the dataset were
    read; null before.
    """

    def __init__(
        self, bench: Bench, evaluation: wire.Evaluation, scores: Optional[str] = None
    ) -> None:
        self.bench = bench
        self.evaluation = evaluation["id"]
        self.cell = bench.job["cells"][evaluation["cell"]]
        self.scores = scores
        self.worker: Optional[process.Process] = None
        self.first_s = 0.0
        self.gone: Optional[str] = None  # why the worker answers no more

    def load(self, traced: int) -> Dict[str, Any]:
        """Start the worker and load the model; raises WorkerError. Returns what the worker tells.

        So many inferences are traced besides the first, which is cold.
        """
        request = self.bench.load_request(self.cell, trace=True)
        self.worker = self.bench.spawn(self.cell, "evaluation")
        loaded = self.worker.ask(request, self.bench.load_timeout(self.cell))
        self.first_s = 1e-9 * loaded["first_ns"]
        seconds = self.bench.timeout + 2 * self.first_s * traced
        self.worker.ask({"do": "trace", "inferences": traced}, seconds)
        # At once: a trace of every inference would fill the disk.
        ran: Dict[str, Any] = self.worker.ask({"do": "finish"}, seconds)
        return ran

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()

    def ask(self, one: Set) -> Optional[Dict[str, Any]]:
        """Ask for the answers to one set, null when stopped; raises WorkerError with the reason."""
        assert self.worker is not None
        dataset: Any = self.bench.job["dataset"]
        request = {
            "do": "evaluate",
            "dataset": one.dataset,
            "dataset_path": self.bench.blob(one.dataset["artifact"]),
            "samples": one.samples,
            "corruption": one.corruption,
            "read_as": dict(dataset, scores=self.scores or dataset["scores"]),
            "stop": os.path.join(self.bench.folder, wire.STOP_FILE),
        }
        clock, answered = time.monotonic(), self.worker.answered_ns
        try:
            found: Optional[Dict[str, Any]] = self.worker.ask(request, self.seconds(one))
        except process.WorkerError as error:
            if self.worker.answered_ns == answered:
                self.gone = error.reason
            raise
        return None if found is None else dict(found, seconds=time.monotonic() - clock)

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

    def run(self, one: Set) -> Optional[wire.SetEvent]:
        """Run one of the further sets, the first with loading the model; null when stopped.

        A set that fails has a reason. When the model does not load, or the worker dies, it is that
        of all that follow, too.
        """
        clock = time.monotonic()
        if self.worker is None and self.gone is None:
            self.try_to_load()
        found: Optional[Dict[str, Any]] = {}
        reason = self.gone
        if reason is None:
            try:
                found = self.ask(one)
            except process.WorkerError as error:
                reason = error.reason
        if found is None:
            return None
        return {
            "kind": "set",
            "evaluation": self.evaluation,
            "scored": one.scored(found, reason),
            "seconds": time.monotonic() - clock,
        }

    def try_to_load(self) -> None:
        """Load the model, or keep the reason why it does not."""
        try:
            self.load(0)
        except process.WorkerError as error:
            self.gone = error.reason
