"""Small pruned TFLite networks, and what LiteRT 2.3.0 was seen to do with their sparse weights.

Seen on x86 with AVX hidden (qemu-x86_64 -cpu Nehalem): the kernels in LiteRT's profile, and the
outputs beside those of the same weights stored densely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from tests.unit.tflite_builder import Net

Seen = Literal["sparse", "dense", "wrong"]  # sparse kernels, none, or wrong values or no loading
Tail = Callable[[Net, int], int]


def sparse(net: Net, name: str, *shape: int, zeros: float = 0.9, dtype: Any = np.float32) -> int:
    """Add random weights, of which a share is zero."""
    values = net.random.standard_normal(shape) / np.sqrt(max(1.0, shape[-1] * (1 - zeros)))
    values[net.random.random(shape) < zeros] = 0
    return net.constant(name, values.astype(dtype))


def sizes(net: Net, index: int) -> list[int]:
    return [int(size) for size in net.graph.tensors[index].shape]


def pad(net: Net, source: int, name: str, amount: int = 1) -> int:
    batch, height, width, channels = sizes(net, source)
    by = net.constant(f"{name}.by", [[0, 0], [amount] * 2, [amount] * 2, [0, 0]], np.int32)
    shape = [batch, height + 2 * amount, width + 2 * amount, channels]
    return net.op("PAD", [source, by], name, shape, like="PadOptions")


def stem(
    net: Net, kernel: int = 3, stride: int = 2, channels: int = 3, explicit: bool = True
) -> int:
    """Begin the network, by default as the sparse kernels want it."""
    x = net.input("x", 1, 32, 32, channels)
    read = pad(net, x, "pad", kernel // 2) if explicit else x
    weight = net.weight("stem.w", 16, kernel, kernel, channels)
    options = {"strideH": stride, "strideW": stride, "padding": int(explicit)}
    shape = [1, 32 // stride, 32 // stride, 16]
    inputs = [read, weight, net.weight("stem.b", 16)]
    return net.op(
        "CONV_2D", inputs, "stem", shape, like="Conv2DOptions", fusedActivationFunction=1, **options
    )


def pointwise(
    net: Net, source: int, name: str, out: int = 64, zeros: float = 0.9, stride: int = 1
) -> int:
    batch, height, width, channels = sizes(net, source)
    weight = sparse(net, f"{name}.w", out, 1, 1, channels, zeros=zeros)
    options = {"strideH": stride, "strideW": stride, "fusedActivationFunction": 1}
    shape = [batch, -(-height // stride), -(-width // stride), out]
    inputs = [source, weight, net.weight(f"{name}.b", out)]
    return net.op("CONV_2D", inputs, name, shape, like="Conv2DOptions", **options)


def strided(net: Net, source: int, explicit: bool) -> int:
    """Add a depthwise convolution with stride 2."""
    batch, height, width, channels = sizes(net, source)
    read = pad(net, source, "dw2.pad") if explicit else source
    weight = (net.random.standard_normal((1, 3, 3, channels)) / 3).astype(np.float32)
    inputs = [read, net.constant("dw2.w", weight), net.weight("dw2.b", channels)]
    options = {"strideH": 2, "strideW": 2, "depthMultiplier": 1, "padding": int(explicit)}
    shape = [batch, height // 2, width // 2, channels]
    return net.op(
        "DEPTHWISE_CONV_2D", inputs, "dw2", shape, like="DepthwiseConv2DOptions", **options
    )


def body(net: Net, begin: int | None = None, zeros: float = 0.9) -> int:
    begin = stem(net) if begin is None else begin
    return pointwise(net, net.depthwise(begin, "dw"), "pw", zeros=zeros)


def mean(net: Net, source: int, code: str = "MEAN", keep: bool = False, name: str = "pool") -> int:
    channels = sizes(net, source)[3]
    axes = net.constant(f"{name}.axes", [1, 2], np.int32)
    shape = [1, 1, 1, channels] if keep else [1, channels]
    return net.op(code, [source, axes], name, shape, like="ReducerOptions", keepDims=keep)


def classes(net: Net, source: int, width: int = 64) -> int:
    return net.linear(source, "y", width, [1, 10])


def softmax(net: Net, source: int) -> int:
    return net.op("SOFTMAX", [source], "p", sizes(net, source), like="SoftmaxOptions", beta=1.0)


def flat(net: Net, source: int) -> int:
    count = int(np.prod(sizes(net, source)))
    shape = net.constant("flat.shape", [1, count], np.int32)
    return net.op("RESHAPE", [source, shape], "flat", [1, count])


def joined(net: Net, source: int) -> int:
    """Concatenate two branches and end in a mean."""
    parts = [pointwise(net, source, name, 32) for name in ("a", "b")]
    shape = [*sizes(net, source)[:3], 64]
    wide = net.op("CONCATENATION", parts, "cat", shape, like="ConcatenationOptions", axis=3)
    return mean(net, pointwise(net, wide, "last"))


def binary(net: Net, code: str, left: int, right: int, like: str) -> int:
    shape = sizes(net, left if len(sizes(net, left)) == 4 else right)
    return net.op(code, [left, right], code.lower(), [1, 16, 16, shape[3]], like=like)


def excited(net: Net, source: int) -> int:
    """Squeeze and excite: a mean in the middle of the cluster."""
    gate = pointwise(net, mean(net, source, keep=True, name="squeeze"), "down", 16)
    gate = pointwise(net, gate, "up")
    gate = net.op("LOGISTIC", [gate], "gate", [1, 1, 1, 64])
    return mean(net, binary(net, "MUL", source, gate, "MulOptions"))


def pooled_inside(net: Net, source: int) -> int:
    window = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    small = net.op(
        "MAX_POOL_2D", [source], "max", [1, 8, 8, 64], like="Pool2DOptions", padding=1, **window
    )
    return mean(net, pointwise(net, small, "last"))


def half_stored(net: Net) -> int:
    """Weights in float16, made dense and then wide."""
    narrow = sparse(net, "w16", 64, 1, 1, 16, dtype=np.float16)
    wide = net.op("DEQUANTIZE", [narrow], "w32", [64, 1, 1, 16], like="DequantizeOptions")
    net.graph.tensors[wide].shapeSignature = None
    inputs = [net.depthwise(stem(net), "dw"), wide, net.weight("pw.b", 64)]
    options = {"strideH": 1, "strideW": 1}
    maps = net.op("CONV_2D", inputs, "pw", [1, 16, 16, 64], like="Conv2DOptions", **options)
    return classes(net, mean(net, maps))


def after(tail: Tail, zeros: float = 0.9) -> Callable[[Net], int]:
    return lambda net: tail(net, body(net, zeros=zeros))


def beginning(**how: Any) -> Callable[[Net], int]:
    return lambda net: classes(net, mean(net, body(net, stem(net, **how))))


NETS: Mapping[str, tuple[Callable[[Net], int], Seen]] = {
    "mean": (after(mean), "sparse"),
    "mean and linear": (after(lambda net, at: classes(net, mean(net, at))), "sparse"),
    "mean and softmax": (after(lambda net, at: softmax(net, mean(net, at))), "sparse"),
    "sum": (after(lambda net, at: mean(net, at, "SUM")), "sparse"),
    "maximum": (after(lambda net, at: mean(net, at, "REDUCE_MAX")), "dense"),
    "kept mean, flattened": (after(lambda net, at: flat(net, mean(net, at, keep=True))), "sparse"),
    "kept mean, linear": (after(lambda net, at: classes(net, mean(net, at, keep=True))), "sparse"),
    "kept mean": (after(lambda net, at: mean(net, at, keep=True)), "wrong"),
    "kept mean, softmax": (after(lambda net, at: softmax(net, mean(net, at, keep=True))), "wrong"),
    "kept mean, 1x1": (
        after(lambda net, at: pointwise(net, mean(net, at, keep=True), "y", 10)),
        "wrong",
    ),
    "flattened": (after(lambda net, at: classes(net, flat(net, at), 64 * 256)), "dense"),
    "to space": (
        after(
            lambda net, at: net.op(
                "DEPTH_TO_SPACE",
                [at],
                "y",
                [1, 32, 32, 16],
                like="DepthToSpaceOptions",
                blockSize=2,
            )
        ),
        "sparse",
    ),
    "stem SAME": (beginning(explicit=False), "dense"),
    "stem stride 1": (beginning(stride=1), "dense"),
    "stem 1 channel": (beginning(channels=1), "dense"),
    "stem 5x5": (beginning(kernel=5), "dense"),
    "72% zeros": (after(mean, 0.72), "sparse"),
    "60% zeros": (after(mean, 0.6), "dense"),
    "stride 2, explicit": (
        after(lambda net, at: mean(net, pointwise(net, strided(net, at, True), "last"))),
        "sparse",
    ),
    "stride 2, SAME": (
        after(lambda net, at: mean(net, pointwise(net, strided(net, at, False), "last"))),
        "wrong",
    ),
    "1x1 stride 2": (
        after(lambda net, at: mean(net, pointwise(net, pointwise(net, at, "s", stride=2), "last"))),
        "wrong",
    ),
    "3x3 inside": (
        after(lambda net, at: mean(net, pointwise(net, net.conv(at, "c", 64), "last"))),
        "wrong",
    ),
    "max pool inside": (after(pooled_inside), "wrong"),
    "concatenation": (after(joined), "wrong"),
    "residual": (
        after(
            lambda net, at: mean(
                net, binary(net, "ADD", at, pointwise(net, at, "side"), "AddOptions")
            )
        ),
        "sparse",
    ),
    "constant second": (
        after(
            lambda net, at: mean(
                net, binary(net, "MUL", at, net.weight("k", 1, 1, 1, 64), "MulOptions")
            )
        ),
        "dense",
    ),
    "constant first": (
        after(
            lambda net, at: mean(
                net, binary(net, "ADD", net.weight("k", 1, 1, 1, 64), at, "AddOptions")
            )
        ),
        "sparse",
    ),
    "excited": (after(excited), "sparse"),
    "half": (half_stored, "sparse"),
}
