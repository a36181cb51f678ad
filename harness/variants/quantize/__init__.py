"""Post-training INT8 quantisation: one module per file format, found by its name.

A module has `quantize(source, target, ask, feeds) -> notes`. All quantise weights symmetrically and
per channel, so that zero stays zero: what was pruned is still pruned.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.documents import unknown
from harness.errors import InputError
from harness.variants.network import Feeds
from harness.variants.recipe import Quantize

FORMATS = ("onnx", "openvino", "tflite")
MISSING = "install edgeproof[build]"


def quantize(source: Path, format: str, target: Path, ask: Quantize, feeds: Feeds) -> list[str]:
    """Write an INT8 file of the same format, calibrated on `feeds`; returns notes on what was done.

    Inputs and outputs stay real numbers, except in TFLite, where they become int8 with a scale and
    zero point as boards expect. Raises InputError when a layer of `leave` does not exist, when
    there are no samples, or when the tool refuses the file.
    """
    if format not in FORMATS:
        raise InputError(
            f"files of format {format} cannot be quantised",
            where=str(source),
            next_step=f"give one of the formats {', '.join(FORMATS)}",
        )
    if not feeds or not all(len(array) for array in feeds.values()):
        raise InputError(
            "INT8 quantisation needs calibration samples",
            where=str(source),
            next_step="add `calibration: {file: FILE.npz, inputs: KEY}` to `quantize:`",
        )
    module = importlib.import_module(f"harness.variants.quantize.{format}")
    notes: list[str] = module.quantize(source, target, ask, feeds)
    return notes


def check_left(names: Sequence[str], layers: Collection[str], where: str) -> None:
    """Raise InputError for a name of `leave:` that is no layer of the file."""
    for name in names:
        if name not in layers:
            raise InputError(
                unknown("layer", name, layers), where=where, next_step="correct `leave:`"
            )
