"""Weights of a pruned TFLite file stored as TFLite's sparse tensors.

LiteRT takes this for the wish to compute with sparse kernels: with the same zeros stored densely
it never does. Whether it can is another matter: `harness.variants.sparse_kernels` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.variants.files import written
from harness.variants.network import Array
from harness.variants.networks import tflite_file
from harness.variants.networks.tflite_file import schema
from harness.variants.networks.tflite_model import Model, numbers
from harness.variants.sparse_kernels import Condition, qualifies, told

__all__ = ["Condition", "encode", "qualifies", "told", "write"]

LAYERS = ("CONV_2D", "FULLY_CONNECTED")
# Numbers of positions, from the narrowest: the largest one, and the schema's class.
POSITIONS = ((0xFF, "Uint8Vector", np.uint8), (0xFFFF, "Uint16Vector", np.uint16))
WIDEST = ("Int32Vector", np.int32)


def write(source: Path, target: Path, where: str | None = None) -> list[str]:
    """Write the file with sparse tensors for the weights that become smaller; returns notes.

    What it computes stays the same: a DENSIFY stands before each layer, which LiteRT carries out
    once, as it loads. Raises InputError, which calls the file `where`, for one that is no float
    TFLite file, has no such weights, or that LiteRT might compute wrongly from sparse tensors:
    that shows only on processors with the kernels, so no check on this machine would find it.
    """
    place = where or str(source)
    model = Model(tflite_file.read(source))
    weights = {
        model.source(int(raw.inputs[1])) for raw in model.operators if model.code(raw) in LAYERS
    }
    sizes = [
        (model.constant(index).nbytes, _store(model, index))
        for index in sorted(weights)
        if _pays(model, index)
    ]
    if not sizes:
        raise InputError(
            "has no weights that sparse storage would make smaller",
            where=place,
            next_step="leave `store: sparse` out, or prune more of the weights",
        )
    with written(target) as draft:
        tflite_file.write(model.file, draft)
        conditions = qualifies(draft)
        _check_sound(conditions, place)
    before, after = (sum(column) for column in zip(*sizes, strict=True))
    stored = f"{len(sizes)} weights as TFLite sparse tensors: {after:,} bytes, densely {before:,}"
    return [stored, told(conditions)]


def _check_sound(conditions: Sequence[Condition], where: str) -> None:
    if all(condition.holds for condition in conditions if condition.name == "sound"):
        return
    raise InputError(
        f"must not be stored sparsely; {told(conditions)}",
        where=where,
        next_step="leave `store: sparse` out: LiteRT computes it densely, and rightly",
    )


def encode(values: Array) -> tuple[Any, Array]:
    """Return the SparsityParametersT of a tensor, and the values that it stores.

    The last axis is compressed, row by row, all others are dense: what LiteRT's converter writes
    for unstructured zeros. `decode` of networks/tflite_densify.py is its inverse.
    """
    rows = values.reshape(prod(values.shape[:-1]), values.shape[-1])
    row, column = np.nonzero(rows)
    ends = np.cumsum(np.bincount(row, minlength=len(rows)))
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = np.arange(values.ndim, dtype=np.int32)
    sparsity.dimMetadata = [_dense(size) for size in values.shape[:-1]]
    sparsity.dimMetadata.append(_compressed(np.concatenate([[0], ends]), column))
    return sparsity, rows[row, column]


def _dense(size: int) -> Any:
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def _compressed(segments: Array, indices: Array) -> Any:
    level = schema.DimensionMetadataT()
    level.format = schema.DimensionType.SPARSE_CSR
    level.arraySegmentsType, level.arraySegments = _vector(segments)
    level.arrayIndicesType, level.arrayIndices = _vector(indices)
    return level


def _vector(positions: Array) -> tuple[int, Any]:
    largest = int(positions.max(initial=0))
    name, dtype = next(((name, dtype) for top, name, dtype in POSITIONS if largest <= top), WIDEST)
    vector = getattr(schema, f"{name}T")()
    vector.values = positions.astype(dtype)
    return getattr(schema.SparseIndexVector, name), vector


def _bytes(sparsity: Any, stored: Array) -> int:
    level = sparsity.dimMetadata[-1]
    return int(stored.nbytes + level.arraySegments.values.nbytes + level.arrayIndices.values.nbytes)


def _pays(model: Model, index: int) -> bool:
    """Tell whether a tensor is a constant that becomes smaller; one of zeros only stays as it is.

    LiteRT takes a tensor that stores nothing for an activation.
    """
    if not model.is_constant(index) or index in model.outputs:
        return False
    values = model.constant(index)
    return bool(
        values.dtype.kind == "f"
        and values.ndim > 1
        and values.any()
        and _bytes(*encode(values)) < values.nbytes
    )


def _store(model: Model, index: int) -> int:
    """Make a constant sparse, with a DENSIFY for all that read it; returns its bytes."""
    dense = model.constant(index)
    sparsity, stored = encode(dense)
    readers = [
        (raw, at)
        for raw in model.operators
        for at, read in enumerate(numbers(raw.inputs))
        if int(read) == index
    ]
    made = model.add(f"{model.names[index]}_dense", dense)
    model.file.buffers.pop()  # of the values, which DENSIFY makes anew
    model.tensors[made].buffer = 0
    model.put(index, dense)  # in a buffer of its own
    tensor = model.tensors[index]
    tensor.sparsity = sparsity
    model.file.buffers[tensor.buffer].data = np.frombuffer(stored.tobytes(), np.uint8)
    for raw, at in readers:
        model.rewire(raw, at, made)
    densify = schema.OperatorT()
    densify.outputs = np.array([made], np.int32)
    model.change(densify, "DENSIFY", [index], schema.DensifyOptionsT())
    model.operators.insert(0, densify)
    return _bytes(sparsity, stored)
