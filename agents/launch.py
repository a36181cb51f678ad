"""One launch of one group: fresh workers, one of them active at a time."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from agents import probes, process, scenarios, wire
from agents.bench import Bench
from agents.loop import STEADY_WINDOW


class Arm:
    """One cell within one launch: its worker and what it has measured so far."""

    def __init__(self, bench: Bench, cell: wire.Cell) -> None:
        self.bench = bench
        self.cell = cell
        self.worker: Optional[process.Process] = None
        self.start_over()

    def start_over(self) -> None:
        """Forget what was measured."""
        self.close()
        self.record = empty_record(self.cell["id"])
        self.starved = False  # whether it was ended because memory was short
        self.start_ns: Optional[int] = None  # from spawning the process to its first answer
        self.typical_ns: Optional[int] = None  # of a sample, when it was warm

    @property
    def scenario(self) -> wire.Scenario:
        """The parameters of the cell's scenario."""
        return self.bench.job["scenarios"][self.cell["scenario"]]

    def ask(self, request: Dict[str, Any], seconds: float = 0.0) -> Any:
        """Send one message, unless the cell has failed: a failure is its result from then on.

        `seconds` is how long it takes by itself, besides what any answer may take.
        """
        if self.worker is None:
            return None
        try:
            return self.worker.ask(request, self.bench.timeout + seconds)
        except process.WorkerError as error:
            self.fail(error)
            return None

    def fail(self, error: process.WorkerError) -> None:
        """Keep the reason and free what the worker holds."""
        self.record["status"] = "unsupported" if error.status == "unsupported" else "failed"
        self.record["reason"], self.record["log"] = error.reason, error.log
        self.starved = isinstance(error, process.OutOfMemoryError)
        self.close()

    def open(self, purpose: str) -> None:
        """Spawn the worker, load the model, run it once."""
        self.start_ns = None
        try:
            request = self.bench.load_request(self.cell, trace=False)
        except process.WorkerError as error:
            self.fail(error)
            return
        self.record["cpus"] = request["cpus"]
        self.record["streams"] = request["streams"]
        worker = self.worker = self.bench.spawn(self.cell, purpose)
        loaded = self.ask(request, self.bench.load_timeout(self.cell) - self.bench.timeout)
        if loaded:
            # What made the inputs and looked at the memory is ours, and no part of a start.
            self.start_ns = worker.answered_ns - worker.spawned_ns - loaded["ours_ns"]
            self.record["load_ns"] = loaded["load_ns"]
            self.record["import_ns"] = loaded["import_ns"]
            self.record["first_ns"] = loaded["first_ns"]

    def warm(self) -> None:
        """Warm up until steady."""
        # However slow they are, one window of inferences at least.
        window = 2e-9 * STEADY_WINDOW * (self.record["first_ns"] or 0)
        warmed = self.ask({"do": "warmup", "timing": self.bench.job["timing"]}, window)
        if warmed:
            self.record["warmup"] = warmed["warmup"]
            self.typical_ns = warmed["typical_ns"]

    def block(self) -> None:
        """Measure one block."""
        # A sample of many requests may be long, and a block has three at least.
        few = 10e-9 * (self.typical_ns or 0)
        samples = self.ask({"do": "block", "timing": self.bench.job["timing"]}, few)
        if samples:
            self.record["blocks"].append(samples)

    def finish(self) -> None:
        """Read memory, noise and what ran, then end the worker."""
        end = self.ask({"do": "finish"})
        if end:
            self.record["memory"] = end["memory"]
            self.record["noise"] = end["noise"]
            self.record["call_overhead_ns"] = end["call_overhead_ns"]
            self.record["executed"] = end["executed"]
        self.close()

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def empty_record(cell: str) -> wire.CellLaunch:
    """Return the record of a cell that has measured nothing yet."""
    return {
        "cell": cell,
        "status": "ok",
        "reason": None,
        "log": [],
        "blocks": [],
        "load_ns": None,
        "import_ns": None,
        "first_ns": None,
        "warmup": None,
        "memory": None,
        "executed": {},
        "noise": None,
        "cpus": [],
        "streams": 1,
        "call_overhead_ns": None,
        "trials": [],
        "readings": [],
    }


def run(bench: Bench, group: wire.Group, ordinal: int, skip: Dict[str, str]) -> wire.LaunchEvent:
    """Measure one launch of a group; cells in `skip` (id -> reason) are left out."""
    started, clock = time.time(), time.monotonic()
    before = probes.read_all()
    ids = [cell for cell in group["cells"] if cell not in skip]
    name = bench.job["cells"][group["cells"][0]]["scenario"]
    scenario = scenarios.find(name)
    seed = "{}/{}/{}".format(bench.job["seed"], group["id"], ordinal)
    order = scenario.order(ids, bench.job["scenarios"][name]["blocks"], seed)
    arms = new_arms(bench, ids)
    try:
        interleaved = scenario.measure(arms, order, "launch{}".format(ordinal))
    finally:
        close_all(arms)
    return {
        "kind": "launch",
        "group": group["id"],
        "ordinal": ordinal,
        "started": started,
        "seconds": time.monotonic() - clock,
        "interleaved": interleaved,
        "spawn_order": order.spawn,
        "block_order": order.blocks,
        "conditions": {"before": before, "after": probes.read_all()},
        "cells": [arms[cell].record for cell in ids],
    }


def new_arms(bench: Bench, ids: "list[str]") -> Dict[str, Arm]:
    """Return an arm for each cell."""
    return {cell: Arm(bench, bench.job["cells"][cell]) for cell in ids}


def close_all(arms: Dict[str, Arm]) -> None:
    """End every worker that is still alive."""
    for arm in arms.values():
        arm.close()
