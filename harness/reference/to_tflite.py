"""A network to TFLite: channels last, batch 1 that can be resized.

Operators are of version 1 wherever it can say what is meant, for the frozen tflite-runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from harness.reference.flatbuffer import Model
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

Fused = schema.ActivationFunctionType
FUSED: Mapping[Activation | None, int] = {
    None: Fused.NONE,
    "relu": Fused.RELU,
    "relu6": Fused.RELU6,
}
ELEMENTWISE = {
    "add": ("ADD", schema.AddOptionsT),
    "subtract": ("SUB", schema.SubOptionsT),
    "multiply": ("MUL", schema.MulOptionsT),
}
Shape = tuple[int, ...]
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def write(graph: Graph, weights: Mapping[str, Weights], name: str, path: Path) -> None:
    """Write the file. Maps leave as they are, channels last; sequences leave channels first."""
    model = Model(f"edgeproof {name}")
    writer = _Writer(model, weights)
    x = writer.activation(graph.input)
    for operation in graph.operations:
        writer.add(operation)
    outputs = {tensor.name: writer.shown(tensor) for tensor in graph.outputs}
    path.write_bytes(model.finish({graph.input.name: x}, outputs))


class _Writer:
    """The operators so far, and where each tensor of the network is among the file's."""

    def __init__(self, model: Model, weights: Mapping[str, Weights]) -> None:
        self._model = model
        self._weights = weights
        self._places: dict[str, int] = {}

    def activation(self, tensor: Tensor) -> int:
        """Add a tensor of the network."""
        place = self._model.activation(tensor.name, *_last(tensor))
        self._places[tensor.name] = place
        return place

    def shown(self, tensor: Tensor) -> int:
        """Return the place of an output in the layout that it leaves in."""
        place = self._places[tensor.name]
        if len(tensor.positions) != 1:
            return place
        self._model.rename(place, f"{tensor.name}.last")
        turned = self._model.activation(tensor.name, *tensor.shape)
        order = self._integers(f"{tensor.name}.order", 0, 2, 1)
        self._model.operator("TRANSPOSE", [place, order], [turned], schema.TransposeOptionsT())
        return turned

    @singledispatchmethod
    def add(self, operation: Operation) -> None:
        """Add the operators of an operation."""
        raise TypeError(f"no rule to write {type(operation).__name__} as TFLite")

    @add.register
    def _(self, operation: Convolution) -> None:
        depthwise = operation.depthwise
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.strideH = options.strideW = operation.stride
        options.dilationHFactor = options.dilationWFactor = operation.dilation
        options.padding = SAME if operation.stride == 1 else VALID
        options.fusedActivationFunction = FUSED.get(operation.activation, Fused.NONE)
        if depthwise:
            options.depthMultiplier = 1
        learnt = self._weights[operation.name]
        # OIHW becomes OHWI; a depthwise filter becomes 1HWC.
        order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        weight = self._model.constant(f"{operation.name}.weight", learnt.weight.transpose(order))
        bias = self._model.constant(f"{operation.name}.bias", learnt.bias)
        self._activated(
            operation,
            operation.activation,
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            [self._padded(operation), weight, bias],
            options,
            version=2 if depthwise and operation.dilation > 1 else 1,
        )

    @add.register
    def _(self, operation: Linear) -> None:
        learnt = self._weights[operation.name]
        weight = self._model.constant(f"{operation.name}.weight", learnt.weight)
        bias = self._model.constant(f"{operation.name}.bias", learnt.bias)
        options = schema.FullyConnectedOptionsT()
        self._plain("FULLY_CONNECTED", operation, options, weight, bias)

    @add.register
    def _(self, operation: Upscale) -> None:
        # TRANSPOSE_CONV states its output's batch; these two compute the same at any batch.
        name, learnt, factor = operation.name, self._weights[operation.name], operation.factor
        height, width = operation.source.positions
        channels = factor**2 * operation.output.channels
        # OIHW becomes (HWO)11I: the channels of one position's square follow each other.
        filters = learnt.weight.transpose(2, 3, 0, 1).reshape(channels, 1, 1, -1)
        weight = self._model.constant(f"{name}.weight", filters)
        bias = self._model.constant(f"{name}.bias", np.tile(learnt.bias, factor**2))
        squares = self._model.activation(name, height, width, channels)
        inputs = [*self._sources(operation), weight, bias]
        self._model.operator("CONV_2D", inputs, [squares], _pointwise())
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = factor
        output = self._after(operation, "map")
        self._model.operator("DEPTH_TO_SPACE", [squares], [output], options)

    @add.register
    def _(self, operation: Constant) -> None:
        value = np.moveaxis(operation.value, 0, -1)[None]
        self._places[operation.output.name] = self._model.constant(operation.output.name, value)

    @add.register
    def _(self, operation: Elementwise) -> None:
        kind, table = ELEMENTWISE[operation.function]
        options = table()
        options.fusedActivationFunction = FUSED.get(operation.activation, Fused.NONE)
        sources = self._sources(operation)
        self._activated(operation, operation.activation, kind, sources, options)

    @add.register
    def _(self, operation: Concatenation) -> None:
        options = schema.ConcatenationOptionsT()
        options.axis = len(operation.source.positions) + 1 if operation.along == "channels" else 1
        self._plain("CONCATENATION", operation, options)

    @add.register
    def _(self, operation: Split) -> None:
        place = np.array(len(operation.source.positions) + 1, np.int32)
        axis = self._model.constant(f"{operation.name}.axis", place)  # OpenVINO wants a scalar
        options = schema.SplitOptionsT()
        options.numSplits = len(operation.outputs)
        outputs = [self.activation(tensor) for tensor in operation.outputs]
        self._model.operator("SPLIT", [axis, *self._sources(operation)], outputs, options)

    @add.register
    def _(self, operation: MaxPool) -> None:
        options = schema.Pool2DOptionsT()
        options.filterHeight = options.filterWidth = operation.kernel
        options.strideH = options.strideW = operation.stride
        options.padding = SAME if operation.stride == 1 else VALID
        output = self.activation(operation.output)
        self._model.operator("MAX_POOL_2D", [self._padded(operation)], [output], options)

    @add.register
    def _(self, operation: GlobalPool) -> None:
        options = schema.ReducerOptionsT()
        # A classifier's pooling must drop the axes: else XNNPACK refuses the sparse form of it.
        options.keepDims = bool(operation.output.positions)
        axes = self._integers(f"{operation.name}.axes", 1, 2)
        self._plain("MEAN", operation, options, axes)

    @add.register
    def _(self, operation: Resize) -> None:
        size = self._integers(f"{operation.name}.size", *operation.output.positions)
        if operation.mode == "nearest":
            options = schema.ResizeNearestNeighborOptionsT()
            self._plain("RESIZE_NEAREST_NEIGHBOR", operation, options, size)
            return
        options = schema.ResizeBilinearOptionsT()
        options.halfPixelCenters = True
        self._plain("RESIZE_BILINEAR", operation, options, size, version=3)

    @add.register
    def _(self, operation: Flatten) -> None:
        self._reshaped(
            operation.name,
            self._sources(operation)[0],
            self.activation(operation.output),
            *_last(operation.output),
        )

    @add.register
    def _(self, operation: Expectation) -> None:
        name, output = operation.name, operation.output
        shape = (*output.positions, output.channels, operation.bins)
        scores = self._model.activation(f"{name}.scores", *shape)
        self._reshaped(f"{name}.view", self._sources(operation)[0], scores, *shape)
        shares = self._model.activation(f"{name}.shares", *shape)
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        self._model.operator("SOFTMAX", [scores], [shares], softmax)
        weight = self._model.constant(f"{name}.weight", bins(operation).transpose(0, 2, 3, 1))
        bias = self._model.constant(f"{name}.bias", np.zeros(1, dtype=np.float32))
        means = self._model.activation(name, *shape[:-1], 1)
        self._model.operator("CONV_2D", [shares, weight, bias], [means], _pointwise())
        flat = self._after(operation, "flat")
        self._reshaped(f"{name}.flat", means, flat, *_last(output))

    def _plain(
        self, kind: str, operation: Operation, options: Any, *constants: int, version: int = 1
    ) -> None:
        inputs = [*self._sources(operation), *constants]
        output = self.activation(operation.output)
        self._model.operator(kind, inputs, [output], options, version)

    def _activated(
        self,
        operation: Operation,
        activation: Activation | None,
        kind: str,
        inputs: list[int],
        options: Any,
        version: int = 1,
    ) -> None:
        """Add an operator with an activation: fused where the format can, else after it."""
        name, output = operation.name, operation.output
        if activation in FUSED:
            self._model.operator(kind, inputs, [self.activation(output)], options, version)
            return
        # A layer is known by the tensor that it makes, so this one bears its name.
        before = self._model.activation(name, *_last(output))
        self._model.operator(kind, inputs, [before], options, version)
        after = self._after(operation, f"{activation}")
        self._unfused(name, activation, before, after, _last(output))

    def _after(self, operation: Operation, step: str) -> int:
        """Add the output of an operation whose first operator took its name."""
        place = self.activation(operation.output)
        if operation.output.name == operation.name:
            self._model.rename(place, f"{operation.name}.{step}")
        return place

    def _unfused(
        self, name: str, activation: Activation | None, before: int, after: int, shape: Shape
    ) -> None:
        match activation:
            case "hard_swish":
                self._model.operator("HARD_SWISH", [before], [after], schema.HardSwishOptionsT())
            case "sigmoid":
                self._model.operator("LOGISTIC", [before], [after])
            case "silu":
                gate = self._model.activation(f"{name}.gate", *shape)
                self._model.operator("LOGISTIC", [before], [gate])
                self._model.operator("MUL", [before, gate], [after], schema.MulOptionsT())
            case "hard_sigmoid":
                # The format has none: relu6(x + 3) / 6.
                three = self._model.constant(f"{name}.three", np.array([3], dtype=np.float32))
                sixth = self._model.constant(f"{name}.sixth", np.array([1 / 6], dtype=np.float32))
                options = schema.AddOptionsT()
                options.fusedActivationFunction = Fused.RELU6
                clipped = self._model.activation(f"{name}.clipped", *shape)
                self._model.operator("ADD", [before, three], [clipped], options)
                self._model.operator("MUL", [clipped, sixth], [after], schema.MulOptionsT())

    def _padded(self, operation: Convolution | MaxPool) -> int:
        """Return the place of the source, padded if SAME would pad a strided window unevenly.

        Zeros are right for a pooling too, as it has a stride only behind a ReLU here.
        """
        source, pad = operation.source, operation.pad
        if operation.stride == 1 or pad == 0:
            return self._places[source.name]
        height, width = source.positions
        name = f"{operation.name}.padded"
        wide = self._model.activation(name, height + 2 * pad, width + 2 * pad, source.channels)
        amounts = np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], dtype=np.int32)
        constant = self._model.constant(f"{operation.name}.pad", amounts)
        inputs = [self._places[source.name], constant]
        self._model.operator("PAD", inputs, [wide], schema.PadOptionsT())
        return wide

    def _reshaped(self, name: str, source: int, output: int, *shape: int) -> None:
        sizes = self._integers(f"{name}.shape", -1, *shape)
        self._model.operator("RESHAPE", [source, sizes], [output], schema.ReshapeOptionsT())

    def _integers(self, name: str, *values: int) -> int:
        return self._model.constant(name, np.array(values, dtype=np.int32))

    def _sources(self, operation: Operation) -> list[int]:
        return [self._places[tensor.name] for tensor in operation.inputs]


def _pointwise() -> Any:
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = 1
    options.dilationHFactor = options.dilationWFactor = 1
    options.padding = VALID
    return options


def _last(tensor: Tensor) -> Shape:
    return (*tensor.positions, tensor.channels)
