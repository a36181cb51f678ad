"""The zeros of a model file, layer by layer: their pattern, and what they save on paper."""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.formats import Array, Stored, UncountableError, UnreadableError, tflite
from harness.variants.refill import refilled
from harness.variants.zero_pattern import NONE, pattern

UNKNOWN_AXES = "which axes of its weight are outputs and inputs is not known"
UNKNOWN_USES = "how often a sample uses its weights is not known"
SPARSE = "its zeros are not stored, so their pattern and what they save compressed are not known"
# With fewer zeros a layer is not refilled to see how large it would be.
FEWEST_SAVING = 0.05


@dataclass(frozen=True)
class LayerZeros:
    """One weight tensor of a file."""

    name: str  # of the operator that multiplies by it
    shape: tuple[int, ...] | None  # null: a sparse tensor
    weights: int
    zeros: int
    pattern: str | None  # as harness.variants.zero_pattern names it
    macs: int | None  # multiply-accumulates of one sample, with those by zeros
    macs_saved: int | None  # by zeros: saved where zeros are skipped
    saved_bytes: int | None  # compressed, against the same layer with its zeros refilled
    reason: str | None  # why a value is null


def stored(path: Path, format: str) -> list[Stored]:
    """List the weights of a file; sparse tensors as if stored densely. Raises UncountableError."""
    if format == "tflite":
        return tflite.stored_in(dense(path.read_bytes()))
    found: list[Stored] = importlib.import_module(f"harness.formats.{format}").stored(path)
    return found


def quantised(path: Path, format: str) -> bool:
    """Whether a file stores weights as integers; runtimes round what these compute each in its way.

    False where its weights cannot be told.
    """
    try:
        return any(one.values.dtype.kind in "iu" for one in stored(path, format))
    except (UncountableError, UnreadableError):
        return False


def dense(data: bytes) -> bytes:
    """Return a TFLite file with its sparse tensors stored densely; others stay as they are."""
    if not any(one.sparse for one in tflite.stored_in(data)):
        return data
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise UncountableError("sparse tensors need ai-edge-litert: pip install 'edgeproof[build]'")
    from harness.variants.networks import tflite_densify, tflite_file

    model = tflite_file.schema.ModelT.InitFromObj(tflite_file.schema.Model.GetRootAs(data, 0))
    tflite_densify.densify(model)
    return tflite_file.pack(model)


def zeros(path: Path, format: str) -> dict[str, Any]:
    """Describe the zeros of a file as plain data, in total and layer by layer.

    Keys: weights, zeros, macs, macs_saved (null where a layer's are not known), saved_bytes (of the
    layers that the file stores densely), patterns (pattern -> weights of the layers that have it),
    layers, reason (what is not known of the whole, and why).
    """
    try:
        layers = [_layer(one) for one in stored(path, format)]
    except (UncountableError, UnreadableError) as error:
        return {"reason": str(error), "layers": []}
    return {
        "weights": sum(one.weights for one in layers),
        "zeros": sum(one.zeros for one in layers),
        "macs": _sum([one.macs for one in layers]),
        "macs_saved": _sum([one.macs_saved for one in layers]),
        "saved_bytes": sum(one.saved_bytes or 0 for one in layers),
        "patterns": _patterns(layers),
        "reason": _reason(
            (UNKNOWN_USES, any(one.macs is None for one in layers)),
            (SPARSE, any(one.saved_bytes is None for one in layers)),
        ),
        "layers": [asdict(one) for one in layers],
    }


def _patterns(layers: Sequence[LayerZeros]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in layers:
        if one.pattern and one.pattern != NONE:
            found[one.pattern] = found.get(one.pattern, 0) + one.weights
    return found


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _layer(one: Stored) -> LayerZeros:
    empty: Array = np.broadcast_to(one.values == one.zero, one.values.shape)
    count = int(empty.sum()) + one.size - one.values.size
    macs = None if one.uses is None else one.uses * one.size
    return LayerZeros(
        name=one.layer,
        shape=None if one.sparse else one.values.shape,
        weights=one.size,
        zeros=count,
        pattern=pattern(one.matrix(empty)) if one.matrix else None,
        macs=macs,
        macs_saved=None if one.uses is None else one.uses * count,
        saved_bytes=_saved(one, count),
        reason=_reason(
            (UNKNOWN_AXES, one.matrix is None and not one.sparse),
            (UNKNOWN_USES, one.uses is None),
            (SPARSE, one.sparse),
        ),
    )


def _reason(*reasons: tuple[str, bool]) -> str | None:
    """Join those that hold; null: none does."""
    return "; ".join(text for text, holds in reasons if holds) or None


def _saved(one: Stored, count: int) -> int | None:
    if one.sparse:
        return None
    if count < FEWEST_SAVING * one.size or count == one.size:
        return 0
    return _packed(refilled(one)) - _packed(one.values)


def _packed(values: Array) -> int:
    return len(zlib.compress(values.tobytes(), 6))
