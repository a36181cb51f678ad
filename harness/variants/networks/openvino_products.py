"""OpenVINO's convolutions and matrix products: which axes of data and weight belong together."""

from __future__ import annotations

from harness.variants.network import Node, Product, Window, one_matrix
from harness.variants.networks.openvino_operator import Operator


def convolution(operator: Operator) -> Node | None:
    """Convolution: weight [out, in, spatial ...]; data [batch, channels, spatial ...]."""
    window = _window(operator, 2)
    if window is None or not operator.fixed(1):
        return None
    return operator.node("product", product=Product(1, 1, 1, 0, window=window))


def group_convolution(operator: Operator) -> Node | None:
    """GroupConvolution: weight [groups, out of one, in of one, spatial ...]."""
    return _grouped(operator, weight_in=2, weight_out=1, transposed=False)


def transposed_convolution(operator: Operator) -> Node | None:
    """ConvolutionBackpropData: weight [in, out, spatial ...]."""
    window = _window(operator, 2, transposed=True)
    if window is None or not operator.fixed(1):
        return None
    return operator.node("product", [0, 1], product=Product(1, 1, 0, 1, window=window))


def transposed_group_convolution(operator: Operator) -> Node | None:
    """GroupConvolutionBackpropData: weight [groups, in of one, out of one, spatial ...]."""
    return _grouped(operator, weight_in=1, weight_out=2, transposed=True)


def matmul(operator: Operator) -> Node | None:
    """MatMul: a product if one side is a constant without batches of its own."""
    first, second = operator.shape(0), operator.shape(1)
    a, b = (bool(operator.attributes[f"transpose_{side}"]) for side in "ab")
    if len(first) < 2 or len(second) < 2:
        return None
    last = len(operator.result()) - 1
    if operator.fixed(1) and one_matrix(second, first):
        # [..., m, k] x [k, n]; a transposed side has its last two axes the other way round.
        data, weight, out = len(first) - 1 - a, len(second) - 2 + b, len(second) - 1 - b
        return operator.node("product", product=Product(data, last, weight, out))
    if operator.fixed(0) and one_matrix(first, second):
        data, weight, out = len(second) - 2 + b, len(first) - 1 - a, len(first) - 2 + a
        return operator.node("product", [1, 0], product=Product(data, last - 1, weight, out))
    return operator.node("matmul", transposed=(a, b))


def _grouped(
    operator: Operator, *, weight_in: int, weight_out: int, transposed: bool
) -> Node | None:
    window, groups = _window(operator, 3, transposed=transposed), operator.shape(1)[0]
    if window is None or not operator.fixed(1) or groups is None:
        return None
    product = Product(1, 1, weight_in, weight_out, groups, 0 if groups > 1 else None, window)
    return operator.node("product", [0, 1], product=product)


def _window(operator: Operator, leading: int, *, transposed: bool = False) -> Window | None:
    """Return the window; null if its padding depends on a free size."""
    attributes, weight = operator.attributes, operator.shape(1)
    strides, dilations = tuple(attributes["strides"]), tuple(attributes["dilations"])
    kernel = tuple(size or 0 for size in weight[leading:])
    pads = _explicit(operator)
    if pads is None:
        spread = [(size - 1) * by + 1 for size, by in zip(kernel, dilations, strict=True)]
        pads = _automatic(operator, spread, transposed)
    if pads is None:
        return None
    axes, weight_axes = range(2, 2 + len(kernel)), range(leading, leading + len(kernel))
    return Window(tuple(axes), tuple(weight_axes), kernel, strides, dilations, pads, transposed)


def _explicit(operator: Operator) -> tuple[tuple[int, int], ...] | None:
    attributes = operator.attributes
    if attributes["auto_pad"] not in ("explicit", "notset", "valid") or operator.has(2):
        return None
    spatial = len(attributes["strides"])
    if attributes["auto_pad"] == "valid":
        before = after = [0] * spatial
    else:
        before, after = attributes["pads_begin"], attributes["pads_end"]
    # What a transposed convolution adds at the end is padding taken away.
    added = attributes.get("output_padding") or [0] * spatial
    return tuple(
        (int(one), int(other) - int(more))
        for one, other, more in zip(before, after, added, strict=True)
    )


def _automatic(
    operator: Operator, spread: list[int], transposed: bool
) -> tuple[tuple[int, int], ...] | None:
    """Return the padding that makes the output as large as it is."""
    pads = []
    sizes = zip(operator.shape()[2:], operator.result()[2:], spread, strict=True)
    for stride, (size, made, extent) in zip(operator.attributes["strides"], sizes, strict=True):
        if size is None or made is None:
            return None
        small, large = (size, made) if transposed else (made, size)
        total = (small - 1) * stride + extent - large
        total = total if transposed else max(total, 0)
        upper = operator.attributes["auto_pad"] != "same_lower"
        before = total // 2 if upper else total - total // 2
        pads.append((before, total - before))
    return tuple(pads)
