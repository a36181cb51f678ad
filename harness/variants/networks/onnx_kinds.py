"""What each ONNX operator does to the positions of its axes: one rule each, in one table.

A rule returns the neutral node, or null where it cannot tell; the node is then unknown, and
everything that it touches stays whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from harness.variants.network import Indices, Node
from harness.variants.networks.onnx_file import File
from harness.variants.networks.onnx_operator import Operator
from harness.variants.networks.onnx_products import conv, conv_transpose, gather, gemm, matmul

Rule = Callable[[Operator], Node | None]


def nodes(file: File) -> list[Node]:
    """Translate every operator of a file, in order."""
    return [_translate(Operator(proto, file)) for proto in file.graph.node]


def _translate(op: Operator) -> Node:
    rule = KINDS.get(op.proto.op_type) if op.proto.domain in ("", "ai.onnx") else None
    one_result = len(op.outputs) == 1 or op.proto.op_type == "Split"
    found = rule(op) if rule and one_result and op.ranked else None
    return found or op.unknown()


def _elementwise(op: Operator) -> Node:
    return op.node("elementwise")


def _dropout(op: Operator) -> Node | None:
    training = op.constant(2)
    off = not op.has(2) or (training is not None and not training.any())
    return op.from_data("identity") if off else None


def _identity(op: Operator) -> Node:
    return op.node("identity")


def _batch_normalization(op: Operator) -> Node | None:
    usual = op.fixed(1, 2, 3, 4) and not op.number("training_mode", 0)
    return op.node("per_channel", axis=1) if usual and op.number("spatial", 1) else None


def _instance_normalization(op: Operator) -> Node | None:
    """Channels stay apart; the positions of each are normalised together, so they mix."""
    spatial = tuple(range(2, op.rank))
    return op.node("per_channel", axis=1, axes=spatial) if op.fixed(1, 2) else None


def _group_normalization(op: Operator) -> Node:
    return op.from_data("mix", axes=tuple(range(1, op.rank)))


def _layer_normalization(op: Operator) -> Node | None:
    axis = op.axis(op.number("axis", -1))
    # A scale of higher rank differs along axes that do not mix.
    low = all(len(op.shape(at)) <= op.rank - axis for at in (1, 2) if op.has(at))
    mixed = tuple(range(axis, op.rank))
    return op.from_data("mix", axes=mixed) if low and op.fixed(1, 2) else None


def _softmax(op: Operator) -> Node:
    """Before opset 13, everything from the axis on was flattened into one."""
    old = op.file.opset < 13
    axis = op.axis(op.number("axis", 1 if old else -1))
    return op.node("mix", axes=tuple(range(axis, op.rank)) if old else (axis,))


def _across_channels(op: Operator) -> Node:
    return op.node("mix", axes=(1,))


def _lp_normalization(op: Operator) -> Node:
    return op.node("mix", axes=(op.axis(op.number("axis", -1)),))


def _mean_variance(op: Operator) -> Node:
    axes = op.attributes.get("axes", (0, 2, 3))
    return op.node("mix", axes=tuple(sorted(op.axis(int(axis)) for axis in axes)))


def _cumulative(op: Operator) -> Node | None:
    axis = op.constant(1)
    return None if axis is None else op.from_data("mix", axes=(op.axis(int(axis.item())),))


def _pool(op: Operator) -> Node:
    return op.node("mix", axes=tuple(range(2, op.rank)))


def _global_pool(op: Operator) -> Node:
    return op.node("reduce", axes=tuple(range(2, op.rank)), keepdims=True)


def _reduce(op: Operator) -> Node | None:
    axes = op.integers("axes", 1)
    if axes is None and op.has(1):
        return None
    if not axes:
        if op.number("noop_with_empty_axes", 0):
            return op.from_data("identity")
        axes = list(range(op.rank))
    found = tuple(sorted(op.axis(axis) for axis in axes))
    return op.from_data("reduce", axes=found, keepdims=bool(op.number("keepdims", 1)))


def _arg(op: Operator) -> Node:
    axis = op.axis(op.number("axis", 0))
    return op.node("reduce", axes=(axis,), keepdims=bool(op.number("keepdims", 1)))


def _pad(op: Operator) -> Node | None:
    pads = op.integers("pads", 1)
    if pads is None or not op.fixed(3):
        return None
    axes = [op.axis(axis) for axis in op.integers("axes", 3) or range(op.rank)]
    half = len(axes)
    padded = {axis for at, axis in enumerate(axes) if pads[at] or pads[half + at]}
    return op.from_data("mix", axes=tuple(sorted(padded)))


def _resize(op: Operator) -> Node | None:
    """Axes of scale 1 are copied whatever the mode, unless a region of interest crops them."""
    if op.attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        return None
    sizes_at, scales_at = (3, 2) if op.file.opset > 10 else (len(op.inputs), 1)
    scales, sizes = op.constant(scales_at), op.constant(sizes_at)
    axes = [op.axis(int(axis)) for axis in op.attributes.get("axes", range(op.rank))]
    if op.attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        return op.from_data("mix", axes=tuple(sorted(axes)))
    if sizes is not None and sizes.size == len(axes):
        before = op.shape()
        changed = [axis for axis, size in zip(axes, sizes, strict=True) if before[axis] != size]
    elif scales is not None and scales.size == len(axes):
        changed = [axis for axis, scale in zip(axes, scales, strict=True) if scale != 1]
    else:
        return None
    return op.from_data("mix", axes=tuple(sorted(changed)))


def _upsample(op: Operator) -> Node | None:
    scales = op.attributes.get("scales", op.constant(1))
    if scales is None:
        return None
    return op.from_data("mix", axes=tuple(at for at, scale in enumerate(scales) if scale != 1))


def _stretch(op: Operator) -> Node | None:
    """Expand and Tile to the same rank, by constants: axes of the same size are copied."""
    before, after = op.shape(), op.result
    if not op.fixed(1) or len(before) != len(after):
        return None
    repeats = op.constant(1) if op.proto.op_type == "Tile" else None
    if repeats is not None:
        return op.from_data("mix", axes=tuple(int(at) for at in np.flatnonzero(repeats != 1)))
    pairs = enumerate(zip(before, after, strict=True))
    return op.from_data("mix", axes=tuple(at for at, (old, new) in pairs if old != new))


def _concat(op: Operator) -> Node:
    return op.node("concat", axis=op.axis(op.number("axis", 1)))


def _split(op: Operator) -> Node | None:
    axis = op.axis(op.number("axis", 0))
    parts = [(op.file.shape(name) or ())[axis] for name in op.outputs]
    known = None not in parts and len(parts) == len(op.proto.output) and op.fixed(1)
    return op.from_data("split", axis=axis) if known else None


def _slice(op: Operator) -> Node | None:
    starts, ends = op.integers("starts", 1), op.integers("ends", 2)
    if starts is None or ends is None or not op.fixed(3, 4):
        return None
    axes = [op.axis(axis) for axis in op.integers("axes", 3) or range(len(starts))]
    steps = op.integers("steps", 4) or [1] * len(starts)
    changed: list[int] = []
    positions: Indices | None = None
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = op.shape()[axis]
        if size is None and (start, step) == (0, 1) and end >= _FAR:
            continue
        taken = None if size is None else np.arange(size)[start:end:step]
        if taken is None or len(taken) != size or step != 1:
            changed.append(axis)
            positions = taken
    if len(changed) == 1 and positions is not None:
        return op.from_data("gather", axis=changed[0], positions=positions)
    return op.from_data("mix", axes=tuple(sorted(changed)))


_FAR = 2**31 - 1  # what exporters write for "to the end"


def _transpose(op: Operator) -> Node:
    perm = op.attributes.get("perm", range(op.rank - 1, -1, -1))
    return op.node("transpose", perm=tuple(int(axis) for axis in perm))


def _reshape(op: Operator) -> Node | None:
    return op.from_data("reshape") if op.fixed(1) else None


KINDS: Mapping[str, Rule] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "Gather": gather,
    "BatchNormalization": _batch_normalization,
    "InstanceNormalization": _instance_normalization,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _layer_normalization,
    "LpNormalization": _lp_normalization,
    "MeanVarianceNormalization": _mean_variance,
    "LRN": _across_channels,
    "CumSum": _cumulative,
    "AveragePool": _pool,
    "LpPool": _pool,
    "MaxPool": _pool,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _upsample,
    "Expand": _stretch,
    "Tile": _stretch,
    "ArgMax": _arg,
    "ArgMin": _arg,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Transpose": _transpose,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Dropout": _dropout,
    "Identity": _identity,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(
        (
            *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
            *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        ),
        _reduce,
    ),
    **dict.fromkeys(
        (
            *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Where"),
            *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor"),
            *("Not", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
            *("Abs", "Neg", "Sign", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Round"),
            *("Ceil", "Floor", "Cast", "Clip", "IsNaN", "IsInf", "Sin", "Cos", "Tan", "Asin"),
            *("Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Tanh", "Sigmoid"),
            *("HardSigmoid", "HardSwish", "Swish", "Mish", "Gelu", "Relu", "LeakyRelu", "PRelu"),
            *("Elu", "Celu", "Selu", "ThresholdedRelu", "Shrink", "Softplus", "Softsign"),
        ),
        _elementwise,
    ),
}
