"""A lab in a folder of its own: a study with small models, an inventory, a store, the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

COMMAND = str(Path(sys.executable).parent / "edgeproof")
CLASSES, FEATURES, SAMPLES = 7, 24, 60
# A few launches, for tests that need numbers but not seven of them.
BRIEF = {"effort": "quick", "budget": "8s"}


@dataclass
class Lab:
    """Everything a user has."""

    folder: Path
    root: Path  # of the local device, shared by all labs: a runtime is unpacked once
    devices: dict[str, Any] = field(default_factory=dict)
    first: subprocess.CompletedProcess[str] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(3)
        self.weights = rng.standard_normal((FEATURES, CLASSES)).astype("float32")
        self.x = rng.standard_normal((SAMPLES, FEATURES)).astype("float32")
        # Labels of a noisier teacher, so that accuracy is neither 0 nor 1.
        teacher = self.weights + rng.standard_normal(self.weights.shape) * 0.8
        self.labels = (self.x @ teacher).argmax(axis=1)
        np.savez_compressed(self.folder / "eval.npz", x=self.x, y=self.labels)
        save_linear(self.folder / "dense.onnx", self.weights)
        save_linear(self.folder / "pruned.onnx", self.pruned)
        self.devices["local"] = {"root": str(self.root)}

    @property
    def pruned(self) -> Any:
        """The weights with all but the largest half set to zero."""
        limit = np.median(np.abs(self.weights))
        return np.where(np.abs(self.weights) > limit, self.weights, 0).astype("float32")

    def accuracy(self, weights: Any) -> float:
        """Top-1 accuracy as numpy has it."""
        return float(((self.x @ weights).argmax(axis=1) == self.labels).mean())

    def study(self, **changes: Any) -> Path:
        """Write study.yaml: dense and pruned in ONNX Runtime, unless changed."""
        study: dict[str, Any] = {
            "name": "lab",
            "baseline": "dense",
            "variants": {"dense": {"model": "dense.onnx"}, "pruned": {"model": "pruned.onnx"}},
            "runtimes": ["onnxruntime"],
            "dataset": {"file": "eval.npz", "inputs": "x", "labels": "y"},
            "measure": {"effort": "quick", "budget": "2m"},
        }
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump({**study, **changes}, sort_keys=False))
        (self.folder / "inventory.yaml").write_text(yaml.safe_dump({"devices": self.devices}))
        return path

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the command: results in this folder, built runtimes in the usual cache."""
        return {**os.environ, "XDG_DATA_HOME": str(self.folder / "data"), "COLUMNS": "100"}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run edgeproof to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def run(self, *arguments: str, code: int = 0, **changes: Any) -> dict[str, Any]:
        """Run a study, expect an exit code, and return the report."""
        done = self.command("run", str(self.study(**changes)), "--json", *arguments)
        assert done.returncode == code, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start edgeproof and go on."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )

    def report(self) -> dict[str, Any]:
        """The last run's report."""
        done = self.command("report", "latest", "--format", "json")
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report


def heed_interrupts() -> None:
    """Undo what a shell does to those it starts in the background: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def save_linear(path: Path, weights: Any, batch: int | str = "n") -> None:
    """Write an ONNX file of one matrix product, [batch, features] to [batch, classes]."""
    features, classes = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)


def by_variant(report: dict[str, Any], **where: Any) -> dict[str, dict[str, Any]]:
    """Rows of a report by variant, those that match."""
    return {
        row["variant"]: row
        for row in report["results"]
        if all(row[key] == value for key, value in where.items())
    }
