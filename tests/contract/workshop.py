"""Workers as on a device: the agent as a zipapp, runtimes unpacked from the harness's archives."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest

from agents import backends, evaluation, launch, process, wire
from agents.bench import Bench
from agents.wire import EvaluationEvent
from harness import provision
from harness.artifact import inspect, resolve_inputs
from harness.deploy import zipapp

Array = npt.NDArray[Any]
FORMATS = {
    ".onnx": "onnx",
    ".xml": "openvino",
    ".tflite": "tflite",
    ".pt2": "torch",
    ".param": "ncnn",
    ".pte": "executorch",
}
COMPANIONS = {"openvino": ".bin", "ncnn": ".bin"}
# Runtimes that a device profile gives as `system`: the wheels are for another kind of machine.
SYSTEM = ("torch", "executorch")
# All of which tests can expect the same; a program of ExecuTorch does not name its inputs.
RUNTIMES = [name for name in backends.names() if name != "executorch"]
SINGLE = ("ncnn",)  # runtimes that take one sample at a time
TIMING: wire.Timing = {
    "block_iterations": 3,
    "block_ns": 1_000_000,
    "warmup_iterations": 20,
    "warmup_ns": 1_000_000,
    "warmup_cap_ns": 200_000_000,
    "answer_timeout_s": 60.0,
    "compile_timeout_s": 180.0,
}
BLOCKS = 2


def scenario(streams: int | None = 1, requests: int = 1, seconds: float = 0.0) -> wire.Scenario:
    """A scenario of two blocks, as a study would set it."""
    return {
        "streams": streams,
        "requests": requests,
        "seconds": seconds,
        "target_ns": None,
        "blocks": BLOCKS,
    }


# Shorter than in any study, to be quick.
SCENARIOS: dict[str, wire.Scenario] = {
    wire.SINGLE_STREAM: scenario(),
    wire.MULTI_STREAM: scenario(streams=3, requests=3),
    wire.OFFLINE: scenario(streams=2, requests=7),
    wire.SERVER: {**scenario(None, seconds=0.05), "target_ns": 5_000_000, "blocks": 0},
    wire.COLD_START: scenario(),
    wire.SUSTAINED: scenario(seconds=0.2),
}
# The agent's own worker with one message more: a worker never sends its outputs. Every stream runs
# twice, all at the same time, and is to give what the first gave.
TELLING = """
import sys
sys.path.insert(0, sys.argv[1])
from agents import feed, streams, worker
answer = worker.answer
def telling(self, request):
    if request["do"] != "outputs":
        return answer(self, request)
    import numpy as np
    data = dict(np.load(request["arrays"]))
    wants = self.session.input_dtypes
    inputs = feed.as_runtime_wants(data, self.cell["inputs"], wants)
    sessions = [self.session] + [self.session.another() for _ in range(request["streams"] - 1)]
    for session in sessions:
        session.bind(inputs)
    together = streams.Streams(sessions)
    together.each(lambda infer: infer())
    first = self.session.outputs()
    together.each(lambda infer: infer())
    for session in sessions:
        for before, after in zip(first, session.outputs()):
            np.testing.assert_array_equal(before, after)
    np.savez(request["to"], *first)
    return self.session.executed()
