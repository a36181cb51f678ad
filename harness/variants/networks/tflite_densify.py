"""TFLite's sparse tensors made dense: they store only the values that are not zero, and where.

The dimensions form a tree, one level each (Kjolstad et al. 2017, "The Tensor Algebra Compiler"): a
dense level has all its positions, a compressed one lists those that are there. A dimension cut
into blocks has two levels, one of which block it is and one of where in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tflite

from harness.formats.tflite import DTYPES as NAMES
from harness.formats.tflite import NUMERIC
from harness.variants.network import Array, Indices

OP = tflite.BuiltinOperator
SPARSE = tflite.DimensionType.SPARSE_CSR


def densify(model: Any) -> None:
    """Store every sparse constant of a ModelT densely, without the DENSIFY behind it.

    A constant keeps its name. One of a type that has no place in numpy stays as it is. Raises
    ValueError or IndexError where the positions of a tensor are not those of its shape.
    """
    graphs = model.subgraphs or []
    used = Counter(tensor.buffer for graph in graphs for tensor in graph.tensors)
    for graph in graphs:
        dense = {at for at, tensor in enumerate(graph.tensors) if _densified(model, tensor, used)}
        if dense:
            _bypass(model, graph, dense)


def decode(sparsity: Any, shape: Sequence[int], stored: Array) -> Array:
    """Return the dense values of a tensor from those it stores, in the order of its tree.

    `sparsity` is a SparsityParametersT. Raises ValueError for positions outside `shape`.
    """
    order, blocks = _integers(sparsity.traversalOrder), _integers(sparsity.blockMap)
    levels = sparsity.dimMetadata
    if sorted(order) != list(range(len(shape) + len(blocks))) or len(levels) != len(order):
        raise ValueError("the levels are not those of the shape")
    positions = _walk(levels)
    along = {axis: positions[level] for level, axis in enumerate(order)}
    for block, axis in enumerate(blocks, len(shape)):
        size = int(levels[order.index(block)].denseSize)
        along[axis] = along[axis] * size + along[block]
    flat = np.ravel_multi_index([along[axis] for axis in range(len(shape))], tuple(shape))
    if flat.size != stored.size:
        raise ValueError(f"{stored.size} values are stored for {flat.size} positions")
    values = np.zeros(int(np.prod(shape, dtype=np.int64)), stored.dtype)
    values[flat] = stored
    return values.reshape(shape)


def _walk(levels: Sequence[Any]) -> list[Indices]:
    """Go down the tree; returns for each level the position of every stored value in it."""
    found: list[Indices] = []
    nodes = 1
    for level in levels:
        if level.format == SPARSE:
            starts, position = (
                np.asarray(vector.values, np.int64)
                for vector in (level.arraySegments, level.arrayIndices)
            )
            if starts.size != nodes + 1 or starts[0] != 0 or starts[-1] != position.size:
                raise ValueError("the segments are not those of the level above")
            parent = np.repeat(np.arange(nodes), np.diff(starts))
        else:
            parent = np.repeat(np.arange(nodes), level.denseSize)
            position = np.tile(np.arange(level.denseSize), nodes)
        found = [*(above[parent] for above in found), position]
        nodes = position.size
    return found


def _densified(model: Any, tensor: Any, used: Mapping[int, int]) -> bool:
    name = NAMES.get(tensor.type, "")
    if tensor.sparsity is None or name not in NUMERIC:
        return False
    data = model.buffers[tensor.buffer].data
    stored = np.asarray([] if data is None else data, np.uint8).view(name)
    values = decode(tensor.sparsity, _integers(tensor.shape), stored)
    if used[tensor.buffer] > 1:  # another tensor's values may lie there too
        model.buffers.append(type(model.buffers[0])())
        tensor.buffer = len(model.buffers) - 1
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.sparsity = None
    return True


def _bypass(model: Any, graph: Any, dense: set[int]) -> None:
    """Let what reads the output of a DENSIFY read its input, and drop the DENSIFY."""
    behind = {
        int(operator.outputs[0]): int(operator.inputs[0])
        for operator in graph.operators
        if _code(model, operator) == OP.DENSIFY and int(operator.inputs[0]) in dense
    }
    graph.operators = [
        operator
        for operator in graph.operators
        if not (_code(model, operator) == OP.DENSIFY and int(operator.outputs[0]) in behind)
    ]
    for operator in graph.operators:
        operator.inputs = _renumbered(operator.inputs, behind)
    graph.outputs = _renumbered(graph.outputs, behind)


def _renumbered(indices: Any, behind: dict[int, int]) -> Any:
    renumbered = [behind.get(index, index) for index in _integers(indices)]
    return np.array(renumbered, np.int32)


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _integers(vector: Any) -> list[int]:
    return [] if vector is None else [int(item) for item in vector]
