"""Provenance: one JSON file beside each variant that says how it came about."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data import DESCRIPTION
from network import Layer, count
from to_onnx import sparsity

FORMATS = ("onnx", "tflite")
TOOLS = (
    "torch",
    "numpy",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "ai-edge-quantizer",
)


@dataclass(frozen=True)
class Origin:
    """What was done to which parent; `parents` holds variant names."""

    variant: str
    method: str
    parents: tuple[str, ...] = ()
    criterion: str | None = None
    scope: str | None = None
    sparsity_target: float | None = None
    channels_removed: int = 0
    epochs: int = 0
    seed: int = 0


def write(
    folder: Path,
    origin: Origin,
    layers: list[Layer],
    accuracy: dict[str, float],
    parity: dict[str, Any],
) -> None:
    """Write <variant>.json; a parent's sha256 is that of its ONNX file."""
    parameters, macs = count(layers)
    content = {
        "variant": origin.variant,
        "method": origin.method,
        "criterion": origin.criterion,
        "scope": origin.scope,
        "sparsity_target": origin.sparsity_target,
        "sparsity_reached": round(sparsity(folder / f"{origin.variant}.onnx"), 4),
        "channels_removed": origin.channels_removed,
        "epochs": origin.epochs,
        "seed": origin.seed,
        "parents": [
            {"variant": name, "sha256": _sha256(folder / f"{name}.onnx"), "sha256_of": "onnx"}
            for name in origin.parents
        ],
        "files": {form: _file(folder / f"{origin.variant}.{form}") for form in FORMATS},
        "parameters": parameters,
        "macs": macs,
        "data": DESCRIPTION,
        "accuracy_eval_top1": accuracy,
        "tools": {"python": platform.python_version()} | {name: version(name) for name in TOOLS},
        "parity": parity,
    }
    text = json.dumps(content, indent=2) + "\n"
    (folder / f"{origin.variant}.json").write_text(text, encoding="utf-8")


def _file(path: Path) -> dict[str, str | int]:
    return {"file": path.name, "sha256": _sha256(path), "bytes": path.stat().st_size}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
