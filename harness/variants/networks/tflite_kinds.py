"""TFLite's operators in terms of the kinds that pruning knows.

A rule returns null where an operator does what its kind does not say; it then counts as unknown,
and whatever it touches stays whole. Convolutions are NHWC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from harness.variants.network import Graph, Kind, Node
from harness.variants.networks import tflite_products as products
from harness.variants.networks.tflite_model import Model
from harness.variants.networks.tflite_operator import Operator
from harness.variants.networks.tflite_slices import sliced

Rule = Callable[[Operator], Node | None]


def translate(model: Model) -> Graph:
    """Describe the model as a neutral graph; sizes of batches are computed apart from it."""
    operators = [Operator(raw, model) for raw in model.operators]
    batches = batch_sizes(model)
    nodes = [
        node
        for operator in operators
        if not _is_size(operator, batches) and not _is_dequantised(operator)
        for node in _nodes(operator)
    ]
    shapes = {
        name: shape
        for index, name in enumerate(model.names)
        if (shape := model.shape(index)) is not None
    }
    for node in nodes:
        if node.product and node.inputs[0] not in shapes:
            shapes[node.inputs[0]] = products.flattened_shape(node, shapes)
    constants = (name for index, name in enumerate(model.names) if model.is_constant(index))
    return Graph(
        nodes,
        [model.names[index] for index in model.inputs],
        [model.names[index] for index in model.outputs],
        shapes,
        frozenset(constants),
    )


def batch_sizes(model: Model) -> frozenset[int]:
    """Return the tensors that state shapes and depend on nothing but the batch.

    Keras computes [batch, 7, 7, 64] as PACK(STRIDED_SLICE(SHAPE(x), 0), 7, 7, 64).
    """
    found: set[int] = set()
    for raw in model.operators:
        operator = Operator(raw, model)
        if operator.code == "STRIDED_SLICE" and _is_batch(operator):
            found.add(int(raw.outputs[0]))
        elif operator.code == "PACK" and found.intersection(operator.indices):
            given = range(len(operator.indices))
            if all(operator.fixed(at) or operator.indices[at] in found for at in given):
                found.add(int(raw.outputs[0]))
    return frozenset(found)


def _is_batch(operator: Operator) -> bool:
    maker = operator.model.makers.get(operator.indices[0])
    if maker is None or operator.model.code(maker) != "SHAPE":
        return False
    shaped = operator.model.shape(int(maker.inputs[0])) or (None,)
    spans = [operator.integers(at) for at in (1, 2, 3)]
    masked = operator.options.beginMask or operator.options.endMask
    return shaped[0] == 1 and spans == [[0], [1], [1]] and not masked


def _is_size(operator: Operator, batches: frozenset[int]) -> bool:
    """Tell whether all that reads this operator's output wants nothing but the batch of it."""
    output = int(operator.raw.outputs[0]) if operator.outputs else -1
    if operator.code != "SHAPE":
        return output in batches
    readers = [raw for raw in operator.model.operators if output in list(raw.inputs)]
    read = all(int(raw.outputs[0]) in batches for raw in readers)
    return read and output not in operator.model.outputs


def _is_dequantised(operator: Operator) -> bool:
    return operator.code == "DEQUANTIZE" and operator.fixed(0)


def _nodes(operator: Operator) -> Iterator[Node]:
    rule = RULES.get(operator.code)
    if rule is None or not operator.ranked:
        yield operator.node("unknown")
        return
    node = rule(operator)
    if node is not None and operator.code == "FULLY_CONNECTED":
        yield from products.with_flattened(operator, node)
    else:
        yield node or operator.node("unknown")


def _plain(kind: Kind) -> Rule:
    return lambda operator: operator.node(kind)


def _first(kind: Kind, *axes: int) -> Rule:
    """Make a rule for operators whose other inputs only state sizes."""
    return lambda operator: operator.node(
        kind, [0], axes=tuple(operator.axis(axis) for axis in axes)
    )


def _select(operator: Operator) -> Node | None:
    # The condition of the old form may count rows, against numpy's rules.
    same = len({operator.shape(at) for at in range(3)}) == 1
    return operator.node("elementwise") if same else None


def _reduce(operator: Operator) -> Node | None:
    axes = operator.integers(1)
    if axes is None:
        return None
    arg = operator.code in ("ARG_MAX", "ARG_MIN")
    keepdims = not arg and operator.options is not None and bool(operator.options.keepDims)
    counted = tuple(sorted({operator.axis(axis) for axis in axes}))
    return operator.node("reduce", [0], axes=counted, keepdims=keepdims)


