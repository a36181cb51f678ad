"""Kinds of ONNX operators with weights: convolutions, matrix products, look-ups."""

from __future__ import annotations

import math

from harness.variants.network import Node, Product, Window
from harness.variants.networks.onnx_operator import Operator


def conv(op: Operator) -> Node | None:
    """Conv: weight [outputs, inputs of a group, kernel ...]."""
    window = _window(op, transposed=False)
    if window is None or not op.fixed(1, 2):
        return None
    groups = op.number("group", 1)
    return op.node("product", product=Product(1, 1, 1, 0, groups=groups, window=window))


def conv_transpose(op: Operator) -> Node | None:
    """ConvTranspose: weight [inputs, outputs of a group, kernel ...].

    With groups, its axes count the inputs of all groups and the outputs of one, the reverse of
    what `Product` can say.
    """
    window = _window(op, transposed=True)
    if window is None or not op.fixed(1, 2) or op.number("group", 1) != 1:
        return None
    return op.node("product", product=Product(1, 1, 0, 1, window=window))


def gemm(op: Operator) -> Node | None:
    """Gemm with a constant weight, or of two activations; alpha and beta are folded on reading."""
    flipped = (bool(op.number("transA", 0)), bool(op.number("transB", 0)))
    if any(op.attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")) or op.fixed(0):
        return None
    if not op.fixed(1):
        return None if op.has(2) else op.node("matmul", transposed=flipped)
    data_axis = 0 if flipped[0] else 1
    weight_in, weight_out = (1, 0) if flipped[1] else (0, 1)
    if op.has(2) and (not op.fixed(2) or op.shape(2) != (op.shape(1)[weight_out],)):
        return None
    return op.node("product", product=Product(data_axis, 1, weight_in, weight_out))


def matmul(op: Operator) -> Node | None:
    """MatMul: a constant factor on either side is a weight, if it is one matrix."""
    left, right = op.shape(0), op.shape(1)
    if min(len(left), len(right)) < 2 or (op.fixed(0) and op.fixed(1)):
        return None
    last = len(op.result) - 1
    if op.fixed(1) and math.prod(_sizes(right[:-2])) == 1:
        product = Product(len(left) - 1, last, len(right) - 2, len(right) - 1)
        return op.node("product", product=product)
    if op.fixed(0) and math.prod(_sizes(left[:-2])) == 1:
        product = Product(len(right) - 2, last - 1, len(left) - 1, len(left) - 2)
        return op.node("product", (op.inputs[1], op.inputs[0]), product=product)
    return op.node("matmul")


def gather(op: Operator) -> Node | None:
    """Gather: a choice of positions, the choice of one, or a table that indices are looked up in.

    One position chosen is like a reduction: the axis disappears, and the others correspond.
    """
    axis = op.axis(op.number("axis", 0))
    if op.fixed(0):
        table = axis == 0 and op.rank == 2 and not op.fixed(1)
        return op.node("embedding") if table else None
    indices, size = op.constant(1), op.shape()[axis]
    if indices is None:
        same_rank = len(op.shape(1)) == 1
        return op.node("mix", (op.inputs[0],), axes=(axis,)) if same_rank else None
    if indices.ndim == 0:
        return op.from_data("reduce", axes=(axis,), keepdims=False)
    if indices.ndim > 1:
        return None
    if size is None:
        return op.from_data("mix", axes=(axis,))
    positions = indices.astype("int64")
    positions[positions < 0] += size
    return op.from_data("gather", axis=axis, positions=positions)


def _sizes(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(size or 0 for size in shape)


def _window(op: Operator, *, transposed: bool) -> Window | None:
    kernel = _sizes(op.shape(1)[2:])
    spatial = len(kernel)
    strides = tuple(op.attributes.get("strides", (1,) * spatial))
    dilations = tuple(op.attributes.get("dilations", (1,) * spatial))
    pads = _pads(op, kernel, strides, dilations, transposed=transposed)
    if pads is None or not spatial:
        return None
    axes = tuple(range(2, 2 + spatial))
    return Window(axes, axes, kernel, strides, dilations, pads, transposed)


def _pads(
    op: Operator,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    *,
    transposed: bool,
) -> tuple[tuple[int, int], ...] | None:
    """Return what is added before and after each axis; null if it depends on a free size."""
    spatial = len(kernel)
    auto = op.attributes.get("auto_pad", b"NOTSET")
    if auto == b"VALID":
        return ((0, 0),) * spatial
    if auto == b"NOTSET" and "output_shape" not in op.attributes:
        flat = tuple(op.attributes.get("pads", (0,) * (2 * spatial)))
        return tuple(zip(flat[:spatial], flat[spatial:], strict=True))
    extra = op.attributes.get("output_padding", (0,) * spatial)
    sizes = zip(op.shape()[2:], op.result[2:], kernel, strides, dilations, extra, strict=True)
    pads = []
    for before, after, length, stride, dilation, more in sizes:
        if before is None or after is None:
            return None
        small, large = (before, after) if transposed else (after, before)
        total = max((small - 1) * stride + more + (length - 1) * dilation + 1 - large, 0)
        half, rest = total // 2, total - total // 2
        pads.append((half, rest) if auto == b"SAME_UPPER" else (rest, half))
    return tuple(pads)
