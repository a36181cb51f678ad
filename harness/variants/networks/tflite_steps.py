"""The operators of a TFLite model as XNNPACK sees them, and which have a channels-first form.

Source: xnn_check_nchw_compatibility and xnn_subgraph_fusion in src/subgraph.c of XNNPACK.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from harness.variants.network import Array
from harness.variants.networks.tflite_file import schema
from harness.variants.networks.tflite_layout import Result, Role, Step
from harness.variants.networks.tflite_model import Model
from harness.variants.networks.tflite_operator import Operator

SAME = schema.Padding.SAME
FUSED = (
    schema.ActivationFunctionType.NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU_N1_TO_1,
    schema.ActivationFunctionType.RELU6,
)
UNARY = (
    *("ABS", "CEIL", "ELU", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG"),
    *("RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "SQUARE", "TANH"),
)
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
Pads = tuple[tuple[int, int], tuple[int, int]]  # before and after, of height and width
NONE: Pads = ((0, 0), (0, 0))

Found = Role | str  # the role, or why there is none
ROLES = ("entry", "inner", "reduce", "exit")


def steps(model: Model) -> list[Step]:
    """List the operators in their order; raises nothing: an unknown one has no role."""
    operators = [Operator(raw, model) for raw in model.operators]
    pads = dict(_paddings(operators, model))
    found = []
    for operator in operators:
        if operator.outputs[:1] and operator.outputs[0] in pads:
            continue  # it has become part of the convolution that reads it
        if operator.code == "DEQUANTIZE" and operator.fixed(0):
            continue
        found.append(_step(operator, model, pads))
    return found


def _paddings(operators: list[Operator], model: Model) -> Iterator[tuple[str, tuple[str, Pads]]]:
    """Find the paddings with zeros that XNNPACK makes part of a convolution with none of its own.

    Yields the padded tensor, with the tensor that is padded and by how much.
    """
    used = Counter(name for operator in operators for name in operator.inputs)
    readers = {name: one for one in operators for name in one.inputs[:1]}
    outputs = {model.names[index] for index in model.outputs}
    for operator in operators:
        amounts = operator.constant(1) if operator.code == "PAD" else None
        if amounts is None or amounts.shape != (4, 2) or amounts[[0, 3]].any():
            continue
        name = operator.outputs[0]
        reader = readers.get(name)
        alone = used[name] == 1 and name not in outputs
        if alone and reader and reader.code in CONVOLUTIONS and reader.options.padding != SAME:
            height, width = (tuple(int(n) for n in row) for row in amounts[1:3])
            yield name, (operator.inputs[0], ((height[0], height[1]), (width[0], width[1])))


def _step(operator: Operator, model: Model, padded: Mapping[str, tuple[str, Pads]]) -> Step:
    reads = [name for at, name in enumerate(operator.inputs) if name and not operator.fixed(at)]
    source, pads = padded.get(reads[0], (reads[0], NONE)) if reads else ("", NONE)
    if reads and operator.code in CONVOLUTIONS:
        reads[0] = source
    found = _role(operator, pads)
    role = next((role for role in ROLES if role == found), None)
    return Step(
        name=operator.name,
        operator=operator.code,
        role=role,  # type: ignore[arg-type]
        reads=tuple(reads),
        writes=operator.outputs,
        lacks="" if role else found,
        weight=_pointwise(operator) if role else None,
        result=_result(operator) if role == "reduce" else "flat",
    )


def _role(operator: Operator, pads: Pads) -> Found:
    rule = RULES.get(operator.code)
    if rule is None or not operator.ranked:
        return "has no channels-first form"
    fused = getattr(operator.options, "fusedActivationFunction", 0)
    return rule(operator, pads) if fused in FUSED else "has an activation that XNNPACK lacks"


def _convolution(operator: Operator, pads: Pads) -> Found:
    weight, options = operator.shape(1), operator.options
    if not operator.fixed(1) or weight[3] != operator.shape()[3]:
        return "is grouped, or its weights are computed"
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        return "is dilated"
    strides = (options.strideH, options.strideW)
    if weight[1:3] == (1, 1):
        plain = strides == (1, 1) and pads == NONE
        return "inner" if plain else "is a 1x1 convolution with a stride or a padding"
    if weight[1:3] != (3, 3) or weight[3] != 3:
        return f"is a {weight[1]}x{weight[2]} convolution of {weight[3]} channels"
    if strides != (2, 2):
        return f"has stride {strides[0]}x{strides[1]}, not 2x2"
    if options.padding == SAME or pads != ((1, 1), (1, 1)):
        return "has no explicit padding of 1 on each side (a PAD before it)"
    return "entry"


def _depthwise(operator: Operator, pads: Pads) -> Found:
    weight, options = operator.shape(1), operator.options
    kernel, strides = weight[1:3], (options.strideH, options.strideW)
    if not operator.fixed(1) or weight[3] != operator.shape()[3]:
        return "makes several channels of each, or its weights are computed"
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        return "is dilated"
    if kernel not in ((3, 3), (5, 5)) or strides not in ((1, 1), (2, 2)):
        return f"is {kernel[0]}x{kernel[1]} with stride {strides[0]}x{strides[1]}"
    half = (kernel[0] or 0) // 2
    if options.padding == SAME and strides == (1, 1):
        return "inner"
    if options.padding == SAME or pads != ((half, half), (half, half)):
        return f"has no explicit padding of {half} on each side (a PAD before it)"
    return "inner"


def _linear(operator: Operator, pads: Pads) -> Found:
    image = len(operator.shape()) == 4 and operator.options.keepNumDims
    return "inner" if image and operator.fixed(1) else "reads its input as one vector"


def _binary(operator: Operator, pads: Pads) -> Found:
    if any(len(operator.shape(at)) != 4 for at in (0, 1)):
        return "reads a tensor that is not of rank 4"
    if any(operator.fixed(at) for at in (0, 1)) and _extended(operator.shape()) > 1:
        # Of whichever input is constant, it is the first one's shape that XNNPACK looks at.
        return "reads a constant in second place"
    return "inner"


def _unary(operator: Operator, pads: Pads) -> Found:
    return "inner" if len(operator.shape()) == 4 else "is not of rank 4"


def _resize(operator: Operator, pads: Pads) -> Found:
    image = operator.shape()
    large = len(image) == 4 and all(size is not None and size > 1 for size in image[1:3])
    return "inner" if large else "enlarges a single row or column"


def _reduce(operator: Operator, pads: Pads) -> Found:
    return "reduce" if len(operator.shape()) == 4 and operator.fixed(1) else "is not of rank 4"


def _leave(operator: Operator, pads: Pads) -> Found:
    return "exit"


def _result(operator: Operator) -> Result:
    axes = sorted(operator.axis(axis) for axis in operator.integers(1) or [])
    if axes != [1, 2]:
        return "wrong"
    return "kept" if operator.options.keepDims else "flat"


def _extended(shape: tuple[int | None, ...]) -> int:
    return sum(size != 1 for size in shape)


def _pointwise(operator: Operator) -> Array | None:
    weighted = operator.code in ("CONV_2D", "FULLY_CONNECTED")
    weight = operator.constant(1) if weighted else None
    pointwise = weight is not None and (weight.ndim == 2 or weight.shape[1:3] == (1, 1))
    return np.asarray(weight) if pointwise else None


RULES: Mapping[str, Callable[[Operator, Pads], Found]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _linear,
    "ADD": _binary,
    "MUL": _binary,
    "RESIZE_BILINEAR": _resize,
    "MEAN": _reduce,
    "SUM": _reduce,
    "DEPTH_TO_SPACE": _leave,
    **dict.fromkeys(UNARY, _unary),
}
