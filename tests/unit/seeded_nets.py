"""Small ONNX networks with seeded weights, layer after layer, opened for surgery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from harness.variants.network import Network
from harness.variants.networks import open_network


class Net:
    """A network under construction: each method adds one operator after the last."""

    def __init__(self, shape: Sequence[int | str], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.input = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        self.last = "x"

    def op(self, operator: str, name: str, *constants: Any, **attributes: Any) -> Net:
        """Add an operator; node and output are called `name`, its constants name.w, .b, .c."""
        names = []
        for letter, values in zip("wbcd", constants, strict=False):
            names.append(f"{name}.{letter}")
            self.constants.append(numpy_helper.from_array(np.asarray(values), names[-1]))
        inputs = [self.last, *names]
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.last = name
        return self

    def conv(self, name: str, shape: Sequence[int], **attributes: Any) -> Net:
        """Add a convolution with weights of this shape and a bias."""
        return self.op("Conv", name, self.values(*shape), self.values(shape[0]), **attributes)

    def relu(self) -> Net:
        """Add an activation."""
        return self.op("Relu", f"relu{len(self.nodes)}")

    def gemm(self, name: str, inputs: int, outputs: int) -> Net:
        """Add a fully connected layer."""
        return self.op("Gemm", name, self.values(inputs, outputs), self.values(outputs))

    def values(self, *shape: int) -> Any:
        """Draw weights of a size that keeps activations near one."""
        scale = np.sqrt(2 / max(1, int(np.prod(shape[1:]))))
        return (scale * self.random.standard_normal(shape)).astype(np.float32)

    def open(self, folder: Path) -> Network:
        """Write the network to a file and open it; what was added last is its output."""
        output = helper.make_tensor_value_info(self.last, onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [self.input], [output], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        path = folder / "net.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        return open_network(path, "onnx")


def classifier(seed: int = 0) -> Net:
    """Convolutions of all kinds, pooling, two fully connected layers."""
    net = Net(["n", 3, 8, 8], seed)
    net.conv("stem", (16, 3, 3, 3), pads=[1, 1, 1, 1]).relu()
    net.conv("depth", (16, 1, 3, 3), group=16, pads=[1, 1, 1, 1]).relu()
    net.conv("point", (32, 16, 1, 1)).relu()
    net.conv("grouped", (16, 8, 3, 3), group=4, strides=[2, 2]).relu()
    net.op("GlobalAveragePool", "pool").op("Flatten", "flat")
    return net.gemm("hidden", 16, 24).relu().gemm("head", 24, 5)


def samples(count: int, *shape: int, seed: int = 1) -> Any:
    """Draw smooth random inputs, so that neighbours are alike as in images."""
    values = np.random.default_rng(seed).standard_normal((count, *shape))
    for axis in range(2, values.ndim):
        values = (values + np.roll(values, 1, axis)) / 2
    return values.astype(np.float32)
