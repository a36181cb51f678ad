"""A worker: a fresh process with one loaded model, driven over pipes by JSON lines."""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from statistics import median
from typing import Any, Dict, List, Optional, TextIO

from agents import backends, feed, proc, wire

STEADY_WINDOW = 10
STEADY_TOLERANCE = 0.02
# Slow models: a block need not be longer than this to make the switch between workers cheap.
BLOCK_CAP_NS = 500_000_000
FEWEST_IN_BLOCK = 3
TOP = 5


class Worker:
    """Answers the supervisor's messages for one cell."""

    def __init__(self) -> None:
        self.floor_kib = proc.status_kib("VmHWM")
        self.session: Any = None
        self.cell: Any = None
        self.typical_ns = 0
        self.switches = 0
        self.run_delay_ns: Optional[int] = 0

    def load(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Import the runtime, load the model, feed it and run it once, each timed."""
        self.cell = request["cell"]
        os.sched_setaffinity(0, request["cpus"])
        backend = backends.find(self.cell["runtime"])
        started = time.perf_counter_ns()
        importlib.import_module("numpy")
        importlib.import_module(backend.MODULE)
        imported = time.perf_counter_ns()
        self.session = backend.load(request["path"], self.cell, request["trace"])
        loaded = time.perf_counter_ns()
        data = feed.timing_inputs(self.cell, request["dataset_path"], request["dataset"])
        specs = self.cell["inputs"]
        self.session.bind(feed.as_runtime_wants(data, specs, self.session.input_dtypes))
        first = self.timed(1)[0]
        self.check_batch()
        return {"import_ns": imported - started, "load_ns": loaded - imported, "first_ns": first}

    def check_batch(self) -> None:
        """Refuse a model that took the batch but did not carry it through to its outputs."""
        shapes = [list(output.shape) for output in self.session.outputs()]
        batch = self.cell["batch"]
        if batch > 1 and not any(shape and shape[0] == batch for shape in shapes):
            raise backends.UnsupportedError(
                "outputs have shapes {} at batch {}: the batch is fixed inside the model".format(
                    shapes, batch
                )
            )

    def timed(self, iterations: int) -> List[int]:
        """Time each of some inferences, ns; nothing but the inference is between the clocks."""
        infer, clock = self.session.infer, time.perf_counter_ns
        samples = [0] * iterations
        for at in range(iterations):
            begin = clock()
            infer()
            samples[at] = clock() - begin
        return samples

    def warmup(self, timing: wire.Timing) -> wire.Warmup:
        """Run until two successive windows have medians within 2%, or the cap is reached."""
        begin = time.perf_counter_ns()
        samples: List[int] = []
        steady = False
        while time.perf_counter_ns() - begin < timing["warmup_cap_ns"]:
            samples += self.timed(STEADY_WINDOW)
            elapsed = time.perf_counter_ns() - begin
            enough = len(samples) >= timing["warmup_iterations"] and elapsed >= timing["warmup_ns"]
            steady = is_steady(samples)
            if enough and steady:
                break
        self.typical_ns = int(median(samples[-STEADY_WINDOW:]))
        return {
            "iterations": len(samples),
            "steady": steady,
            "ns": time.perf_counter_ns() - begin,
        }

    def block(self, timing: wire.Timing) -> List[int]:
        """Time one block with the garbage collector off, and note what disturbed it."""
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        delay = proc.run_delay_ns()
        samples = self.timed(block_size(self.typical_ns, timing))
        after = proc.run_delay_ns()
        self.switches += resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches
        if delay is None or after is None or self.run_delay_ns is None:
            self.run_delay_ns = None
        else:
            self.run_delay_ns += after - delay
        return samples

    def finish(self) -> Dict[str, Any]:
        """Read memory first, then what ran: asking the runtime may allocate."""
        memory: wire.Memory = {
            "peak_kib": proc.status_kib("VmHWM"),
            "anon_kib": proc.status_kib("RssAnon"),
            "floor_kib": self.floor_kib,
        }
        noise: wire.Noise = {
            "involuntary_switches": self.switches,
            "run_delay_ns": self.run_delay_ns,
        }
        return {"memory": memory, "noise": noise, "executed": self.session.executed()}

    def evaluate(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Run the dataset through the model; returns the best classes of each sample."""
        top: Optional[List[List[int]]] = None
        nonfinite = 0
        if request["dataset"] is not None:
            top = []
            for arrays in feed.sample_batches(
                request["dataset_path"], request["dataset"], self.cell
            ):
                scores = self.scores(arrays)
                nonfinite += count_nonfinite(scores)
                top += best_classes(scores)
        return {"top": top, "nonfinite": nonfinite, "executed": self.session.executed()}

    def scores(self, arrays: Dict[str, Any]) -> Any:
        """Scores of one batch, [samples, classes]; a short last batch is padded and cut again."""
        samples = len(next(iter(arrays.values())))
        full = feed.padded(arrays, self.cell["batch"])
        self.session.bind(
            feed.as_runtime_wants(full, self.cell["inputs"], self.session.input_dtypes)
        )
        self.session.infer()
        first = self.session.outputs()[0]
        axes = [size for size in first.shape[1:] if size > 1]
        if first.ndim < 2 or first.shape[0] != self.cell["batch"] or len(axes) > 1:
            raise backends.UnsupportedError(
                "output 0 has shape {}, not [batch, classes]: no accuracy from it".format(
                    list(first.shape)
                )
            )
        return first.reshape(first.shape[0], -1)[:samples]


def is_steady(samples: List[int]) -> bool:
    """Whether the last two windows of samples have medians within the tolerance."""
    if len(samples) < 2 * STEADY_WINDOW:
        return False
    last = median(samples[-STEADY_WINDOW:])
    before = median(samples[-2 * STEADY_WINDOW : -STEADY_WINDOW])
    return abs(last - before) <= STEADY_TOLERANCE * before


def block_size(typical_ns: int, timing: wire.Timing) -> int:
    """Inferences in a block: enough to last block_ns, fewer than usual for a slow model."""
    typical = max(typical_ns, 1)
    usual = min(timing["block_iterations"], BLOCK_CAP_NS // typical + 1)
    return max(FEWEST_IN_BLOCK, usual, -(-timing["block_ns"] // typical))


def best_classes(scores: Any) -> List[List[int]]:
    """Classes of each row from the best score down, at most five; ties go to the lower class.

    A row with a NaN or infinite score has no best class: it comes back empty.
    """
    import numpy as np

    real = scores.astype("float64")
    order = np.argsort(-real, axis=1, kind="stable")
    finite = np.isfinite(real).all(axis=1)
    return [row[:TOP].tolist() if sound else [] for row, sound in zip(order, finite)]


def count_nonfinite(scores: Any) -> int:
    """Count the rows with a NaN or infinite score."""
    import numpy as np

    return int((~np.isfinite(scores.astype("float64")).all(axis=1)).sum())


def failure(error: BaseException, lacks: Any) -> Dict[str, str]:
    """Describe an error: unsupported when the runtime says that it lacks what the model needs."""
    reason = "{}: {}".format(type(error).__name__, str(error).strip() or "no message")
    unsupported = isinstance(error, backends.UnsupportedError)
    if unsupported:
        reason = str(error)
    if isinstance(error, MemoryError):
        reason = "out of memory"
    lacking = unsupported or any(phrase in reason for phrase in lacks)
    return {"status": "unsupported" if lacking else "failed", "reason": reason[-2000:]}


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the supervisor dies, even while it is stopped."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() == 1:  # it died before the call
        sys.exit(1)


def volunteer_for_oom() -> None:
    """When memory runs out, let the kernel choose a worker rather than the supervisor or sshd."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def private_stdout() -> TextIO:
    """Keep the pipe to the supervisor for answers: what a runtime prints goes to the log."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def answer(worker: Worker, request: Dict[str, Any]) -> Any:
    """Do what one message asks."""
    verb = request["do"]
    if verb == "load":
        return worker.load(request)
    if verb == "warmup":
        return worker.warmup(request["timing"])
    if verb == "block":
        return worker.block(request["timing"])
    if verb == "evaluate":
        return worker.evaluate(request)
    if verb == "finish":
        return worker.finish()
    raise ValueError("unknown message: {}".format(verb))


def main(arguments: List[str]) -> None:
    """Serve messages until the pipe closes: `worker`."""
    channel = private_stdout()
    die_with_parent()
    volunteer_for_oom()
    worker = Worker()
    lacks: Any = ()
    gc.disable()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                lacks = backends.find(request["cell"]["runtime"]).LACKS
            reply = {"ok": answer(worker, request)}
        except Exception as error:  # every failure of a runtime is a result with its reason
            import traceback

            traceback.print_exc()
            reply = {"error": failure(error, lacks)}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()
        if request["do"] != "block":
            gc.collect()
