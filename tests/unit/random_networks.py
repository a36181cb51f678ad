"""Random small ONNX networks, made of the blocks that real ones are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
SIZE = 6  # height and width of the input
CLASSES = 5


def samples(seed: int, count: int) -> npt.NDArray[np.float32]:
    """Draw inputs of the networks, large enough to move what comes after many activations."""
    shape = (count, 3, SIZE, SIZE)
    return (4 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def write(seed: int, path: Path) -> None:
    """Write the network of a seed; its batch is free or 1."""
    random = np.random.default_rng(seed)
    net = RandomNetwork(random)
    last = net.conv("x", int(random.integers(4, 20)))
    for _ in range(int(random.integers(2, 5))):
        last = BLOCKS[int(random.integers(len(BLOCKS)))](net, last)
    last = _plain(net, last)  # whatever came before, something can go
    net.end(TAILS[int(random.integers(len(TAILS)))](net, last))
    net.save(path, batch=[None, 1][seed % 2])


class RandomNetwork:
    """A network under construction; images are [batch, channels, height, width]."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.channels = {"x": 3}
        self.size = {"x": SIZE}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.outputs: list[str] = []

    def op(
        self, kind: str, inputs: list[str], *, outputs: int = 1, like: str = "", **attributes: Any
    ) -> str:
        """Add a node; `like` names the tensor whose size and channels its first output has."""
        name = f"{kind}_{len(self.nodes)}"
        made = [f"{name}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, made, name, **attributes))
        if like:
            self.note(made[0], self.channels[like], self.size[like])
        return made[0]

    def note(self, tensor: str, channels: int, size: int) -> str:
        """Remember the channels and the size of an image."""
        self.channels[tensor], self.size[tensor] = channels, size
        return tensor

    def weight(self, *shape: int, fan_in: int) -> str:
        """Add a weight; values grow a little on their way, as half of them will be removed."""
        return self.constant(self.random.standard_normal(shape) * np.sqrt(4 / fan_in))

    def near(self, mean: float, *shape: int) -> str:
        """Add a constant of values around `mean`."""
        return self.constant(mean + 0.3 * self.random.standard_normal(shape))

    def constant(self, values: Any) -> str:
        """Add a constant; what is not integer becomes float32."""
        values = np.asarray(values)
        name = f"c{len(self.constants)}"
        integer = np.issubdtype(values.dtype, np.integer)
        self.constants[name] = values.astype(np.int64 if integer else np.float32)
        return name

    def maybe(self) -> bool:
        """Toss a coin."""
        return bool(self.random.integers(2))

    def conv(
        self, source: str, channels: int, *, kernel: int = 3, groups: int = 1, weight: str = ""
    ) -> str:
        """Add a convolution that keeps the size, perhaps with a bias, BatchNorm, an activation."""
        fan_in = self.channels[source] // groups
        shape = (channels, fan_in, kernel, kernel)
        weight = weight or self.weight(*shape, fan_in=fan_in * kernel**2)
        inputs = [source, weight, *([self.near(0, channels)] if self.maybe() else [])]
        last = self.op("Conv", inputs, pads=[kernel // 2] * 4, group=groups)
        self.note(last, channels, self.size[source])
        if self.maybe():
            last = self.normalised(last)
        return self.activated(last)

    def normalised(self, source: str) -> str:
        """Add a BatchNormalization."""
        count = self.channels[source]
        scale, bias, mean = self.near(1, count), self.near(0.2, count), self.near(0.1, count)
        variance = self.constant(0.5 + self.random.random(count))
        return self.op("BatchNormalization", [source, scale, bias, mean, variance], like=source)

    def activated(self, source: str) -> str:
        """Add an activation or none."""
        kind = str(self.random.choice(["", "Relu", "Clip", "Softplus", "HardSwish", "PRelu"]))
        if kind == "Clip":
            return self.op(kind, [source, self.constant(-0.5), self.constant(6.0)], like=source)
        if kind == "PRelu":
            return self.op(kind, [source, self.near(0.2, self.channels[source], 1, 1)], like=source)
        return self.op(kind, [source], like=source) if kind else source

    def linear(self, source: str, inputs: int, outputs: int, *, gemm: bool = False) -> str:
        """Add a linear layer: Gemm for [batch, inputs], else MatMul and perhaps Add."""
        if gemm:
            weight = self.weight(outputs, inputs, fan_in=inputs)
            return self.op("Gemm", [source, weight, self.near(0, outputs)], transB=1)
        last = self.op("MatMul", [source, self.weight(inputs, outputs, fan_in=inputs)])
        return self.op("Add", [last, self.near(0, outputs)]) if self.maybe() else last

    def end(self, output: str) -> None:
        """Make a tensor [batch, CLASSES] the network's output."""
        self.outputs.append(output)

    def save(self, path: Path, batch: int | None) -> None:
        """Write the file."""
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch or "n", *shape])
            for name, shape in [("x", (3, SIZE, SIZE)), *((o, (CLASSES,)) for o in self.outputs)]
        ]
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "random", ports[:1], ports[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


Block = Callable[[RandomNetwork, str], str]


def _plain(net: RandomNetwork, source: str) -> str:
    return net.conv(source, int(net.random.integers(4, 24)), kernel=int(net.random.choice([1, 3])))


def _residual(net: RandomNetwork, source: str) -> str:
    inner = net.conv(source, int(net.random.integers(4, 12)))
    outer = net.conv(inner, net.channels[source])
    return net.activated(net.op("Add", [outer, source], like=source))


def _projected(net: RandomNetwork, source: str) -> str:
    width = int(net.random.integers(4, 20))
    left, right = net.conv(source, width), net.conv(source, width, kernel=1)
    return net.op(str(net.random.choice(["Add", "Sub", "Mul", "Max"])), [left, right], like=left)


def _dense(net: RandomNetwork, source: str) -> str:
    grown = net.conv(source, int(net.random.integers(4, 9)))
    joined = net.op("Concat", [source, grown], axis=1)
    return net.note(joined, net.channels[source] + net.channels[grown], net.size[source])


def _parted(net: RandomNetwork, source: str) -> str:
    """Split the channels, treat one part, join them again."""
    count, size = net.channels[source], net.size[source]
    first = int(net.random.integers(1, count))
    sizes = net.constant([first, count - first])
    left = net.note(net.op("Split", [source, sizes], outputs=2, axis=1), first, size)
    right = net.note(left[:-1] + "1", count - first, size)
    treated = net.conv(right, int(net.random.integers(4, 9)))
    joined = net.op("Concat", [treated, left] if net.maybe() else [left, treated], axis=1)
    return net.note(joined, first + net.channels[treated], size)


def _sliced(net: RandomNetwork, source: str) -> str:
    step = int(net.random.integers(1, 3))
    bounds = [net.constant([value]) for value in (1, net.channels[source], 1, step)]
    last = net.op("Slice", [source, *bounds])
    return net.note(last, len(range(1, net.channels[source], step)), net.size[source])


def _depthwise(net: RandomNetwork, source: str) -> str:
    count = net.channels[source]
    deep = net.conv(source, count * int(net.random.integers(1, 3)), groups=count)
    return net.conv(deep, int(net.random.integers(4, 16)), kernel=1)


def _grouped(net: RandomNetwork, source: str) -> str:
    groups = int(net.random.choice([2, 3, 4]))
    wide = net.conv(source, groups * int(net.random.integers(2, 6)))
    return net.conv(wide, groups * int(net.random.integers(2, 6)), groups=groups)


def _squeezed(net: RandomNetwork, source: str) -> str:
    """Squeeze and excite, with convolutions or with linear layers."""
    count, inner = net.channels[source], int(net.random.integers(2, 6))
    pooled = net.note(net.op("GlobalAveragePool", [source]), count, 1)
    if net.maybe():
        gate = net.conv(net.conv(pooled, inner, kernel=1), count, kernel=1)
    else:
        flat = net.op("Flatten", [pooled])
        hidden = net.op("LeakyRelu", [net.linear(flat, count, inner, gemm=True)])
        gate = net.linear(hidden, inner, count, gemm=True)
        gate = net.op("Reshape", [gate, net.constant([-1, count, 1, 1])])
    gate = net.op("Sigmoid", [net.op("Mul", [gate, net.constant(0.05)])])  # else 0 or 1
    return net.op("Mul", [gate, source], like=source)


def _normalised(net: RandomNetwork, source: str) -> str:
    count = net.channels[source]
    scale, bias = net.near(1, count), net.near(0.2, count)
    normal = net.op("InstanceNormalization", [source, scale, bias])
    # Alone it would make the mean over the positions the same for every input.
    return net.op(
        "Add", [net.activated(net.note(normal, count, net.size[source])), source], like=source
    )


def _shuffled(net: RandomNetwork, source: str) -> str:
    groups, each, size = 2, int(net.random.integers(3, 9)), net.size[source]
    wide = net.conv(source, groups * each)
    apart = net.op("Reshape", [wide, net.constant([-1, groups, each, size, size])])
    crossed = net.op("Transpose", [apart], perm=[0, 2, 1, 3, 4])
    again = net.op("Reshape", [crossed, net.constant([-1, groups * each, size, size])])
    return net.note(again, groups * each, size)


def _resized(net: RandomNetwork, source: str) -> str:
    count, size = net.channels[source], net.size[source]
    if size < 4:
        last = net.op("Resize", [source, "", net.constant([1.0, 1.0, 2.0, 2.0])], mode="nearest")
        return net.note(last, count, size * 2)
    if net.maybe():
        last = net.op("Pad", [source, net.constant([0, 0, 1, 1, 0, 0, 0, 0]), net.constant(0.3)])
        return net.note(last, count, size + 1)
    kind = str(net.random.choice(["MaxPool", "AveragePool"]))
    last = net.op(kind, [source], kernel_shape=[2, 2], strides=[2, 2])
    return net.note(last, count, size // 2)


def _scaled(net: RandomNetwork, source: str) -> str:
    count = net.channels[source]
    shifted = net.op("Div", [source, net.near(2, 1, count, 1, 1)], like=source)
    # One value for all channels: broadcast, so it holds none of them.
    single = net.op("ReduceMean", [net.conv(source, 1)], axes=[2, 3], keepdims=1)
    return net.op("Add", [shifted, single], like=source)


def _mixed(net: RandomNetwork, source: str) -> str:
    """Mix the channels other than through weights, so that they must all stay."""
    if net.maybe():
        shares = net.op("Softmax", [source], axis=1)
        return net.op("Mul", [shares, net.constant(float(net.channels[source]))], like=source)
    norm = net.op("ReduceL2", [source], axes=[1], keepdims=1)
    norm = net.op("Add", [norm, net.constant(0.1)])
    return net.op("Div", [source, norm], like=source)


def _shared(net: RandomNetwork, source: str) -> str:
    """Use one weight twice."""
    wide = net.conv(source, 8)
    weight = net.weight(8, 8, 3, 3, fan_in=72)
    return net.conv(net.conv(wide, 8, weight=weight), 8, weight=weight)


def _transposed(net: RandomNetwork, source: str) -> str:
    width, size = int(net.random.integers(4, 12)), net.size[source]
    weight = net.weight(net.channels[source], width, 2, 2, fan_in=net.channels[source])
    last = net.op("ConvTranspose", [source, weight, net.near(0, width)], strides=[1, 1])
    return net.activated(net.note(last, width, size + 1))


def _attention(net: RandomNetwork, source: str) -> str:
    """Attend over the positions of the image and return an image."""
    heads, depth = ((1, 8), (2, 3), (3, 2), (4, 3))[int(net.random.integers(4))]
    size, width = net.size[source], heads * depth
    image = net.conv(source, width)
    tokens = _tokens(net, image)
    q, k, v = _parts_of_attention(net, tokens, heads, depth, size * size)
    scores = net.op("MatMul", [q, net.op("Transpose", [k], perm=[0, 1, 3, 2])])
    weights = net.op("Softmax", [net.op("Mul", [scores, net.constant(depth**-0.5)])], axis=-1)
    mixed = net.op("Transpose", [net.op("MatMul", [weights, v])], perm=[0, 2, 1, 3])
    joined = net.op("Reshape", [mixed, net.constant([-1, size * size, width])])
    last = net.op("Add", [net.linear(joined, width, width), tokens])
    last = net.op("LayerNormalization", [last, net.near(1, width), net.near(0, width)], axis=-1)
    hidden = net.op("Tanh", [net.linear(last, width, 2 * width)])
    last = net.op("Add", [net.linear(hidden, 2 * width, width), last])
    crossed = net.op("Transpose", [last], perm=[0, 2, 1])
    image = net.op("Reshape", [crossed, net.constant([-1, width, size, size])])
    return net.note(image, width, size)


def _tokens(net: RandomNetwork, image: str) -> str:
    count, size = net.channels[image], net.size[image]
    flat = net.op("Reshape", [image, net.constant([-1, count, size * size])])
    return net.op("Transpose", [flat], perm=[0, 2, 1])


def _parts_of_attention(
    net: RandomNetwork, tokens: str, heads: int, depth: int, length: int
) -> tuple[str, str, str]:
    """Make query, key and value as [batch, heads, length, depth], by three layers or by one."""
    width = heads * depth
    if net.maybe():
        made = []
        for _ in range(3):
            part = net.linear(tokens, width, width)
            part = net.op("Reshape", [part, net.constant([-1, length, heads, depth])])
            made.append(net.op("Transpose", [part], perm=[0, 2, 1, 3]))
        return made[0], made[1], made[2]
    fused = net.linear(tokens, width, 3 * width)
    fused = net.op("Reshape", [fused, net.constant([-1, length, 3, heads, depth])])
    fused = net.op("Transpose", [fused], perm=[2, 0, 3, 1, 4])
    q, k, v = (net.op("Gather", [fused, net.constant(i)], axis=0) for i in range(3))
    return q, k, v


def _pooled_tail(net: RandomNetwork, source: str) -> str:
    flat = net.op("Flatten", [net.op("GlobalAveragePool", [source])])
    return net.linear(flat, net.channels[source], CLASSES, gemm=True)


def _flat_tail(net: RandomNetwork, source: str) -> str:
    inputs = net.channels[source] * net.size[source] ** 2
    if net.maybe():
        source = net.op("Transpose", [source], perm=[0, 2, 3, 1])
    hidden = net.op("LeakyRelu", [net.linear(net.op("Flatten", [source]), inputs, 16, gemm=True)])
    return net.linear(hidden, 16, CLASSES)


def _token_tail(net: RandomNetwork, source: str) -> str:
    tokens = _tokens(net, source)
    hidden = net.op("LeakyRelu", [net.linear(tokens, net.channels[source], 12)])
    return net.linear(net.op("ReduceMean", [hidden], axes=[1], keepdims=0), 12, CLASSES)


BLOCKS: tuple[Block, ...] = (
    _plain,
    _residual,
    _residual,
    _projected,
    _dense,
    _parted,
    _sliced,
    _depthwise,
    _grouped,
    _squeezed,
    _shuffled,
    _resized,
    _scaled,
    _mixed,
    _normalised,
    _shared,
    _transposed,
    _attention,
)
TAILS: tuple[Block, ...] = (_pooled_tail, _flat_tail, _token_tail)
