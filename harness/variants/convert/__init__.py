"""From one file format to another: one module per target, found by its name.

A module has FROM, the formats that it reads, and `convert(source, format, target) -> notes`. A
conversion counts only after a parity check (harness/variants/parity.py): converters have been seen
to change a network without any error.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from harness.errors import InputError

TARGETS = ("openvino", "tflite")


def convert(source: Path, format: str, to: str, target: Path) -> list[str]:
    """Write `source` as a file of format `to`; returns notes on what was done.

    `format` is onnx, tflite, openvino or torch (a .pt2 file of torch.export). Raises InputError
    when there is no such conversion or it fails.
    """
    modules = {name: f"harness.variants.convert.{name}" for name in TARGETS}
    module = importlib.import_module(modules[to]) if to in modules else None
    if module is None or format not in module.FROM:
        raise InputError(
            f"there is no conversion from {format} to {to}",
            where=str(source),
            next_step=f"give a {to} file under `model:`, or leave {to} out of `formats:`",
        )
    notes: list[str] = module.convert(source, format, target)
    return notes
