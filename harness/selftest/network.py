"""A small convolutional network of 1 to 2 ms, and slower ones: with layers really added to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 2026
SIDE = 48  # of the square input image
CLASSES = 10
# Channels, kernel, stride. Multiples of 16, so that the runtime's blocked kernels take them.
BODY = (
    (32, 3, 1),
    (32, 3, 1),
    (64, 3, 2),
    (64, 3, 1),
    (64, 3, 1),
    (64, 3, 1),
    (128, 3, 2),
    (128, 3, 1),
)
# What can be added: 1x1 layers on the last map of 12 x 12, each well under 1% of the body's time.
ADDED = (32, 1, 1)


@dataclass
class _Builder:
    """Layers one after the other; weights are drawn so that activations keep their size."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    channels: int = 3
    last: str = "x"

    def draw(self, name: str, shape: tuple[int, ...]) -> str:
        """Weights of variance 2 / inputs, for layers followed by a ReLU (He et al. 2015)."""
        scale = math.sqrt(2 / math.prod(shape[1:]))
        values = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> None:
        """Add a node that takes the last one's output."""
        name = f"{operator.lower()}{len(self.nodes)}"
        made = helper.make_node(operator, [self.last, *inputs], [name], **attributes)
        self.nodes.append(made)
        self.last = name

    def convolution(self, channels: int, kernel: int, stride: int) -> None:
        """A convolution that keeps the size but for its stride, and a ReLU."""
        name = self.draw(f"w{len(self.nodes)}", (channels, self.channels, kernel, kernel))
        pads = [kernel // 2] * 4
        self.node("Conv", name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)
        self.node("Relu")
        self.channels = channels


def network(extra: int) -> onnx.ModelProto:
    """The network with some layers added before its head; the others have the same weights."""
    builder = _Builder(np.random.default_rng(SEED))
    head = builder.draw("head", (CLASSES, ADDED[0]))
    for layer in (*BODY, ADDED, *(ADDED,) * extra):
        builder.convolution(*layer)
    builder.node("GlobalAveragePool")
    builder.node("Flatten")
    builder.node("Gemm", head, transB=1)
    graph = helper.make_graph(
        builder.nodes,
        "validity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(builder.last, TensorProto.FLOAT, [1, CLASSES])],
        builder.weights,
    )
    # Runtimes read files no newer than themselves; onnx would stamp its own newest version.
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def save(path: Path, extra: int = 0) -> Path:
    """Write the network to a file."""
    onnx.save(network(extra), path)
    return path