def _pad(operator: Operator) -> Node | None:
    amounts = operator.constant(1)
    if amounts is None:
        return None
    axes = tuple(int(axis) for axis in np.flatnonzero(amounts.reshape(-1, 2).any(axis=1)))
    return operator.node("mix", [0], axes=axes)


def _over_axes(operator: Operator) -> Node | None:
    """REVERSE_V2, CUMSUM: along the axes of a constant."""
    axes = operator.integers(1)
    if axes is None:
        return None
    return operator.node("mix", [0], axes=tuple(operator.axis(axis) for axis in axes))


def _blocks(operator: Operator) -> Node | None:
    """SPACE_TO_BATCH_ND and back, around a dilated convolution: batch and space mix."""
    block = operator.integers(1)
    return None if block is None else operator.node("mix", [0], axes=tuple(range(len(block) + 1)))


def _concat(operator: Operator) -> Node | None:
    return operator.node("concat", axis=operator.axis(operator.options.axis))


def _split(operator: Operator) -> Node | None:
    data, at = (1, 0) if operator.code == "SPLIT" else (0, 2)
    axis = operator.integers(at)
    if axis is None:
        return None
    return operator.node("split", [data], axis=operator.axis(axis[0], data))


def _gather(operator: Operator) -> Node | None:
    options = operator.options
    if options.batchDims:
        return None
    axis, positions = operator.axis(options.axis), operator.constant(1)
    if operator.fixed(0) and positions is None:
        table = axis == 0 and len(operator.shape(0)) == 2
        return operator.node("embedding") if table else None
    if positions is None or positions.ndim > 1 or operator.shape(0)[axis] is None:
        return None
    size = operator.shape(0)[axis] or 0
    counted = np.where(positions < 0, positions + size, positions).reshape(-1).astype(np.int64)
    return operator.node("gather", [0], axis=axis, positions=counted)


def _transpose(operator: Operator) -> Node | None:
    perm = operator.integers(1)
    if perm is None:
        return None
    return operator.node("transpose", [0], perm=tuple(operator.axis(axis) for axis in perm))


def _reshape(operator: Operator) -> Node | None:
    """A new shape that is computed from more than the batch cannot be cut."""
    stated = operator.fixed(1) or not operator.has(1)
    known = stated or operator.indices[1] in batch_sizes(operator.model)
    return operator.node("reshape", [0]) if known else None


def _embedding(operator: Operator) -> Node | None:
    return operator.node("embedding", [1, 0]) if len(operator.shape(1)) == 2 else None


ELEMENTWISE = (
    *("ABS", "ADD", "ADD_N", "ATAN2", "CAST", "CEIL", "COS", "DEQUANTIZE", "DIV", "ELU", "EQUAL"),
    *("EXP", "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH"),
    *("LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR"),
    *("LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "NEG", "NOT_EQUAL", "POW", "PRELU", "RELU"),
    *("RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SELECT_V2", "SIGN", "SIN"),
    *("SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB", "TANH", "ZEROS_LIKE"),
)
REDUCTIONS = (
    *("ARG_MAX", "ARG_MIN", "MEAN", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN"),
    *("REDUCE_PROD", "SUM"),
)
WINDOWS = (
    *("AVERAGE_POOL_2D", "L2_POOL_2D", "MAX_POOL_2D"),
    *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _plain("elementwise")),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(WINDOWS, _first("mix", 1, 2)),
    **dict.fromkeys(("LOG_SOFTMAX", "L2_NORMALIZATION", "SOFTMAX"), _first("mix", -1)),
    "BATCH_MATMUL": products.batch_matmul,
    "BATCH_TO_SPACE_ND": _blocks,
    "CONCATENATION": _concat,
    "CONV_2D": products.convolution,
    "CUMSUM": _over_axes,
    "DEPTHWISE_CONV_2D": products.depthwise,
    "EMBEDDING_LOOKUP": _embedding,
    "EXPAND_DIMS": _first("reshape"),
    "FULLY_CONNECTED": products.fully_connected,
    "GATHER": _gather,
    "LOCAL_RESPONSE_NORMALIZATION": _first("mix", 3),
    "MIRROR_PAD": _pad,
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _reshape,
    "REVERSE_V2": _over_axes,
    "SELECT": _select,
    "SLICE": sliced,
    "SPACE_TO_BATCH_ND": _blocks,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SQUEEZE": _first("reshape"),
    "STRIDED_SLICE": sliced,
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": products.transposed_convolution,
}
