"""TFLite's convolutions and matrix products: which axes of data and weight belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.variants.network import Node, Product, Window, one_matrix
from harness.variants.networks.tflite_file import schema
from harness.variants.networks.tflite_operator import Operator, Shape

SPATIAL = (1, 2)  # of NHWC data
SAME = schema.Padding.SAME


def convolution(operator: Operator) -> Node | None:
    """CONV_2D: weight [out, height, width, in of one group]."""
    window = _window(operator)
    channels, inputs = operator.shape(0)[3], operator.shape(1)[3]
    if window is None or not operator.fixed(1) or not channels or not inputs:
        return None
    groups = channels // inputs
    return operator.node("product", product=Product(3, 3, 3, 0, groups, window=window))


def depthwise(operator: Operator) -> Node | None:
    """DEPTHWISE_CONV_2D: weight [1, height, width, out]; each input channel is a group."""
    window, channels = _window(operator), operator.shape(0)[3]
    if window is None or not operator.fixed(1) or not channels:
        return None
    return operator.node("product", product=Product(3, 3, 0, 3, channels, window=window))


def transposed_convolution(operator: Operator) -> Node | None:
    """TRANSPOSE_CONV: inputs (shape of the output, weight [out, height, width, in], data, bias)."""
    data, output, weight = operator.shape(2), operator.result(), operator.shape(1)
    if not operator.fixed(1) or None in (*data[1:3], *output[1:3]):
        return None
    options = operator.options
    strides, kernel = (options.strideH, options.strideW), _known(weight, SPATIAL)
    pads = []
    for size, made, extent, stride in zip(
        _known(data, SPATIAL), _known(output, SPATIAL), kernel, strides, strict=True
    ):
        # The padding is that of the convolution this one is the gradient of.
        before = _same(made, extent, stride) // 2 if options.padding == SAME else 0
        pads.append((before, (size - 1) * stride + extent - made - before))
    window = Window(SPATIAL, SPATIAL, kernel, strides, (1, 1), tuple(pads), transposed=True)
    return operator.node("product", [2, 1, 3], product=Product(3, 3, 3, 0, window=window))


def fully_connected(operator: Operator) -> Node | None:
    """FULLY_CONNECTED: weight [out, in]; see `with_flattened`."""
    if operator.fixed(1):
        rank = len(operator.result())
        return operator.node("product", product=Product(rank - 1, rank - 1, 1, 0))
    plain = len(operator.shape(0)) == len(operator.result()) == 2 and not operator.has(2)
    return operator.node("matmul", [0, 1], transposed=(False, True)) if plain else None


def batch_matmul(operator: Operator) -> Node | None:
    """BATCH_MATMUL: a product if one side is a constant without batches of its own."""
    first, second = operator.shape(0), operator.shape(1)
    a, b = bool(operator.options.adjX), bool(operator.options.adjY)
    last = len(operator.result()) - 1
    if operator.fixed(1) and one_matrix(second, first):
        # [..., m, k] x [k, n]; an exchanged side has its last two axes the other way round.
        data, weight = len(first) - 1 - a, len(second) - 2 + b
        out = len(second) - 1 - b
        return operator.node("product", product=Product(data, last, weight, out))
    if operator.fixed(0) and one_matrix(first, second):
        data, weight = len(second) - 2 + b, len(first) - 1 - a
        out = len(first) - 2 + a
        return operator.node("product", [1, 0], product=Product(data, last - 1, weight, out))
    return operator.node("matmul", transposed=(a, b))


def with_flattened(operator: Operator, node: Node) -> Iterator[Node]:
    """Yield a fully connected layer, and before it the reshape that it does itself.

    FULLY_CONNECTED takes data of any rank as rows of as many values as its weight has inputs.
    """
    data, weight, output = operator.shape(0), operator.shape(1), operator.result()
    if node.product is None or (len(data) == len(output) and data[-1] == weight[1]):
        yield node
        return
    flat = f"{node.name} (flattened)"
    yield Node(flat, operator.code, "reshape", node.inputs[:1], (flat,))
    product = Product(1, len(output) - 1, 1, 0)
    yield Node(node.name, node.operator, "product", (flat, *node.inputs[1:]), node.outputs, product)


def flattened_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of what `with_flattened` names: rows and the weight's inputs."""
    rows = shapes[node.outputs[0]][:-1]
    known = [size for size in rows if size is not None]
    count = int(np.prod(known)) if len(known) == len(rows) else None
    return (count, shapes[node.inputs[1]][1])


def _window(operator: Operator) -> Window | None:
    """Return the window of a convolution; null if its padding depends on a free size."""
    options, data = operator.options, operator.shape(0)
    if data[1] is None or data[2] is None:
        return None
    strides = (options.strideH, options.strideW)
    dilations = (options.dilationHFactor, options.dilationWFactor)
    kernel = _known(operator.shape(1), SPATIAL)
    pads = []
    for axis, extent, stride, dilation in zip(SPATIAL, kernel, strides, dilations, strict=True):
        spread = (extent - 1) * dilation + 1
        total = _same(data[axis] or 0, spread, stride) if options.padding == SAME else 0
        pads.append((total // 2, total - total // 2))
    return Window(SPATIAL, SPATIAL, kernel, strides, dilations, tuple(pads))


def _same(size: int, extent: int, stride: int) -> int:
    """Return all the padding that makes the output ceil(size / stride) long."""
    return max((-(-size // stride) - 1) * stride + extent - size, 0)


def _known(shape: Shape, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[axis] or 0 for axis in axes)
