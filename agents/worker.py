"""A worker: a fresh process with one loaded model, driven over pipes by JSON lines."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from statistics import median
from typing import Any, Callable, Dict, List, Optional, TextIO

from agents import arrivals, backends, exam, feed, loop, memory, proc, streams, stretch, wire


class Worker:
    """Answers the supervisor's messages for one cell."""

    def __init__(self) -> None:
        self.memory = memory.Watch()
        self.path = ""
        self.io_kib = 0
        self.session: Any = None
        self.streams: Any = None
        # What is timed: a session or a query. A sample; and a request to every stream at once.
        self.sample: Any = None
        self.at_once: Any = None
        self.cell: Any = None
        self.exam: Optional[exam.Exam] = None
        self.requests = 1
        self.typical_ns = 0
        self.blocks = 0
        self.noise: wire.Noise = {"preempted": [], "run_delay_ns": 0}
        self.overheads: List[int] = []

    def load(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Import the runtime, load the model, feed it and run it once, each timed."""
        self.cell, self.path = request["cell"], request["path"]
        os.sched_setaffinity(0, request["cpus"])
        backend = backends.find(self.cell["runtime"])
        started = time.perf_counter_ns()
        importlib.import_module("numpy")
        importlib.import_module(backend.MODULE)
        imported = time.perf_counter_ns()
        self.memory.note("imported")
        loading = time.perf_counter_ns()
        self.session = backend.load(self.path, self.cell, request["streams"], request["trace"])
        loaded = time.perf_counter_ns()
        self.memory.note("loaded")
        feeding = time.perf_counter_ns()
        data = feed.timing_inputs(self.cell, request["dataset_path"], request["dataset"])
        inputs = feed.as_runtime_wants(data, self.cell["inputs"], self.session.input_dtypes)
        fed = time.perf_counter_ns()
        self.session.bind(inputs)
        first = loop.timed(self.session, 1).samples[0]
        self.memory.note("first")
        self.check_outputs(inputs)
        self.open_streams(inputs, request["streams"], request["requests"])
        return {
            "import_ns": imported - started,
            "load_ns": loaded - loading,
            "ours_ns": fed - feeding + self.memory.spent_ns,
            "first_ns": first,
        }

    def check_outputs(self, inputs: Dict[str, Any]) -> None:
        """Refuse a model that took the batch but did not carry it through to its outputs.

        Of others keep how large inputs and outputs are.
        """
        outputs = self.session.outputs()
        self.io_kib = memory.io_kib(list(inputs.values()), outputs, self.cell["outputs"])
        shapes = [list(output.shape) for output in outputs]
        batch = self.cell["batch"]
        if batch > 1 and not any(shape and shape[0] == batch for shape in shapes):
            raise backends.UnsupportedError(
                "outputs have shapes {} at batch {}: the batch is fixed inside the model".format(
                    shapes, batch
                )
            )

    def open_streams(self, inputs: Dict[str, Any], count: int, requests: int) -> None:
        """Open the further streams, and have each answer a first request: it may take memory."""
        self.streams = streams.opened(self.session, inputs, count)
        self.requests = requests
        self.sample = self.session if requests == 1 else streams.Query(self.streams, requests)
        self.at_once = self.session if count == 1 else streams.Query(self.streams, count)
        if count > 1:
            self.at_once.infer()

    def floor(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Time calls that do nothing, after as many to warm up; no runtime is imported."""
        os.sched_setaffinity(0, request["cpus"])
        session = backends.find("_null").Session()
        loop.timed(session, request["calls"])
        timed = loop.timed(session, request["calls"])
        return {"loop_ns": timed.samples, "worker_kib": self.memory.peak_kib}

    def warmup(self, timing: wire.Timing) -> Dict[str, Any]:
        """Warm up all streams until steady, and note how long a sample then takes."""
        warmed, typical_ns = loop.warm_up(self.at_once, timing)
        self.typical_ns = max(1, typical_ns * self.requests // self.streams.count)
        return {"warmup": warmed, "typical_ns": self.typical_ns}

    def block(self, timing: wire.Timing) -> List[int]:
        """Time one block."""
        size = loop.block_size(self.typical_ns, timing)
        return self.watched(lambda: loop.timed(self.sample, size))

    def stretch(self, seconds: float) -> List[int]:
        """Time a block that lasts so long."""
        return self.watched(lambda: stretch.run(self.sample, seconds))

    def watched(self, measure: Callable[[], loop.Timed]) -> List[int]:
        """Time a block, and keep what disturbed it."""
        delay = proc.run_delay_ns()
        timed = measure()
        after = proc.run_delay_ns()
        self.noise["preempted"] += [[self.blocks, *row] for row in timed.preempted]
        self.noise["run_delay_ns"] = added(self.noise["run_delay_ns"], delay, after)
        self.overheads += timed.overheads
        self.blocks += 1
        return timed.samples

    def serve(self, request: Dict[str, Any]) -> List[int]:
        """Answer requests that arrive at random; returns their latencies, ns."""
        gaps = arrivals.poisson_gaps_ns(request["rate"], request["requests"], request["seed"])
        return arrivals.Trial(gaps, request["target_ns"]).run(self.streams)

    def finish(self) -> Dict[str, Any]:
        """Read memory first, then what ran: asking the runtime may allocate."""
        self.memory.end(self.path)
        executed = self.session.executed()
        account = memory.account_of(self.session)
        return {
            "memory": self.memory.told(self.io_kib, account),
            "account": account,
            "noise": self.noise if self.blocks else None,
            "call_overhead_ns": int(median(self.overheads)) if self.overheads else None,
            "executed": executed,
        }

    def trace(self, inferences: int) -> None:
        """Run the model for a session that traces, so that it can tell what a warm layer takes."""
        for _ in range(inferences):
            self.session.infer()

    def evaluate(self, request: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Run one set of samples through the model; returns its raw answers, null when stopped."""
        if self.exam is None:
            self.exam = exam.Exam(self.session, self.cell)
        return self.exam.answer(request)


def added(total: Optional[int], before: Optional[int], after: Optional[int]) -> Optional[int]:
    """The total with one more difference; null once a reading is missing."""
    if total is None or before is None or after is None:
        return None
    return total + after - before


def failure(error: BaseException, lacks: Any) -> Dict[str, str]:
    """Describe an error: unsupported when the runtime says that it lacks what the model needs."""
    reason = named(error)
    if error.__cause__ is not None:
        reason += ", because of " + named(error.__cause__)
    unsupported = isinstance(error, backends.UnsupportedError)
    if unsupported:
        reason = str(error)
    if isinstance(error, MemoryError):
        reason = "out of memory"
    lacking = unsupported or any(phrase in reason for phrase in lacks)
    return {"status": "unsupported" if lacking else "failed", "reason": reason[-2000:]}


def named(error: BaseException) -> str:
    """An error's type and message."""
    return "{}: {}".format(type(error).__name__, str(error).strip() or "no message")


def write_down(error: BaseException) -> None:
    """Print where an error comes from; of one that a backend raised itself, the reason says all."""
    import traceback

    if not isinstance(error, backends.UnsupportedError):
        traceback.print_exception(type(error), error, error.__traceback__)


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


def tell_of_crashes() -> None:
    """Have a crash in native code, or SIGUSR1 while it hangs, write the Python stack to the log."""
    import faulthandler

    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)


def private_stdout() -> TextIO:
    """Keep the pipe to the supervisor for answers: what a runtime prints goes to the log."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def answer(worker: Worker, request: Dict[str, Any]) -> Any:
    """Do what one message asks."""
    verb = request["do"]
    if verb == "floor":
        return worker.floor(request)
    if verb == "load":
        return worker.load(request)
    if verb == "warmup":
        return worker.warmup(request["timing"])
    if verb == "block":
        return worker.block(request["timing"])
    if verb == "stretch":
        return worker.stretch(request["seconds"])
    if verb == "serve":
        return worker.serve(request)
    if verb == "evaluate":
        return worker.evaluate(request)
    if verb == "trace":
        return worker.trace(request["inferences"])
    if verb == "finish":
        return worker.finish()
    raise ValueError("unknown message: {}".format(verb))


def main(arguments: List[str]) -> None:
    """Serve messages until the pipe closes: `worker`."""
    channel = private_stdout()
    die_with_parent()
    volunteer_for_oom()
    tell_of_crashes()
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
            write_down(error)
            reply = {"error": failure(error, lacks)}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()
        if request["do"] not in ("block", "stretch"):
            gc.collect()
