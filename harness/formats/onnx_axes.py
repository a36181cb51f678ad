"""How ONNX operators see their weights: which axes are outputs, how often each is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import shape_inference

from harness.formats import Axes

Shapes = Mapping[str, tuple[int, ...]]  # of the tensors whose shape is known

CONVOLUTIONS = ("Conv", "ConvInteger", "DeformConv", "FusedConv", "QLinearConv")
RECURRENT = ("GRU", "LSTM", "RNN")  # weight [directions, outputs, inputs]
# Left and right factor: their positions among the inputs.
FACTORS: Mapping[str, tuple[int, int]] = {
    "FusedMatMul": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QGemm": (0, 3),
    "QLinearMatMul": (0, 3),
}


def inferred(model: onnx.ModelProto) -> Shapes:
    """Infer the shapes that tensors have: where the batch is free, for one sample.

    The model is changed: the free first dimension of its inputs becomes 1.
    """
    for port in model.graph.input:
        dims = port.type.tensor_type.shape.dim
        if dims and dims[0].dim_value <= 0:
            dims[0].dim_value = 1
    for port in (*model.graph.output, *model.graph.value_info):
        port.type.tensor_type.ClearField("shape")  # stated for the free batch
    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        return {}
    ports = (*graph.input, *graph.value_info, *graph.output)
    found = {
        port.name: tuple(int(dim.dim_value) for dim in port.type.tensor_type.shape.dim)
        for port in ports
        if port.type.tensor_type.HasField("shape")
    }
    return {name: shape for name, shape in found.items() if all(size > 0 for size in shape)}


def axes(
    node: onnx.NodeProto, at: int, between: Sequence[onnx.NodeProto], rank: int
) -> Axes | None:
    """Return the axes of the constant behind input `at` of a node; null if they are not known.

    `between` are the operators from the node back to the constant.
    """
    found = _consumed(node, at, rank)
    for step in between:
        if step.op_type == "Transpose":
            order = _attributes(step).get("perm") or tuple(reversed(range(rank)))
            found = found and Axes(_moved(found.outputs, order), _moved(found.inputs, order))
        elif step.op_type not in ("Cast", "DequantizeLinear", "Identity", "QuantizeLinear"):
            return None
    return found


def uses(
    node: onnx.NodeProto, at: int, seen_as: Axes | None, shape: Sequence[int], shapes: Shapes
) -> int | None:
    """Return how often a batch multiplies by each weight; null if it is not known."""
    backwards = node.op_type == "ConvTranspose"
    values = shapes.get(node.input[0] if backwards else node.output[0])
    if seen_as is None or values is None or node.op_type in RECURRENT:
        return None
    channels = seen_as.inputs if backwards else seen_as.outputs
    counted, rest = divmod(math.prod(values), math.prod(shape[axis] for axis in channels))
    return None if rest else counted


def _consumed(node: onnx.NodeProto, at: int, rank: int) -> Axes | None:
    attributes = _attributes(node)
    if rank < 2:
        return None
    if node.op_type in CONVOLUTIONS:
        return Axes((0,), (1,))
    if node.op_type == "ConvTranspose":
        # With groups, the first axis counts the inputs of all groups, the second the outputs of
        # one: no matrix.
        return Axes((1,), (0,)) if attributes.get("group", 1) == 1 else None
    if node.op_type in RECURRENT:
        return Axes((0, 1), (2,)) if rank == 3 else None
    left, _ = FACTORS[node.op_type]
    turned = bool(attributes.get("transA" if at == left else "transB", 0))
    batches = tuple(range(rank - 2))
    # [m, k] on the left, [k, n] on the right: the sum is over k.
    inputs = rank - 1 if (at == left) != turned else rank - 2
    outputs = 2 * rank - 3 - inputs
    return Axes((*batches, outputs), (inputs,))


def _moved(found: tuple[int, ...], order: Sequence[int]) -> tuple[int, ...]:
    return tuple(order[axis] for axis in found)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
