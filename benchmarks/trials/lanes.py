"""Launches and gates in lanes: each core is a device of its own, so that more are measured."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import signal
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from agents import launch, wire
from benchmarks.trials import gates
from benchmarks.trials.gates import HOGS, Gate, Launch
from benchmarks.trials.hogs import hogs
from harness.effort import EFFORTS, TIMING, on_the_wire
from harness.scenarios import Scenario
from harness.selftest import network
from reports.sequential import Rule
from tests.contract.workshop import Workshop

RUNTIME = "onnxruntime"
# When hogs end that nobody ended.
HOG_LIMIT_S = 1800.0


class Device:
    """Models on one core of this machine as on a device, launched beside the baseline."""

    def __init__(self, root: Path, effort: str) -> None:
        root.mkdir()
        self.root = root
        asked = Scenario(name=wire.SINGLE_STREAM)
        self.scenarios = {asked.name: on_the_wire(asked, EFFORTS[effort])}
        self.shop = Workshop(root / "device")
        self.cells: dict[tuple[int, str], wire.Cell] = {}

    def cell(self, extra: int, side: str) -> wire.Cell:
        """The model with some added layers; the two sides of a pair are files of their own name."""
        if (extra, side) not in self.cells:
            path = network.save(self.root / f"{side}-{extra}.onnx", extra)
            self.cells[extra, side] = self.shop.cell(path, RUNTIME)
        return self.cells[extra, side]

    def launches(self, extra: int, seed: int) -> Generator[Launch, None, None]:
        """Launches of a model beside the baseline, without end, in an order of their own."""
        pair = [self.cell(0, "baseline"), self.cell(extra, "candidate")]
        job = self.shop.job(
            pair, timing=TIMING, scenarios=self.scenarios, seed=seed, evaluations=[]
        )
        bench = self.shop.bench(job)
        try:
            for ordinal in itertools.count():
                with self.shop.supervising():
                    event = launch.run(bench, job["groups"][0], ordinal, {})
                yield Launch.of(event)
        finally:
            shutil.rmtree(bench.folder)


class Lanes:
    """Processes that are each pinned to a core and have a device there."""

    def __init__(self, root: Path, effort: str, lanes: int) -> None:
        context = multiprocessing.get_context("spawn")
        cores: Any = context.Queue()
        for core in sorted(os.sched_getaffinity(0))[:lanes]:
            cores.put(core)
        self.width = lanes
        self.pool = ProcessPoolExecutor(lanes, context, _begin, (cores, root, effort))

    def take(self, extra: int, count: int, seed: int) -> Future[list[Launch]]:
        """Some launches of a model."""
        return self.pool.submit(_take, extra, count, seed)

    def gates(self, asked: Iterable[tuple[str, int]], rule: Rule, seed: int) -> Iterator[Gate]:
        """Measure gates (kind, added layers) as lanes become free; yields them as they end."""
        coming = enumerate(asked, start=seed)
        pending = {self._gate(one, rule) for one in itertools.islice(coming, self.width)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                pending |= {self._gate(one, rule) for one in itertools.islice(coming, 1)}
                yield future.result()

    def _gate(self, numbered: tuple[int, tuple[str, int]], rule: Rule) -> Future[Gate]:
        seed, (kind, extra) = numbered
        return self.pool.submit(_gate, kind, extra, rule, seed)

    def close(self) -> None:
        """Let what is in progress end, and nothing more begin."""
        self.pool.shutdown(cancel_futures=True)


_devices: list[Device] = []  # of a lane's process: one, once it has begun


def _begin(cores: Any, root: Path, effort: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard's is for the parent to handle
    core = cores.get()
    os.sched_setaffinity(0, {core})
    _devices.append(Device(root / f"lane-{core}", effort))


def _take(extra: int, count: int, seed: int) -> list[Launch]:
    with closing(_devices[0].launches(extra, seed)) as endless:
        return list(itertools.islice(endless, count))


def _gate(kind: str, extra: int, rule: Rule, seed: int) -> Gate:
    disturbed = hogs(seed, HOG_LIMIT_S) if kind.startswith(HOGS) else nullcontext()
    with disturbed, closing(_devices[0].launches(extra, seed)) as endless:
        return gates.decided(kind, endless, rule)
