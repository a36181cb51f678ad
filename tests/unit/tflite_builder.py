"""Small TFLite networks written operator by operator with the schema's own objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

Array = npt.NDArray[Any]
KINDS = {
    np.dtype(name.lower()): getattr(schema.TensorType, name)
    for name in ("FLOAT32", "FLOAT16", "INT32", "INT64", "INT8", "BOOL")
}


class Net:
    """A network under construction; tensors are called by their numbers."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "test"
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> int:
        """Add an activation; its batch is free where it is 1."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.hasRank = name, KINDS[np.dtype(dtype)], True
        tensor.shape = np.array(shape, np.int32)
        if shape and shape[0] == 1:
            tensor.shapeSignature = np.array([-1, *shape[1:]], np.int32)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, name: str, *shape: int, dtype: Any = np.float32) -> int:
        """Add an input."""
        index = self.tensor(name, shape, dtype)
        self.graph.inputs.append(index)
        return index

    def constant(self, name: str, values: Any, dtype: Any = None) -> int:
        """Add a constant."""
        array = np.asarray(values, dtype)
        index = self.tensor(name, array.shape, array.dtype)
        tensor = self.graph.tensors[index]
        tensor.shapeSignature, tensor.buffer = None, len(self.model.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return index

    def weight(self, name: str, *shape: int) -> int:
        """Add a constant of random weights, of which sums stay of the order of 1."""
        fan_in = max(1, int(np.prod(shape)) // shape[0])
        values = self.random.standard_normal(shape) / np.sqrt(fan_in)
        return self.constant(name, values.astype(np.float32))

    def op(
        self, code: str, inputs: Sequence[int], name: str, shape: Sequence[int], **options: Any
    ) -> int:
        """Add an operator with one output; options by their names, `like` names their table."""
        return self.ops(code, inputs, [self.tensor(name, shape)], **options)[0]

    def ops(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        like: str = "",
        **options: Any,
    ) -> Sequence[int]:
        """Add an operator with the outputs that are given."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(schema.BuiltinOperator, code))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if like:
            operator.builtinOptions = getattr(schema, f"{like}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, like)
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)
        return outputs

    def conv(self, source: int, name: str, out: int, *, size: int = 3, stride: int = 1) -> int:
        """Add a convolution with bias, SAME padding and ReLU."""
        _, height, width, channels = (int(item) for item in self.graph.tensors[source].shape)
        inputs = [
            source,
            self.weight(f"{name}.w", out, size, size, channels),
            self.weight(f"{name}.b", out),
        ]
        shape = [1, -(-height // stride), -(-width // stride), out]
        steps = {"strideH": stride, "strideW": stride, "fusedActivationFunction": 1}
        return self.op("CONV_2D", inputs, name, shape, like="Conv2DOptions", **steps)

    def depthwise(self, source: int, name: str, multiplier: int = 1) -> int:
        """Add a depthwise 3x3 convolution with bias and SAME padding."""
        shape = [int(item) for item in self.graph.tensors[source].shape]
        shape[3] *= multiplier
        weight = self.random.standard_normal((1, 3, 3, shape[3])).astype(np.float32) / 3
        inputs = [source, self.constant(f"{name}.w", weight), self.weight(f"{name}.b", shape[3])]
        options = {"strideH": 1, "strideW": 1, "depthMultiplier": multiplier}
        like = "DepthwiseConv2DOptions"
        return self.op("DEPTHWISE_CONV_2D", inputs, name, shape, like=like, **options)

    def linear(self, source: int, name: str, inputs: int, shape: Sequence[int], **more: Any) -> int:
        """Add a fully connected layer with bias."""
        out = shape[-1]
        read = [source, self.weight(f"{name}.w", out, inputs), self.weight(f"{name}.b", out)]
        return self.op("FULLY_CONNECTED", read, name, shape, like="FullyConnectedOptions", **more)

    def head(self, source: int, channels: int, classes: int = 4) -> int:
        """Add the mean over space and a linear layer."""
        axes = self.constant("head.axes", [1, 2], np.int32)
        pooled = self.op("MEAN", [source, axes], "pooled", [1, channels], like="ReducerOptions")
        return self.linear(pooled, "y", channels, [1, classes])

    def save(self, path: Path, *outputs: int) -> Path:
        """Write the file."""
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    def _code(self, number: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == number:
                return index
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode, made.version = number, min(number, 127), 1
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1
