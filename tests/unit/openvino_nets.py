"""OpenVINO networks that have, between them, the operators that pruning has rules for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino import opset15


class Net:
    """A network under construction: NCHW, with a free batch."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.parameters: list[Any] = []

    def input(self, *shape: int, name: str = "x") -> Any:
        """Add an input."""
        parameter = ops.parameter([-1, *shape], np.float32, name=name)
        parameter.output(0).get_tensor().set_names({name})
        self.parameters.append(parameter)
        return parameter

    def weight(self, name: str, *shape: int, fan_in: int | None = None) -> Any:
        """Add a constant of random weights, of which sums stay of the order of 1."""
        count = fan_in or max(1, int(np.prod(shape[1:])))
        values = self.random.standard_normal(shape) / np.sqrt(count)
        return named(ops.constant(values.astype(np.float32)), name)

    def conv(self, source: Any, name: str, out: int, *, size: int = 3, stride: int = 1) -> Any:
        """Add a convolution with bias and ReLU."""
        channels = _tensor(source).get_partial_shape()[1].get_length()
        weight, steps = self.weight(f"{name}.w", out, channels, size, size), [stride, stride]
        pads = [size // 2, size // 2]
        made = named(ops.convolution(source, weight, steps, pads, pads, [1, 1]), name)
        return ops.relu(ops.add(made, self.weight(f"{name}.b", 1, out, 1, 1, fan_in=1)))

    def grouped(self, source: Any, name: str, groups: int, out: int, into: int) -> Any:
        """Add a grouped 3x3 convolution of `out` outputs and `into` inputs a group."""
        weight = self.weight(f"{name}.w", groups, out, into, 3, 3, fan_in=9 * into)
        made = ops.group_convolution(source, weight, [1, 1], [1, 1], [1, 1], [1, 1])
        return named(made, name)

    def linear(self, source: Any, name: str, inputs: int, out: int) -> Any:
        """Add a matrix product with bias."""
        made = ops.matmul(source, self.weight(f"{name}.w", out, inputs), False, True)
        return ops.add(named(made, name), self.weight(f"{name}.b", 1, out, fan_in=1))

    def head(self, source: Any, channels: int, name: str = "y") -> Any:
        """Add the mean over space and a linear layer."""
        pooled = ops.reduce_mean(source, ints(2, 3), False)
        return self.linear(pooled, name, channels, 4)

    def save(self, path: Path, *outputs: Any, half: bool = False) -> Path:
        """Write the IR."""
        model = ov.Model([ops.result(output) for output in outputs], self.parameters, "test")
        ov.save_model(model, path, compress_to_fp16=half)
        return path


def _tensor(source: Any) -> Any:
    return source if isinstance(source, ov.Output) else source.output(0)


def named(op: Any, name: str) -> Any:
    """Give an operator a name."""
    op.set_friendly_name(name)
    return op


def ints(*numbers: int) -> Any:
    """Make a constant list."""
    return ops.constant(np.array(numbers, np.int64))


def residual(net: Net) -> Any:
    stem = net.conv(net.input(3, 8, 8), "stem", 8)
    block = net.conv(net.conv(stem, "one", 6), "two", 8)
    return net.head(ops.add(stem, block), 8)


def concatenated(net: Net) -> Any:
    x = net.input(3, 8, 8)
    joined = ops.concat([net.conv(x, "a", 6), x, net.conv(x, "b", 4)], -3)
    return net.head(net.conv(joined, "c", 5), 5)


def depthwise(net: Net) -> Any:
    """Two outputs for each channel of a depthwise convolution."""
    stem = net.conv(net.input(3, 8, 8), "stem", 6)
    return net.head(net.conv(net.grouped(stem, "dw", 6, 2, 1), "pw", 5, size=1), 5)


def grouped(net: Net) -> Any:
    stem = net.conv(net.input(3, 8, 8), "stem", 12)
    return net.head(net.conv(net.grouped(stem, "groups", 3, 2, 4), "last", 5), 5)


def one_group(net: Net) -> Any:
    stem = net.conv(net.input(3, 8, 8), "stem", 4)
    return net.head(net.grouped(stem, "group", 1, 6, 4), 6)


def flattened(net: Net) -> Any:
    """Each channel is sixteen consecutive inputs of the linear layer."""
    maps = net.conv(net.input(3, 4, 4), "stem", 8)
    flat = ops.reshape(maps, ints(0, -1), True)
    return net.linear(ops.relu(net.linear(flat, "hidden", 128, 8)), "y", 8, 4)


def stated(net: Net) -> Any:
    """A reshape that states all sizes, of channels last."""
    maps = ops.transpose(net.conv(net.input(3, 4, 4), "stem", 8), ints(0, 2, 3, 1))
    rows = ops.reshape(maps, ints(-1, 16, 8), False)
    return net.linear(ops.reshape(rows, ints(-1, 128), False), "y", 128, 4)


def computed_shape(net: Net) -> Any:
    """A reshape whose shape is computed from the batch."""
    maps = net.conv(net.input(3, 4, 4), "stem", 8)
    batch = ops.gather(ops.shape_of(maps), ints(0), ops.constant(np.int64(0)))
    shape = ops.concat([batch, ints(128)], 0)
    return net.linear(ops.reshape(maps, shape, False), "y", 128, 4)


def split(net: Net) -> Any:
    maps = net.conv(net.input(3, 8, 8), "stem", 16)
    parts = named(ops.split(maps, ops.constant(np.int64(1)), 2), "parts")
    mixed = [net.conv(parts.output(at), f"conv{at}", 4) for at in range(2)]
    return net.head(ops.add(*mixed), 4)


def variadic_split(net: Net) -> Any:
    maps = net.conv(net.input(3, 8, 8), "stem", 16)
    parts = named(ops.variadic_split(maps, ops.constant(np.int64(1)), ints(10, -1)), "parts")
    mixed = [net.conv(parts.output(at), f"conv{at}", 4) for at in range(2)]
    return net.head(ops.add(*mixed), 4)


def sliced(net: Net) -> Any:
    """Some of the channels, one corner of the picture, and every other channel backwards."""
    maps = net.conv(net.input(3, 8, 8), "stem", 12)
    some = ops.slice(maps, ints(4), ints(10), ints(1), ints(1))
    masks = [1, 0, 1, 1]
    corner = ops.strided_slice(
        maps, ints(0, 0, 1, 1), ints(0, 5, 5, 5), ints(1, 1, 1, 1), [1, 1, 0, 0], [1, 1, 0, 0]
    )
    other = ops.strided_slice(
        maps, ints(0, -1, 0, 0), ints(0, 0, 0, 0), ints(1, -2, 1, 1), masks, [1, 1, 1, 1]
    )
    return ops.add(
        ops.add(net.head(some, 6, "some"), net.head(corner, 12, "corner")),
        net.head(other, 6, "other"),
    )


def gathered(net: Net) -> Any:
    maps = net.conv(net.input(3, 8, 8), "stem", 8)
    picked = ops.gather(maps, ints(7, 0, -3, 2, 2, 1, 3, 4, 6), ops.constant(np.int64(1)))
    return net.head(picked, 9)


def first_token(net: Net) -> Any:
    """One token of a sequence is all that the rest of the network reads."""
    hidden = ops.gelu(net.linear(net.input(5, 6), "hidden", 6, 8), "erf")
    first = ops.gather(hidden, ops.constant(np.int64(0)), ops.constant(np.int64(1)))
    return net.linear(first, "y", 8, 4)


def squeezed(net: Net) -> Any:
    """A squeeze that names no axes would drop a channel axis of which one channel is left."""
    maps = net.conv(net.input(3, 1, 4), "stem", 8)
    maps = ops.reshape(ops.reduce_mean(maps, ints(0), True), ints(1, 8, 1, 4), False)
    gone = named(opset15.squeeze(maps), "squeeze")
    return net.linear(ops.transpose(gone, ints(1, 0)), "y", 8, 4)


def transposed_convolution(net: Net) -> Any:
    maps = net.conv(net.input(3, 4, 4), "stem", 8)
    weight = net.weight("up.w", 8, 6, 3, 3)
    up = named(ops.convolution_backprop_data(maps, weight, [2, 2]), "up")
    grouped = net.weight("groups.w", 3, 2, 2, 3, 3)
    return net.head(ops.group_convolution_backprop_data(up, grouped, [2, 2]), 6)


def multiplied(net: Net) -> Any:
    """Hidden layers as products with either side constant."""
    x = net.input(5, 6)
    wide = ops.gelu(ops.matmul(x, net.weight("w", 6, 8), False, False), "erf")
    mixed = ops.relu(ops.matmul(net.weight("v", 7, 5), wide, False, False))
    narrow = ops.matmul(net.weight("u", 7, 5), mixed, True, False)
    return ops.matmul(narrow, net.weight("z", 1, 4, 8), False, True)


def normalised(net: Net) -> Any:
    """Batch normalisation, PReLU, pools, padding, squeeze and excite, resizing, normalisations."""
    maps = net.conv(net.input(3, 8, 8), "stem", 8, stride=2)
    spread = ops.constant(np.abs(net.random.standard_normal(8)).astype(np.float32) + 0.5)
    scales = [net.weight(name, 8, fan_in=1) for name in ("gamma", "beta", "mean")]
    maps = ops.batch_norm_inference(maps, *scales, spread, 1e-5)
    maps = ops.prelu(maps, net.weight("slope", 8, fan_in=1))
    maps = ops.pad(maps, [0, 0, 1, 1], [0, 0, 1, 1], "constant")
    maps = ops.max_pool(maps, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    gate = net.conv(net.conv(ops.reduce_mean(maps, ints(2, 3), True), "down", 4), "up", 8)
    maps = ops.multiply(maps, ops.sigmoid(gate))
    maps = ops.interpolate(maps, ints(6, 6), "nearest", "sizes", axes=ints(2, 3))
    maps = ops.avg_pool(ops.clamp(maps, 0.0, 6.0), [1, 1], [0, 0], [0, 0], [2, 2], False)
    maps = ops.mvn(maps, ints(2, 3), True, 1e-3, "inside_sqrt")
    return ops.softmax(
        net.linear(ops.reduce_max(ops.hswish(maps), ints(2, 3), False), "y", 8, 4), 1
    )


def resized(net: Net) -> Any:
    """A resize that states the sizes of all axes, channels too."""
    maps = net.conv(ops.reshape(net.input(3, 4, 4), ints(1, 3, 4, 4), False), "stem", 8)
    options = {"axes": ints(0, 1, 2, 3)}
    large = ops.interpolate(maps, ints(1, 8, 8, 8), "nearest", "sizes", **options)
    return net.head(large, 8)


def fused_attention(net: Net, heads: int = 4, width: int = 8, tokens: int = 5) -> Any:
    """The same in one operator, with a mask, as the converter writes it."""
    x, whole = net.input(tokens, width), heads * width
    sides = []
    for name in ("q", "k", "v"):
        flat = net.linear(x, name, width, whole)
        apart = named(ops.reshape(flat, ints(0, 0, heads, -1), True), f"{name}.apart")
        sides.append(ops.transpose(apart, ints(0, 2, 1, 3)))
    mask = ops.constant(np.triu(np.full((tokens, tokens), -1e4, np.float32), 1))
    mixed = named(ops.scaled_dot_product_attention(*sides, mask), "attention")
    back = ops.transpose(mixed, ints(0, 2, 1, 3))
    return net.linear(ops.reshape(back, ints(0, 0, -1), True), "y", whole, 4)


def attention(net: Net, heads: int = 4, width: int = 8, tokens: int = 5) -> Any:
    """Self-attention with the heads in an axis of their own."""
    x, whole = net.input(tokens, width), heads * width
    sides = []
    for name in ("q", "k", "v"):
        apart = ops.reshape(
            net.linear(x, name, width, whole), ints(-1, tokens, heads, width), False
        )
        sides.append(ops.transpose(named(apart, f"{name}.apart"), ints(0, 2, 1, 3)))
    shares = ops.softmax(ops.matmul(sides[0], sides[1], False, True), -1)
    back = ops.transpose(ops.matmul(shares, sides[2], False, False), ints(0, 2, 1, 3))
    return net.linear(ops.reshape(back, ints(0, 0, whole), True), "y", whole, 4)


NETS: tuple[Callable[[Net], Any], ...] = (
    *(residual, concatenated, depthwise, grouped, one_group, flattened, stated, computed_shape),
    *(split, variadic_split, sliced, gathered, first_token, squeezed, transposed_convolution),
    *(multiplied, normalised, resized),
)
