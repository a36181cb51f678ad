"""A folder with the digits network, a few samples, a study of its family, and the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml

from harness import cli

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
SAMPLES = 12
MAGNITUDE = {"method": "magnitude", "scope": "global", "sparsity": 0.5}
VARIANTS: dict[str, Any] = {
    "dense": {"model": {"onnx": "models/dense.onnx", "tflite": "models/dense.tflite"}},
    "plain": {"from": "dense", "formats": ["onnx"]},
    "pruned": {"from": "dense", "prune": MAGNITUDE},
    "slim": {
        "from": "dense",
        "formats": ["onnx"],
        "prune": {"method": "channels", "sparsity": 0.4},
    },
    "int8": {"from": "dense", "formats": ["onnx"], "quantize": {"to": "int8"}},
    # From a pruned parent, so that the chain is two long.
    "pruned-int8": {"from": "pruned", "formats": ["tflite"], "quantize": {"to": "int8"}},
    "half": {"from": "dense", "formats": ["onnx"], "quantize": {"to": "fp16"}},
    "two-of-four": {
        "from": "dense",
        "formats": ["onnx"],
        "prune": {"method": "magnitude", "pattern": "2:4"},
    },
    "ir": {"from": "dense", "formats": ["openvino"], "prune": MAGNITUDE},
}


@dataclass(frozen=True)
class Done:
    """What a command has said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what was printed, read as JSON."""
        return json.loads(self.out)


class FamilyLab:
    """Everything a user has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built: Done | None = None
        if not folder.exists():
            (folder / "models").mkdir(parents=True)
            for name in ("dense.onnx", "dense.tflite"):
                shutil.copyfile(DIGITS / "models" / name, folder / "models" / name)
            np.savez(folder / "eval.npz", **samples())

    def write(self, variants: dict[str, Any] | None = None, **changes: Any) -> Path:
        """Write study.yaml: the whole family, unless changed."""
        study = {
            "name": "digits",
            "baseline": "dense",
            "runtimes": ["onnxruntime"],
            "calibration": {"file": "eval.npz", "inputs": "x", "samples": SAMPLES},
            "variants": VARIANTS if variants is None else {"dense": VARIANTS["dense"], **variants},
            **changes,
        }
        path = self.folder / "study.yaml"
        given = {key: value for key, value in study.items() if value is not None}
        path.write_text(yaml.safe_dump(given, sort_keys=False))
        return path

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the command: a store of its own, no line folded."""
        store = f"sqlite:///{self.folder / 'store.db'}"
        return {**os.environ, "EDGEPROOF_STORE": store, "COLUMNS": "250"}

    def edgeproof(self, *arguments: str) -> Done:
        """Run the command in this process, as its entry point does."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environment),
            mock.patch.object(sys, "argv", ["edgeproof", *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code: Any = 0
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code or 0
        return Done(int(code), out.getvalue(), err.getvalue())

    def build(self, *arguments: str) -> Done:
        """Build the variants of study.yaml, which must succeed."""
        done = self.edgeproof("variants", "build", "study.yaml", *arguments)
        assert done.code == 0, done.err
        return done

    def refused(self, *arguments: str) -> str:
        """Run a command that must be refused as bad input: what, and the next step."""
        done = self.edgeproof(*(arguments or ("variants", "build", "study.yaml")))
        assert done.code == 2, done.err
        assert done.err.count("error: ") == 1
        assert "\n  next: " in done.err
        return done.err

    def file(self, variant: str, suffix: str = ".onnx") -> Path:
        """Return where a built file lies."""
        return self.folder / "variants" / "digits" / variant / (variant + suffix)

    def manifest(self, variant: str, suffix: str = ".onnx") -> Any:
        """Return the manifest of a built file."""
        return json.loads(self.file(variant, suffix + ".json").read_text())

    def files(self) -> Iterator[Path]:
        """List all files in the folder of built variants."""
        return (path for path in (self.folder / "variants").rglob("*") if path.is_file())


def samples() -> dict[str, Any]:
    """Samples of several classes, few because commands read them again and again."""
    with np.load(DIGITS / "eval.npz") as archive:
        return {key: archive[key][: 2 * SAMPLES] for key in ("x", "y")}