worker.answer = telling
worker.main([])
"""


@dataclass
class Workshop:
    """A device's folder with agent, blobs and runtimes, and jobs made to measure."""

    root: Path
    python: str = sys.executable
    unpacked: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)  # as in a job
    tellers: dict[str, process.Process] = field(default_factory=dict)
    made: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        for name in ("blobs", "jobs", "runtimes"):
            (self.root / name).mkdir(parents=True)
        self.agent = self.root / "agent"
        self.agent.write_bytes(zipapp())

    def runtime(self, name: str) -> str:
        """Folder of a runtime, built for this machine and unpacked by the agent the first time.

        All targets have what the usual one needs: no more is installed here.
        """
        name = backends.name_of(name)
        if name in SYSTEM:
            if importlib.util.find_spec(backends.find(name).MODULE.partition(".")[0]) is None:
                pytest.skip(f"{name} is not installed beside these tests")
            return ""
        if name == "deepsparse" and not deepsparse_has_wheels(self.target):
            pytest.skip("DeepSparse has wheels for Python 3.8 to 3.11 on x86-64")
        if name not in self.unpacked:
            folder = self.root / "runtimes" / name
            built = provision.archive(name, tuple(backends.find(name).REQUIRES), self.target)
            copy = shutil.copy(built.path, self.root / "runtimes" / f"{name}.tar.gz")
            unpack = [self.python, str(self.agent), "unpack", str(copy), str(folder)]
            subprocess.run(unpack, check=True)
            self.unpacked[name] = str(folder)
        return self.unpacked[name]

    @property
    def target(self) -> provision.Target:
        """This machine as a device with the chosen Python."""
        command = [self.python, str(self.agent), "facts", str(self.root)]
        said = subprocess.run(command, capture_output=True, check=True)
        return provision.target(json.loads(said.stdout))

    def blob(self, path: Path) -> str:
        """Put a file where pushed files lie; returns its sha256."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, self.root / "blobs" / digest)
        return digest

    def cell(
        self,
        path: Path,
        runtime: str,
        *,
        batch: int = 1,
        threads: int = 1,
        precision: str = "fp32",
        scenario: str = wire.SINGLE_STREAM,
        inputs: Sequence[wire.TensorSpec] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> wire.Cell:
        """A cell of a model file; `inputs` stand in for those of a file that the host refuses."""
        format = FORMATS[path.suffix]
        declared = resolve_inputs(inspect(path, format), batch, {}) if inputs is None else inputs
        parts = [path]
        if format in COMPANIONS:
            parts.append(path.with_suffix(COMPANIONS[format]))
        artifact = self.blob(path)
        self.files[artifact] = {part.suffix: self.blob(part) for part in parts}
        key = f"{path.stem}/{runtime}/{precision}/b{batch}/t{threads}"
        return {
            "id": f"{key}/{scenario}",
            "variant": path.stem,
            "runtime": runtime,
            "target": backends.target_of(runtime),
            "options": dict(options or {}),
            "precision": precision,
            "batch": batch,
            "threads": threads,
            "scenario": scenario,
            "artifact": artifact,
            "format": format,
            "inputs": list(declared),
            "outputs": outputs_of(path, format) if inputs is None else [],
            "evaluation": key,
        }

    def dataset(
        self, labels: Array | None = None, masks: Array | None = None, **arrays: Array
    ) -> wire.Dataset:
        """Samples as a blob; the names of the other arrays are those of the model's inputs."""
        path = self.root / f"dataset-{next(self.made)}.npz"
        truths = {"labels": labels, "masks": masks}
        known = {name: array for name, array in truths.items() if array is not None}
        np.savez(path, **known, **arrays)  # type: ignore[arg-type]
        return {
            "artifact": self.blob(path),
            "inputs": {name: name for name in arrays},
            "labels": "labels" if labels is not None else None,
            "boxes": None,
            "head": None,
            "masks": "masks" if masks is not None else None,
            "samples": len(next(iter(arrays.values()))),
            "preprocess": [],
            "scores": None,
        }

    def job(self, cells: Sequence[wire.Cell], **changes: Any) -> wire.Job:
        """One group of cells and an evaluation of each, unless changed."""
        ids = [cell["id"] for cell in cells]
        group = {"id": "group", "kind": "variant", "baseline": next(iter(ids), None)}
        job = {
            "schema": wire.JOB_SCHEMA,
            "run": f"run-{next(self.made)}",
            "device": "local",
            "seed": 7,
            "budget_s": 600.0,
            "timing": TIMING,
            "runtimes": {name: {"path": self.runtime(name)} for name in used(cells)},
            "profile": False,
            "files": {cell["artifact"]: self.files[cell["artifact"]] for cell in cells},
            "dataset": None,
            "robustness": None,
            "scenarios": {cell["scenario"]: SCENARIOS[cell["scenario"]] for cell in cells},
            "cells": {cell["id"]: cell for cell in cells},
            "evaluations": [
                {"id": cell["evaluation"], "cell": cell["id"], "answers": True} for cell in cells
            ],
            "groups": [{**group, "cells": ids, "launches": 1}],
            "attempt": "1",
            "skip": {},
            "done_evaluations": [],
            "answered": {},
            "done_launches": [],
        }
        return cast(wire.Job, {**job, **changes})

    def bench(self, job: wire.Job) -> Bench:
        """Lay out a job's folder."""
        folder = self.root / "jobs" / job["run"]
        folder.mkdir()
        (folder / "job.json").write_text(json.dumps(job))
        return Bench(job, str(self.root), str(folder))

    @contextmanager
    def supervising(self) -> Iterator[None]:
        """Be what starts workers: they run this file as the supervisor was run."""
        with (
            mock.patch.object(sys, "argv", [str(self.agent), "supervise"]),
            mock.patch.object(sys, "executable", self.python),
        ):
            yield

    def evaluate(
        self, cell: wire.Cell, dataset: wire.Dataset | None = None, **changes: Any
    ) -> EvaluationEvent:
        """Evaluate one cell and all its sets, as the supervisor and the store do."""
        bench = self.bench(self.job([cell], dataset=dataset, **changes))
        with self.supervising():
            event = evaluation.run(bench, bench.job["evaluations"][0])
            assert event is not None
            with closing(
                evaluation.Asked(bench, bench.job["evaluations"][0], event["scores"])
            ) as asked:
                for at, one in enumerate(evaluation.further_sets(bench.job), 1):
                    found = asked.run(one)
                    assert found is not None
                    event["sets"][at] = found["scored"]
        return event

    def launch(self, *cells: wire.Cell, **changes: Any) -> wire.LaunchEvent:
        """Measure one launch of some cells as the supervisor does."""
        bench = self.bench(self.job(cells, **changes))
        with self.supervising():
            return launch.run(bench, bench.job["groups"][0], 0, {})

    def worker(self, cell: wire.Cell, *command: str) -> tuple[process.Process, dict[str, Any]]:
        """A worker that has been asked nothing yet, and the request that loads its cell."""
        bench = self.bench(self.job([cell]))
        path = bench.job["runtimes"][cell["runtime"]]["path"]
        log = f"{bench.folder}/log"
        with self.supervising():
            started = list(command) or process.command(path)
            request = bench.load_request(cell, trace=True)
            return process.Process(started, process.environment(path), log), request

    def outputs(
        self, cell: wire.Cell, streams: int = 1, trace: bool = True, **arrays: Array
    ) -> tuple[list[Array], wire.Executed]:
        """What a worker computes from given inputs in each of some streams, and what really ran.

        One worker of each runtime loads model after model: most of a fresh one's time is imports.
        """
        given, result = (self.root / f"arrays-{next(self.made)}.npz" for _ in range(2))
        np.savez(given, **arrays)  # type: ignore[arg-type]
        runtime = cell["runtime"]
        if runtime not in self.tellers:
            isolation = [] if backends.name_of(runtime) in SYSTEM else ["-S"]
            command = [self.python, *isolation, "-c", TELLING, str(self.agent)]
            self.tellers[runtime], _ = self.worker(cell, *command)
        worker = self.tellers[runtime]
        with self.supervising():
            request = self.bench(self.job([cell])).load_request(cell, trace=trace)
        try:
            worker.ask({**request, "streams": streams}, 180.0)  # torch.compile takes its time
            told = {"do": "outputs", "arrays": str(given), "to": str(result), "streams": streams}
            executed: wire.Executed = worker.ask(told, 60.0)
        except process.WorkerError:
            self.tellers.pop(runtime).close()
            raise
        return list(np.load(result).values()), executed

    def close(self) -> None:
        """End what still runs."""
        for worker in self.tellers.values():
            worker.close()


def fitting(runtime: str, batch: int) -> int:
    """The batch, or the only one that a runtime takes."""
    return 1 if runtime in SINGLE else batch


def deepsparse_has_wheels(target: provision.Target) -> bool:
    """Whether DeepSparse can be installed for a device."""
    return target.machine == "x86_64" and int(target.python.split(".")[1]) < 12


def used(cells: Sequence[wire.Cell]) -> list[str]:
    """The runtimes of some cells."""
    return sorted({cell["runtime"] for cell in cells})


def outputs_of(path: Path, format: str) -> list[wire.OutputSpec]:
    """The outputs that a model file declares, as a plan writes them."""
    return [
        {"name": o.name, "dtype": o.dtype, "scale": o.scale, "zero_point": o.zero_point}
        for o in inspect(path, format).outputs
    ]


def unpacked(packed: wire.Packed) -> Array:
    """The array that came packed."""
    data = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, "<f4").reshape(packed["shape"])


def spec(name: str, dtype: str, shape: Sequence[int]) -> wire.TensorSpec:
    """A declared input that is not quantised."""
    return {"name": name, "dtype": dtype, "shape": list(shape), "scale": None, "zero_point": None}
