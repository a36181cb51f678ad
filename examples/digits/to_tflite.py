"""Layers to TFLite: the flatbuffer written operator by operator, and its full-integer form.

Written directly, because five kinds of operator need no converter with its gigabytes of
dependencies or its own Python, and because the padding and the tail of the graph then are what
XNNPACK's sparse kernels ask for. The float operators are of version 1, which the frozen
tflite-runtime loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # ships no types
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import (  # type: ignore[import-untyped]  # ships no types
    quantizer,
    recipe,
)
from network import CLASSES, SIDE, Array, Layer

Code = schema.BuiltinOperator
SCHEMA_VERSION = 3
SIGNATURE = "serving_default"


def write_float(layers: list[Layer], path: Path) -> None:
    """Write the chain as TFLite: NHWC input `x`, logits `y`, batch 1 that can be resized."""
    graph = _Graph()
    side, last = SIDE, graph.activation("x", SIDE, SIDE, 3)
    graph.model.subgraphs[0].inputs = [last]
    for layer in layers:
        if layer.kind == "linear":
            last = _linear(graph, layer, last)
            continue
        if layer.stride > 1:
            last = _pad(graph, layer, last, side)
        side //= layer.stride
        last = _convolution(graph, layer, last, side)
    graph.model.subgraphs[0].outputs = [last]
    path.write_bytes(graph.pack())


def write_int8(source: Path, path: Path, calibration: Array) -> None:
    """Quantise a float file after training: int8 in, int8 out, per-channel weights."""
    tool = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
    # One batch, because over several the tool keeps a moving average of the ranges, which clips.
    result = tool.quantize(tool.calibrate({SIGNATURE: [{"x": calibration}]}))
    result.export_model(str(path), overwrite=True)
    path.chmod(0o644)  # the tool writes executable files


class _Graph:
    """A model of one subgraph under construction."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = SCHEMA_VERSION
        self.model.description = "edgeproof digits"
        self.model.operatorCodes, self.model.metadata = [], []
        self.model.buffers = [schema.BufferT()]  # buffer 0 is the empty one, by convention
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = "main", [], []
        self.model.subgraphs = [subgraph]
        self._codes: dict[int, int] = {}

    def activation(self, name: str, *shape: int) -> int:
        """Add a tensor computed at run time; its batch is free."""
        tensor = self._tensor(name, [1, *shape], schema.TensorType.FLOAT32)
        tensor.shapeSignature = np.array([-1, *shape], dtype=np.int32)
        return self._add(tensor)

    def constant(self, name: str, value: Array | npt.NDArray[np.int32]) -> int:
        """Add a tensor stored in the file."""
        kind = schema.TensorType.INT32 if value.dtype == np.int32 else schema.TensorType.FLOAT32
        tensor = self._tensor(name, list(value.shape), kind)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), dtype=np.uint8)
        tensor.buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        return self._add(tensor)

    def operator(self, code: int, inputs: list[int], output: int, options: Any) -> int:
        """Add an operator and return its output."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(code)
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptions = options
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.model.subgraphs[0].operators.append(operator)
        return output

    def pack(self) -> bytes:
        """Return the file."""
        self._sign()
        builder = flatbuffers.Builder(1 << 18)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _sign(self) -> None:
        subgraph, signature = self.model.subgraphs[0], schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [_named("x", subgraph.inputs[0])]
        signature.outputs = [_named("y", subgraph.outputs[0])]
        self.model.signatureDefs = [signature]

    def _tensor(self, name: str, shape: list[int], kind: int) -> Any:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer, tensor.hasRank = name, kind, 0, True
        tensor.shape = np.array(shape, dtype=np.int32)
        return tensor

    def _add(self, tensor: Any) -> int:
        tensors = self.model.subgraphs[0].tensors
        tensors.append(tensor)
        return len(tensors) - 1

    def _code(self, code: int) -> int:
        if code not in self._codes:
            made = schema.OperatorCodeT()
            made.builtinCode = made.deprecatedBuiltinCode = code
            made.version = 1
            self._codes[code] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(made)
        return self._codes[code]


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


def _pad(graph: _Graph, layer: Layer, source: int, side: int) -> int:
    # SAME padding would pad a stride-2 convolution on one side only; PAD keeps it as trained, and
    # XNNPACK fuses it into the convolution.
    channels = _channels_in(layer)
    amounts = np.array([[0, 0], [layer.pad] * 2, [layer.pad] * 2, [0, 0]], dtype=np.int32)
    constant = graph.constant(f"{layer.name}.pad", amounts)
    output = graph.activation(f"{layer.name}.padded", side + 2, side + 2, channels)
    return graph.operator(Code.PAD, [source, constant], output, schema.PadOptionsT())


def _convolution(graph: _Graph, layer: Layer, source: int, side: int) -> int:
    depthwise = layer.kind == "depthwise"
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    # OIHW becomes OHWI; a depthwise filter becomes 1HWC.
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    if depthwise:
        options.depthMultiplier = 1
    options.strideH = options.strideW = layer.stride
    options.dilationHFactor = options.dilationWFactor = 1
    options.padding = schema.Padding.VALID if layer.stride > 1 else schema.Padding.SAME
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    inputs = [
        source,
        graph.constant(f"{layer.name}.weight", layer.weight.transpose(order)),
        graph.constant(f"{layer.name}.bias", layer.bias),
    ]
    output = graph.activation(f"{layer.name}.out", side, side, len(layer.weight))
    return graph.operator(
        Code.DEPTHWISE_CONV_2D if depthwise else Code.CONV_2D, inputs, output, options
    )


def _linear(graph: _Graph, layer: Layer, source: int) -> int:
    axes = graph.constant("pool.axes", np.array([1, 2], dtype=np.int32))
    pooled = graph.activation("pool.out", layer.weight.shape[1])
    # MEAN must drop the axes: with keepDims XNNPACK refuses the sparse form of the graph.
    graph.operator(Code.MEAN, [source, axes], pooled, schema.ReducerOptionsT())
    inputs = [
        pooled,
        graph.constant(f"{layer.name}.weight", layer.weight),
        graph.constant(f"{layer.name}.bias", layer.bias),
    ]
    output = graph.activation("y", CLASSES)
    return graph.operator(Code.FULLY_CONNECTED, inputs, output, schema.FullyConnectedOptionsT())


def _channels_in(layer: Layer) -> int:
    return len(layer.weight) if layer.kind == "depthwise" else int(layer.weight.shape[1])
