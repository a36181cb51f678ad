"""One launch of one group: fresh workers side by side, one of them active at a time."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from agents import proc, process, schedule, wire
from agents.bench import Bench

# With less memory than this left a board would swap or kill, so the launch goes one at a time.
SPARE_KIB = 64 * 1024


class Arm:
    """One cell within one launch: its worker and what it has measured so far."""

    def __init__(self, bench: Bench, cell: wire.Cell) -> None:
        self.bench = bench
        self.cell = cell
        self.worker: Optional[process.Process] = None
        self.record = empty_record(cell["id"])

    def ask(self, request: Dict[str, Any]) -> Any:
        """Send one message, unless the cell has failed: a failure is its result from then on."""
        if self.worker is None:
            return None
        try:
            return self.worker.ask(request, self.bench.timeout)
        except process.WorkerError as error:
            self.fail(error)
            return None

    def fail(self, error: process.WorkerError) -> None:
        """Keep the reason and free what the worker holds."""
        self.record["status"] = "unsupported" if error.status == "unsupported" else "failed"
        self.record["reason"] = error.reason
        self.close()

    def open(self, purpose: str) -> None:
        """Spawn the worker, load the model, run it once."""
        try:
            request = self.bench.load_request(self.cell, trace=False)
        except process.WorkerError as error:
            self.fail(error)
            return
        self.record["cpus"] = request["cpus"]
        self.worker = self.bench.spawn(self.cell, purpose)
        loaded = self.ask(request)
        if loaded:
            self.record["load_ns"] = loaded["load_ns"]
            self.record["import_ns"] = loaded["import_ns"]
            self.record["first_ns"] = loaded["first_ns"]

    def warm(self) -> None:
        """Warm up until steady."""
        self.record["warmup"] = self.ask({"do": "warmup", "timing": self.bench.job["timing"]})

    def block(self) -> None:
        """Measure one block."""
        samples = self.ask({"do": "block", "timing": self.bench.job["timing"]})
        if samples:
            self.record["blocks"].append(samples)

    def finish(self) -> None:
        """Read memory, noise and what ran, then end the worker."""
        end = self.ask({"do": "finish"})
        if end:
            self.record["memory"] = end["memory"]
            self.record["noise"] = end["noise"]
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
        "blocks": [],
        "load_ns": None,
        "import_ns": None,
        "first_ns": None,
        "warmup": None,
        "memory": None,
        "executed": {},
        "noise": None,
        "cpus": [],
    }


def run(bench: Bench, group: wire.Group, ordinal: int, skip: Dict[str, str]) -> wire.LaunchEvent:
    """Measure one launch of a group; cells in `skip` (id -> reason) are left out."""
    started, clock = time.time(), time.monotonic()
    ids = [cell for cell in group["cells"] if cell not in skip]
    seed = "{}/{}/{}".format(bench.job["seed"], group["id"], ordinal)
    order = schedule.order(ids, bench.job["timing"]["blocks"], seed)
    purpose = "launch{}".format(ordinal)
    arms = new_arms(bench, ids)
    try:
        interleaved = side_by_side(arms, order, purpose)
        if not interleaved:
            close_all(arms)
            arms = new_arms(bench, ids)
            one_at_a_time(arms, order, purpose)
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
        "cells": [arms[cell].record for cell in ids],
    }


def new_arms(bench: Bench, ids: "list[str]") -> Dict[str, Arm]:
    """Return an arm for each cell."""
    return {cell: Arm(bench, bench.job["cells"][cell]) for cell in ids}


def side_by_side(arms: Dict[str, Arm], order: schedule.Order, purpose: str) -> bool:
    """Measure with all workers alive; returns false, and measures nothing, if memory is short."""
    largest = SPARE_KIB
    for cell in order.spawn:
        arms[cell].open(purpose)
        worker = arms[cell].worker
        if worker is not None:
            largest = max(largest, worker.rss_kib())
        if len(arms) > 1 and proc.meminfo()["MemAvailable"] < largest:
            return False
    for cell in order.warmup:
        arms[cell].warm()
    for cell in order.blocks:
        arms[cell].block()
    for cell in order.spawn:
        arms[cell].finish()
    return True


def one_at_a_time(arms: Dict[str, Arm], order: schedule.Order, purpose: str) -> None:
    """Measure each cell alone, in the order of spawning."""
    for cell in order.spawn:
        arm = arms[cell]
        arm.open(purpose)
        arm.warm()
        for _ in range(order.blocks.count(cell)):
            arm.block()
        arm.finish()


def close_all(arms: Dict[str, Arm]) -> None:
    """End every worker that is still alive."""
    for arm in arms.values():
        arm.close()
