"""A network to ONNX: input `x` and outputs as [batch, height, width, channels] and channels first.

`x` is NHWC, as in the TFLite file of the same network, so that the same samples feed both; one
Transpose at the start makes it NCHW, and the outputs stay so.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.reference.graph import (
    Activation,
    Concatenation,
    Constant,
    Convolution,
    Elementwise,
    Expectation,
    Flatten,
    GlobalPool,
    Graph,
    Linear,
    MaxPool,
    Operation,
    Resize,
    Split,
    Tensor,
    Upscale,
)
from harness.reference.weights import Weights, bins

# The pair that onnxruntime has read since 1.12, so old boards can load it.
OPSET, IR_VERSION = 17, 8
FUNCTIONS = {"add": "Add", "subtract": "Sub", "multiply": "Mul"}


def write(graph: Graph, weights: Mapping[str, Weights], name: str, path: Path) -> None:
    """Write the file; the batch is free."""
    written = _Writer(weights)
    first = Tensor(f"{graph.input.name}.nchw", graph.input.channels, graph.input.positions)
    written.node("Transpose", "to_nchw", [graph.input.name], first.name, perm=[0, 3, 1, 2])
    written.input_name = {graph.input.name: first.name}
    for operation in graph.operations:
        written.add(operation)
    made = helper.make_graph(
        written.nodes,
        name,
        [_port(graph.input.name, (*graph.input.positions, graph.input.channels))],
        [_port(output.name, output.shape) for output in graph.outputs],
        written.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version, model.producer_name = IR_VERSION, "edgeproof"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


class _Writer:
    """Nodes and constants so far."""

    def __init__(self, weights: Mapping[str, Weights]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.input_name: dict[str, str] = {}
        self._weights = weights

    def node(
        self, kind: str, name: str, inputs: list[str], *outputs: str, **attributes: Any
    ) -> None:
        """Add a node."""
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), name, **attributes))

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add an initializer and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    @singledispatchmethod
    def add(self, operation: Operation) -> None:
        """Add the nodes of an operation."""
        raise TypeError(f"no rule to write {type(operation).__name__} as ONNX")

    @add.register
    def _(self, operation: Convolution) -> None:
        self._activated(
            operation,
            operation.activation,
            "Conv",
            [*self._sources(operation), *self._learnt(operation.name)],
            kernel_shape=[operation.kernel] * 2,
            strides=[operation.stride] * 2,
            dilations=[operation.dilation] * 2,
            pads=[operation.pad] * 4,
            group=operation.output.channels if operation.depthwise else 1,
        )

    @add.register
    def _(self, operation: Linear) -> None:
        inputs = [*self._sources(operation), *self._learnt(operation.name)]
        self.node("Gemm", operation.name, inputs, operation.output.name, transB=1)

    @add.register
    def _(self, operation: Upscale) -> None:
        name, learnt = operation.name, self._weights[operation.name]
        # The format keeps the inputs of a transposed convolution first.
        weight = self.constant(f"{name}.weight", learnt.weight.swapaxes(0, 1))
        bias = self.constant(f"{name}.bias", learnt.bias)
        window = {"kernel_shape": [operation.factor] * 2, "strides": [operation.factor] * 2}
        inputs = [*self._sources(operation), weight, bias]
        self.node("ConvTranspose", name, inputs, operation.output.name, **window)

    @add.register
    def _(self, operation: Constant) -> None:
        self.constant(operation.output.name, operation.value[None])

    @add.register
    def _(self, operation: Elementwise) -> None:
        kind = FUNCTIONS[operation.function]
        self._activated(operation, operation.activation, kind, self._sources(operation))

    @add.register
    def _(self, operation: Concatenation) -> None:
        self._plain(operation, "Concat", axis=1 if operation.along == "channels" else 2)

    @add.register
    def _(self, operation: Split) -> None:
        sizes = [output.channels for output in operation.outputs]
        inputs = [*self._sources(operation), self._shape(f"{operation.name}.sizes", *sizes)]
        outputs = [output.name for output in operation.outputs]
        self.node("Split", operation.name, inputs, *outputs, axis=1)

    @add.register
    def _(self, operation: MaxPool) -> None:
        self._plain(
            operation,
            "MaxPool",
            kernel_shape=[operation.kernel] * 2,
            strides=[operation.stride] * 2,
            pads=[operation.pad] * 4,
        )

    @add.register
    def _(self, operation: GlobalPool) -> None:
        name, output = operation.name, operation.output
        pooled = output.name if output.positions else f"{name}.map"
        self.node("GlobalAveragePool", name, self._sources(operation), pooled)
        if not output.positions:
            self.node("Flatten", f"{name}.flatten", [pooled], output.name)

    @add.register
    def _(self, operation: Resize) -> None:
        scales = [
            _scale(old, new)
            for old, new in zip(operation.source.positions, operation.output.positions, strict=True)
        ]
        values = np.array([1, 1, *scales], dtype=np.float32)
        inputs = [*self._sources(operation), "", self.constant(f"{operation.name}.scales", values)]
        how: dict[str, str] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if operation.mode == "nearest":
            how = {
                "mode": "nearest",
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "floor",
            }
        self.node("Resize", operation.name, inputs, operation.output.name, **how)

    @add.register
    def _(self, operation: Flatten) -> None:
        shape = self._shape(f"{operation.name}.shape", 0, *operation.output.shape)
        inputs = [*self._sources(operation), shape]
        self.node("Reshape", operation.name, inputs, operation.output.name)

    @add.register
    def _(self, operation: Expectation) -> None:
        name, output = operation.name, operation.output
        shape = self._shape(f"{name}.bins", 0, output.channels, operation.bins, *output.positions)
        self.node("Reshape", f"{name}.view", [*self._sources(operation), shape], f"{name}.sides")
        self.node(
            "Transpose", f"{name}.swap", [f"{name}.sides"], f"{name}.scores", perm=[0, 2, 1, 3]
        )
        self.node("Softmax", f"{name}.softmax", [f"{name}.scores"], f"{name}.shares", axis=1)
        weight = self.constant(f"{name}.weight", bins(operation))
        self.node("Conv", name, [f"{name}.shares", weight], f"{name}.means", kernel_shape=[1, 1])
        shape = self._shape(f"{name}.shape", 0, *output.shape)
        self.node("Reshape", f"{name}.flat", [f"{name}.means", shape], output.name)

    def _plain(self, operation: Operation, kind: str, **attributes: Any) -> None:
        inputs = self._sources(operation)
        self.node(kind, operation.name, inputs, operation.output.name, **attributes)

    def _activated(
        self,
        operation: Operation,
        activation: Activation | None,
        kind: str,
        inputs: list[str],
        **attributes: Any,
    ) -> None:
        name, output = operation.name, operation.output.name
        before = f"{name}.sum" if activation else output
        self.node(kind, name, inputs, before, **attributes)
        if activation is None:
            return
        after = f"{name}.{activation}"
        match activation:
            case "relu":
                self.node("Relu", after, [before], output)
            case "relu6":
                self.node("Clip", after, [before, *self._limits()], output)
            case "hard_swish":
                self.node("HardSwish", after, [before], output)
            case "hard_sigmoid":
                self.node("HardSigmoid", after, [before], output, alpha=1 / 6, beta=0.5)
            case "sigmoid":
                self.node("Sigmoid", after, [before], output)
            case "silu":
                self.node("Sigmoid", f"{name}.sigmoid", [before], f"{name}.gate")
                self.node("Mul", after, [before, f"{name}.gate"], output)

    def _limits(self) -> list[str]:
        if "relu6.min" not in (it.name for it in self.constants):
            self.constant("relu6.min", np.array(0, dtype=np.float32))
            self.constant("relu6.max", np.array(6, dtype=np.float32))
        return ["relu6.min", "relu6.max"]

    def _learnt(self, name: str) -> list[str]:
        weights = self._weights[name]
        return [
            self.constant(f"{name}.weight", weights.weight),
            self.constant(f"{name}.bias", weights.bias),
        ]

    def _shape(self, name: str, *sizes: int) -> str:
        return self.constant(name, np.array(sizes, dtype=np.int64))

    def _sources(self, operation: Operation) -> list[str]:
        return [self.input_name.get(it.name, it.name) for it in operation.inputs]


def _scale(old: int, new: int) -> np.float32:
    """Return the scale of which every runtime makes `new`: they take the floor of the product."""
    scale = np.float32(new / old)
    while float(scale) * old < new:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _port(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
