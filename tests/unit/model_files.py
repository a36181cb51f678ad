"""Small model files made from nothing: ONNX by onnx.helper, TFLite by the flatbuffers schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = Sequence[int | str | None]


def onnx_model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Array],
    inputs: dict[str, tuple[int, Shape]],
    outputs: dict[str, tuple[int, Shape]] | None = None,
    **extra: Any,
) -> onnx.ModelProto:
    """Make a model of nodes, initializers and declared inputs."""
    outputs = outputs or {"y": (TensorProto.FLOAT, [None, 4])}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, *port) for name, port in inputs.items()],
        [helper.make_tensor_value_info(name, *port) for name, port in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        **extra,
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def matmul(weights: Array, shape: Shape = ("n", 4), dtype: int = TensorProto.FLOAT) -> Any:
    """Make a model of one matrix product."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return onnx_model([node], {"w": weights}, {"x": (dtype, shape)})


def save_onnx(path: Path, weights: Array | None = None, shape: Shape = ("n", 4)) -> Path:
    """Write a matrix product; dense unless weights are given."""
    onnx.save(matmul(np.ones((4, 4), np.float32) if weights is None else weights, shape), path)
    return path


@dataclass(frozen=True)
class Tensor:
    """One TFLite tensor; `data` makes it a constant, `stored` marks it sparse."""

    name: str
    shape: Sequence[int]
    kind: int = tflite.TensorType.FLOAT32
    data: bytes | None = None
    signature: Sequence[int] | None = None
    scales: Sequence[float] = ()
    zero_points: Sequence[int] = ()
    dimension: int = 0
    sparse: bool = False


@dataclass(frozen=True)
class Operator:
    """One TFLite operator by the positions of its tensors."""

    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]


@dataclass
class Writer:
    """Builds a TFLite file; flatbuffers wants children before their parents."""

    builder: Any = field(default_factory=lambda: flatbuffers.Builder(1024))

    def ints(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, np.int32)))

    def offsets(self, start: Any, items: Sequence[int]) -> int:
        start(self.builder, len(items))
        for item in reversed(items):
            self.builder.PrependUOffsetTRelative(item)
        return int(self.builder.EndVector())

    def buffer(self, data: bytes | None) -> int:
        vector = self.builder.CreateByteVector(data) if data is not None else None
        tflite.BufferStart(self.builder)
        if vector is not None:
            tflite.BufferAddData(self.builder, vector)
        return int(tflite.BufferEnd(self.builder))

    def quantisation(self, tensor: Tensor) -> int:
        scales = self.builder.CreateNumpyVector(np.asarray(tensor.scales, np.float32))
        points = self.builder.CreateNumpyVector(np.asarray(tensor.zero_points, np.int64))
        tflite.QuantizationParametersStart(self.builder)
        tflite.QuantizationParametersAddScale(self.builder, scales)
        tflite.QuantizationParametersAddZeroPoint(self.builder, points)
        tflite.QuantizationParametersAddQuantizedDimension(self.builder, tensor.dimension)
        return int(tflite.QuantizationParametersEnd(self.builder))

    def sparsity(self, tensor: Tensor) -> int:
        order = self.ints(range(len(tensor.shape)))
        tflite.SparsityParametersStart(self.builder)
        tflite.SparsityParametersAddTraversalOrder(self.builder, order)
        return int(tflite.SparsityParametersEnd(self.builder))

    def tensor(self, tensor: Tensor, buffer: int) -> int:
        name = self.builder.CreateString(tensor.name)
        shape = self.ints(tensor.shape)
        signature = self.ints(tensor.signature) if tensor.signature else None
        quantisation = self.quantisation(tensor) if tensor.scales else None
        sparsity = self.sparsity(tensor) if tensor.sparse else None
        tflite.TensorStart(self.builder)
        tflite.TensorAddName(self.builder, name)
        tflite.TensorAddShape(self.builder, shape)
        tflite.TensorAddType(self.builder, tensor.kind)
        tflite.TensorAddBuffer(self.builder, buffer)
        if signature is not None:
            tflite.TensorAddShapeSignature(self.builder, signature)
        if quantisation is not None:
            tflite.TensorAddQuantization(self.builder, quantisation)
        if sparsity is not None:
            tflite.TensorAddSparsity(self.builder, sparsity)
        return int(tflite.TensorEnd(self.builder))

    def operator(self, operator: Operator, code: int) -> int:
        inputs, outputs = self.ints(operator.inputs), self.ints(operator.outputs)
        tflite.OperatorStart(self.builder)
        tflite.OperatorAddOpcodeIndex(self.builder, code)
        tflite.OperatorAddInputs(self.builder, inputs)
        tflite.OperatorAddOutputs(self.builder, outputs)
        return int(tflite.OperatorEnd(self.builder))

    def code(self, code: int) -> int:
        tflite.OperatorCodeStart(self.builder)
        tflite.OperatorCodeAddBuiltinCode(self.builder, code)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.builder, min(code, 127))
        return int(tflite.OperatorCodeEnd(self.builder))


def save_tflite(
    path: Path,
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int] = (0,),
    outputs: Sequence[int] = (-1,),
) -> Path:
    """Write a TFLite file of one graph; tensor 0 is its input and the last its output."""
    writer = Writer()
    builder = writer.builder
    # Buffer 0 is the empty one by convention; the others belong to one tensor each.
    buffers = [writer.buffer(None), *(writer.buffer(tensor.data) for tensor in tensors)]
    rows = [
        writer.tensor(tensor, at if tensor.data is not None else 0)
        for at, tensor in enumerate(tensors, start=1)
    ]
    steps = [writer.operator(operator, at) for at, operator in enumerate(operators)]
    codes = [writer.code(operator.code) for operator in operators]
    parts = [
        writer.offsets(tflite.SubGraphStartTensorsVector, rows),
        writer.ints(inputs),
        writer.ints([at % len(tensors) for at in outputs]),
        writer.offsets(tflite.SubGraphStartOperatorsVector, steps),
    ]
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, parts[0])
    tflite.SubGraphAddInputs(builder, parts[1])
    tflite.SubGraphAddOutputs(builder, parts[2])
    tflite.SubGraphAddOperators(builder, parts[3])
    graph = tflite.SubGraphEnd(builder)
    graphs = writer.offsets(tflite.ModelStartSubgraphsVector, [graph])
    all_codes = writer.offsets(tflite.ModelStartOperatorCodesVector, codes)
    all_buffers = writer.offsets(tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, all_codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, all_buffers)
    builder.Finish(tflite.ModelEnd(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def save_dense_tflite(
    path: Path,
    weights: Array,
    kind: int = tflite.TensorType.FLOAT32,
    *,
    signature: Sequence[int] | None = (-1, 4),
    shape: Sequence[int] | None = None,
    **more: Any,
) -> Path:
    """Write a fully connected layer with float input and the given weights."""
    weight = Tensor("w", shape or weights.shape, kind, weights.tobytes(), **more)
    tensors = [Tensor("x", [1, 4], signature=signature), weight, Tensor("y", [1, 4])]
    operator = Operator(tflite.BuiltinOperator.FULLY_CONNECTED, [0, 1, -1], [2])
    return save_tflite(path, tensors, [operator])
