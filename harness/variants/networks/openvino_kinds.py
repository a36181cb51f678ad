"""OpenVINO's operators in terms of the kinds that pruning knows.

A rule returns null where an operator does what its kind does not say; it then counts as unknown,
and whatever it touches stays whole. Convolutions are NCHW.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from harness.variants.network import Graph, Node
from harness.variants.networks import openvino_products as products
from harness.variants.networks.openvino_attention import attended, scores
from harness.variants.networks.openvino_model import Model, kind, shape
from harness.variants.networks.openvino_operator import Operator
from harness.variants.networks.openvino_slices import sliced

Rule = Callable[[Operator], Node | None]


def translate(model: Model) -> Graph:
    """Describe the model as a neutral graph."""
    shapes = {name: constant.data.shape for name, constant in model.constants.items()}
    for op in model.operators:
        for output in op.outputs():
            sizes = shape(output)
            if sizes is not None:
                shapes.setdefault(model.name(output), sizes)
    nodes = []
    for op in model.operators:
        if not model.is_own(op):
            continue
        operator = Operator(op, model)
        if kind(op) == "ScaledDotProductAttention" and operator.ranked:
            nodes += attended(operator)
            shapes |= scores(operator)
        else:
            nodes.append(_node(operator))
    return Graph(
        nodes,
        [model.name(port.output(0)) for port in model.model.get_parameters()],
        [model.source(result, 0) for result in model.model.get_results()],
        shapes,
        frozenset(model.constants),
    )


def _node(operator: Operator) -> Node:
    rule = RULES.get(kind(operator.raw))
    node = rule(operator) if rule is not None and operator.ranked else None
    return node or operator.node("unknown")


def _unary(operator: Operator) -> Node | None:
    return operator.node("elementwise", [0])


def _elementwise(operator: Operator) -> Node | None:
    numpy = operator.attributes.get("auto_broadcast", "numpy") in ("numpy", "none")
    return operator.node("elementwise") if numpy else None


def _prelu(operator: Operator) -> Node | None:
    """Return the node; a slope of one axis belongs to the channels, not to the last axis."""
    slope, data = operator.shape(1), operator.shape(0)
    if len(slope) != 1 or slope == (1,):
        return operator.node("elementwise")
    channels = operator.fixed(1) and len(data) > 1 and slope[0] == data[1]
    return operator.node("per_channel", axis=1) if channels else None


def _normalised(operator: Operator) -> Node | None:
    constants = all(operator.fixed(at) for at in range(1, 5))
    return operator.node("per_channel", axis=1) if constants else None


def _spatial(operator: Operator) -> Node | None:
    """Pools; the positions of their maxima, a second output, count over all axes."""
    positions = operator.raw.outputs()[1:]
    if any(output.get_target_inputs() for output in positions):
        return None
    return operator.node("mix", [0], axes=tuple(range(2, len(operator.shape()))))


def _over_axis(operator: Operator) -> Node | None:
    axis = operator.axis(int(operator.attributes["axis"]))
    return operator.node("mix", [0], axes=(axis,))


def _over_axes(operator: Operator) -> Node | None:
    axes = operator.axes(1)
    return None if axes is None else operator.node("mix", [0], axes=axes)


def _all_but_batch(operator: Operator) -> Node | None:
    return operator.node("mix", axes=tuple(range(1, len(operator.shape()))))


def _pad(operator: Operator) -> Node | None:
    before, after = operator.integers(1), operator.integers(2)
    if before is None or after is None:
        return None
    axes = tuple(int(axis) for axis in np.flatnonzero(np.array([before, after]).any(axis=0)))
    return operator.node("mix", [0], axes=axes)


def _interpolate(operator: Operator) -> Node | None:
    """Resize those axes whose size changes, or is not known; nothing may be padded."""
    attributes = operator.attributes
    if any((*attributes.get("pads_begin", ()), *attributes.get("pads_end", ()))):
        return None
    if "shape_calculation_mode" not in attributes:  # of the first version
        return None
    if len(operator.inputs) < 2 or not all(map(operator.fixed, range(1, len(operator.inputs)))):
        return None
    sizes = zip(operator.shape(), operator.result(), strict=True)
    changed = [i for i, (old, new) in enumerate(sizes) if old is None or old != new]
    return operator.node("mix", [0], axes=tuple(changed))


def _reduce(operator: Operator) -> Node | None:
    axes = operator.axes(1)
    if axes is None:
        return None
    keepdims = bool(operator.attributes["keep_dims"])
    return operator.node("reduce", [0], axes=axes, keepdims=keepdims)


def _concat(operator: Operator) -> Node | None:
    return operator.node("concat", axis=operator.axis(int(operator.attributes["axis"])))


def _split(operator: Operator) -> Node | None:
    axis = operator.integers(1)
    if axis is None or (operator.has(2) and not operator.fixed(2)):
        return None
    return operator.node("split", [0], axis=operator.axis(axis[0]))


def _gather(operator: Operator) -> Node | None:
    axes, positions = operator.integers(2), operator.constant(1)
    if axes is None or operator.attributes.get("batch_dims", 0):
        return None
    axis = operator.axis(axes[0])
    if operator.fixed(0) and positions is None:
        table = axis == 0 and len(operator.shape()) == 2
        return operator.node("embedding", [0, 1]) if table else None
    size = operator.shape()[axis]
    if positions is None or positions.ndim > 1 or size is None:
        return None
    counted = np.where(positions < 0, positions + size, positions).reshape(-1).astype(np.int64)
    return operator.node("gather", [0], axis=axis, positions=counted)


def _transpose(operator: Operator) -> Node | None:
    perm = operator.integers(1)
    if perm is None:
        return None
    # An empty order turns all axes round.
    perm = perm or list(reversed(range(len(operator.shape()))))
    return operator.node("transpose", [0], perm=tuple(perm))


def _reshape(operator: Operator) -> Node | None:
    stated = operator.fixed(1) or not operator.has(1)
    return operator.node("reshape", [0]) if stated else None


UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceiling", "Clamp", "Convert"),
    *("Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HSigmoid", "HSwish", "IsFinite"),
    *(
        "IsInf",
        "IsNaN",
        "Log",
        "LogicalNot",
        "Mish",
        "Negative",
        "ReLU",
        "Relu",
        "Round",
        "Sigmoid",
    ),
    *("Sign", "Sin", "Sinh", "SoftPlus", "SoftSign", "Sqrt", "Tan", "Tanh"),
)
BROADCAST = (
    *("Add", "BitwiseAnd", "BitwiseOr", "Divide", "Equal", "FloorMod", "Greater", "GreaterEqual"),
    *("HardSigmoid", "Less", "LessEqual", "LogicalAnd", "LogicalOr", "LogicalXor", "Maximum"),
    *("Minimum", "Mod", "Multiply", "NotEqual", "Power", "Select", "Selu", "SquaredDifference"),
    *("Subtract", "Swish"),
)
POOLS = ("AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "MaxPool")
REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogicalAnd", "ReduceLogicalOr", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum"),
)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BROADCAST, _elementwise),
    **dict.fromkeys(POOLS, _spatial),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(("LogSoftmax", "Softmax"), _over_axis),
    **dict.fromkeys(("CumSum", "LRN", "MVN", "NormalizeL2"), _over_axes),
    "BatchNormInference": _normalised,
    "Concat": _concat,
    "Convolution": products.convolution,
    "ConvolutionBackpropData": products.transposed_convolution,
    "Gather": _gather,
    "GroupConvolution": products.group_convolution,
    "GroupConvolutionBackpropData": products.transposed_group_convolution,
    "GroupNormalization": _all_but_batch,
    "Interpolate": _interpolate,
    "MatMul": products.matmul,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": sliced,
    "Split": _split,
    "Squeeze": _reshape,
    "StridedSlice": sliced,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
    "VariadicSplit": _split,
}
