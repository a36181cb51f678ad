"""TFLite networks that have, between them, the operators that pruning has rules for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.unit.tflite_builder import Net


def residual(net: Net) -> int:
    stem = net.conv(net.input("x", 1, 8, 8, 3), "stem", 8)
    block = net.conv(net.conv(stem, "one", 6), "two", 8)
    added = net.op("ADD", [stem, block], "added", [1, 8, 8, 8], like="AddOptions")
    return net.head(added, 8)


def concatenated(net: Net) -> int:
    x = net.input("x", 1, 8, 8, 3)
    parts = [net.conv(x, "a", 6), x, net.conv(x, "b", 4)]
    options = {"axis": -1}
    joined = net.op(
        "CONCATENATION", parts, "joined", [1, 8, 8, 13], like="ConcatenationOptions", **options
    )
    return net.head(net.conv(joined, "c", 5), 5)


def depthwise(net: Net) -> int:
    wide = net.depthwise(net.conv(net.input("x", 1, 8, 8, 3), "stem", 6), "dw", 2)
    return net.head(net.conv(wide, "pw", 5, size=1), 5)


def depthwise_of_one(net: Net) -> int:
    """A depthwise convolution of a single channel is an ordinary one; its multiplier shrinks."""
    return net.head(net.depthwise(net.input("x", 1, 8, 8, 1), "dw", 6), 6)


def reshaped(net: Net) -> int:
    """A flatten of NHWC: each channel is every eighth input of the linear layer."""
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    shape = net.constant("shape", [-1, 128], np.int32)
    flat = net.op("RESHAPE", [maps, shape], "flat", [1, 128])
    return net.linear(net.linear(flat, "hidden", 128, [1, 8]), "y", 8, [1, 4])


def reshaped_by_option(net: Net) -> int:
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    new = np.array([1, 128], np.int32)
    flat = net.op("RESHAPE", [maps], "flat", [1, 128], like="ReshapeOptions", newShape=new)
    return net.linear(flat, "y", 128, [1, 4])


def flattened_by_layer(net: Net) -> int:
    """The converter drops reshapes before fully connected layers, which flatten by themselves."""
    return net.linear(net.conv(net.input("x", 1, 4, 4, 3), "stem", 8), "y", 128, [1, 4])


def packed_shape(net: Net) -> int:
    """Keras computes the shape of a reshape from the batch."""
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    batch = _batch(net, maps)
    sizes = [net.constant(f"size{size}", size, np.int32) for size in (16, 8)]
    shape = net.tensor("shape", [3], np.int32)
    net.ops("PACK", [batch, *sizes], [shape], like="PackOptions", valuesCount=3)
    rows = net.op("RESHAPE", [maps, shape], "rows", [1, 16, 8])
    other = net.op("RESHAPE", [net.conv(maps, "other", 8), shape], "other_rows", [1, 16, 8])
    joined = net.op(
        "CONCATENATION", [rows, other], "joined", [1, 16, 16], like="ConcatenationOptions", axis=2
    )
    axes = net.constant("axes", [1], np.int32)
    pooled = net.op("MEAN", [joined, axes], "pooled", [1, 16], like="ReducerOptions")
    return net.linear(pooled, "y", 16, [1, 4])


def _batch(net: Net, source: int) -> int:
    shape, batch = net.tensor("sizes", [4], np.int32), net.tensor("batch", [], np.int32)
    net.ops("SHAPE", [source], [shape], like="ShapeOptions", outType=schema.TensorType.INT32)
    spans = [net.constant(f"span{i}", [i % 2], np.int32) for i in range(3)]
    spans[2] = net.constant("step", [1], np.int32)
    options = {"shrinkAxisMask": 1}
    return net.ops(
        "STRIDED_SLICE", [shape, *spans], [batch], like="StridedSliceOptions", **options
    )[0]


def split(net: Net, sizes: list[int] | None = None) -> int:
    """Two halves of the channels, of which unequal numbers go: a SPLIT_V is left."""
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", sum(sizes or [8, 8]))
    parts = [net.tensor(f"part{i}", [1, 8, 8, size]) for i, size in enumerate(sizes or [8, 8])]
    axis = net.constant("axis", 3, np.int32)
    if sizes:
        stated = net.constant("sizes", sizes, np.int32)
        net.ops("SPLIT_V", [maps, stated, axis], parts, like="SplitVOptions", numSplits=2)
    else:
        net.ops("SPLIT", [axis, maps], parts, like="SplitOptions", numSplits=2)
    mixed = [net.conv(part, f"conv{i}", 4) for i, part in enumerate(parts)]
    return net.head(net.op("ADD", mixed, "sum", [1, 8, 8, 4], like="AddOptions"), 4)


def split_v(net: Net) -> int:
    return split(net, [10, 6])


def transposed(net: Net) -> int:
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    perm = net.constant("perm", [0, 3, 1, 2], np.int32)
    moved = net.op("TRANSPOSE", [maps, perm], "moved", [1, 8, 4, 4], like="TransposeOptions")
    shape = net.constant("shape", [1, 128], np.int32)
    flat = net.op("RESHAPE", [moved, shape], "flat", [1, 128], like="ReshapeOptions")
    return net.linear(flat, "y", 128, [1, 4])


def sliced(net: Net) -> int:
    """The first half of the channels and one corner of the picture."""
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", 12)
    begin, size = (
        net.constant("begin", [0, 0, 0, 4], np.int32),
        net.constant("size", [-1, 8, 8, 6], np.int32),
    )
    half = net.op("SLICE", [maps, begin, size], "half", [1, 8, 8, 6], like="SliceOptions")
    spans = [
        net.constant("from", [0, 1, 1, 0], np.int32),
        net.constant("to", [1, 5, 5, 12], np.int32),
        net.constant("by", [1, 1, 1, 1], np.int32),
    ]
    corner = net.op(
        "STRIDED_SLICE", [maps, *spans], "corner", [1, 4, 4, 12], like="StridedSliceOptions"
    )
    first, second = net.head(half, 6), _pooled_linear(net, corner, "corner", 12)
    return net.op("ADD", [first, second], "sum", [1, 4], like="AddOptions")


def _pooled_linear(net: Net, source: int, name: str, channels: int) -> int:
    axes = net.constant(f"{name}.axes", [1, 2], np.int32)
    pooled = net.op("MEAN", [source, axes], f"{name}.pool", [1, channels], like="ReducerOptions")
    return net.linear(pooled, f"{name}.linear", channels, [1, 4])


def every_other(net: Net) -> int:
    """Every other channel, from the last: what stays of them has no even step any more."""
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", 12)
    spans = [
        net.constant("from", [0, 0, 0, -1], np.int32),
        net.constant("to", [1, 8, 8, 0], np.int32),
        net.constant("by", [1, 1, 1, -2], np.int32),
    ]
    options = {"endMask": 8}
    odd = net.op(
        "STRIDED_SLICE", [maps, *spans], "odd", [1, 8, 8, 6], like="StridedSliceOptions", **options
    )
    first, second = net.head(odd, 6), _pooled_linear(net, maps, "all", 12)
    return net.op("ADD", [first, second], "sum", [1, 4], like="AddOptions")


def gathered(net: Net) -> int:
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", 8)
    order = net.constant("order", [7, 0, 5, 2, 2, 1, 3, 4, 6], np.int32)
    picked = net.op("GATHER", [maps, order], "picked", [1, 8, 8, 9], like="GatherOptions", axis=-1)
    return net.head(picked, 9)


def gathered_one(net: Net) -> int:
    """An index that is no list drops the axis that it picks from."""
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", 8)
    index = net.constant("index", 5, np.int32)
    plane = net.op("GATHER", [maps, index], "plane", [1, 8, 8], like="GatherOptions", axis=-1)
    parts = [net.head(maps, 8), net.linear(plane, "flat", 64, [1, 4])]
    return net.op("ADD", parts, "sum", [1, 4], like="AddOptions")


def squeezed(net: Net) -> int:
    """A SQUEEZE that names no axes would drop a channel axis of which one channel is left."""
    maps = net.conv(net.input("x", 1, 1, 4, 3), "stem", 8)
    gone = net.op("SQUEEZE", [maps], "gone", [4, 8], like="SqueezeOptions")
    return net.linear(gone, "y", 8, [4, 4])


def transposed_convolution(net: Net) -> int:
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    shape = net.constant("shape", [1, 8, 8, 6], np.int32)
    inputs = [shape, net.weight("up.w", 6, 3, 3, 8), maps, net.weight("up.b", 6)]
    options = {"strideH": 2, "strideW": 2}
    up = net.op(
        "TRANSPOSE_CONV", inputs, "up", [1, 8, 8, 6], like="TransposeConvOptions", **options
    )
    return net.head(up, 6)


def grouped(net: Net) -> int:
    """A convolution in three groups of four channels: whole groups go."""
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", 12)
    inputs = [maps, net.weight("groups.w", 6, 3, 3, 4), net.weight("groups.b", 6)]
    options = {"strideH": 1, "strideW": 1}
    out = net.op("CONV_2D", inputs, "groups", [1, 8, 8, 6], like="Conv2DOptions", **options)
    return net.head(net.conv(out, "last", 5), 5)


def multiplied(net: Net) -> int:
    """Hidden layers as products with either side constant."""
    rows = net.input("x", 1, 5, 6)
    like = "BatchMatMulOptions"
    inputs = [rows, net.weight("w", 1, 8, 6)]
    wide = net.op("BATCH_MATMUL", inputs, "wide", [1, 5, 8], like=like, adjY=True)
    active = net.op("GELU", [wide], "active", [1, 5, 8], like="GeluOptions")
    tokens = [net.weight("v", 7, 5), active]
    mixed = net.op("BATCH_MATMUL", tokens, "mixed", [1, 7, 8], like=like)
    mixed = net.op("RELU", [mixed], "mixed.relu", [1, 7, 8])
    back = [net.weight("u", 5, 7), mixed]
    narrow = net.op("BATCH_MATMUL", back, "narrow", [1, 5, 8], like=like)
    return net.op("BATCH_MATMUL", [narrow, net.weight("z", 8, 4)], "y", [1, 5, 4], like=like)


def half_precision(net: Net) -> int:
    """Weights in float16 that are dequantised, as the converter writes them."""
    x = net.input("x", 1, 4, 4, 3)
    weight = net.random.standard_normal((8, 3, 3, 3)).astype(np.float16)
    stored = net.constant("w16", weight)
    wide = net.op("DEQUANTIZE", [stored], "w32", list(weight.shape), like="DequantizeOptions")
    inputs = [x, wide, net.weight("b", 8)]
    options = {"strideH": 1, "strideW": 1}
    maps = net.op("CONV_2D", inputs, "maps", [1, 4, 4, 8], like="Conv2DOptions", **options)
    net.graph.tensors[wide].shapeSignature = None
    return net.head(maps, 8)


def scaled(net: Net) -> int:
    """Batch normalisation as MUL and ADD, PRELU, padding, pooling, squeeze and excite."""
    maps = net.conv(net.input("x", 1, 8, 8, 3), "stem", 8, stride=2)
    maps = net.op("MUL", [maps, net.weight("scale", 8)], "mul", [1, 4, 4, 8], like="MulOptions")
    maps = net.op("ADD", [maps, net.weight("shift", 8)], "add", [1, 4, 4, 8], like="AddOptions")
    slope = net.weight("slope", 1, 1, 8)
    maps = net.op("PRELU", [maps, slope], "prelu", [1, 4, 4, 8])
    amounts = net.constant("pad", [[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    maps = net.op("PAD", [maps, amounts], "padded", [1, 6, 6, 8], like="PadOptions")
    pool = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    maps = net.op("MAX_POOL_2D", [maps], "pool", [1, 3, 3, 8], like="Pool2DOptions", **pool)
    axes = net.constant("axes", [1, 2], np.int32)
    mean = net.op("MEAN", [maps, axes], "mean", [1, 1, 1, 8], like="ReducerOptions", keepDims=True)
    gate = net.conv(net.conv(mean, "down", 4, size=1), "up", 8, size=1)
    gate = net.op("LOGISTIC", [gate], "gate", [1, 1, 1, 8])
    maps = net.op("MUL", [maps, gate], "gated", [1, 3, 3, 8], like="MulOptions")
    size = net.constant("size", [6, 6], np.int32)
    maps = net.op(
        "RESIZE_BILINEAR", [maps, size], "large", [1, 6, 6, 8], like="ResizeBilinearOptions"
    )
    return net.head(maps, 8)


def attention(net: Net, heads: int = 4, width: int = 8, tokens: int = 5) -> int:
    """Self-attention with the heads in an axis of their own."""
    x, all_ = net.input("x", 1, tokens, width), heads * width
    shape = net.constant("heads", [1, tokens, heads, width], np.int32)
    perm = net.constant("perm", [0, 2, 1, 3], np.int32)
    sides = []
    for name in ("q", "k", "v"):
        wide = net.linear(x, name, width, [1, tokens, all_], keepNumDims=True)
        apart = net.op("RESHAPE", [wide, shape], f"{name}.apart", [1, tokens, heads, width])
        moved = [1, heads, tokens, width]
        sides.append(net.op("TRANSPOSE", [apart, perm], f"{name}.moved", moved))
    like, square = "BatchMatMulOptions", [1, heads, tokens, tokens]
    scores = net.op("BATCH_MATMUL", sides[:2], "scores", square, like=like, adjY=True)
    shares = net.op("SOFTMAX", [scores], "shares", square, like="SoftmaxOptions", beta=1.0)
    moved = [1, heads, tokens, width]
    mixed = net.op("BATCH_MATMUL", [shares, sides[2]], "mixed", moved, like=like)
    back = net.op("TRANSPOSE", [mixed, perm], "back", [1, tokens, heads, width])
    rows = net.constant("rows", [1, tokens, all_], np.int32)
    joined = net.op("RESHAPE", [back, rows], "joined", [1, tokens, all_])
    return net.linear(joined, "y", all_, [1, tokens, 4], keepNumDims=True)


NETS: tuple[Callable[[Net], int], ...] = (
    *(residual, concatenated, depthwise, depthwise_of_one, reshaped, reshaped_by_option),
    *(flattened_by_layer, packed_shape, split, split_v, transposed, sliced, every_other, gathered),
    *(gathered_one, squeezed, transposed_convolution, grouped, multiplied, half_precision, scaled),
)
