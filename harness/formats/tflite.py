"""TFLite files: inputs, outputs and the zeros among the weights."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from harness.formats import (
    Array,
    Axes,
    Contents,
    Port,
    Stored,
    UncountableError,
    UnreadableError,
    for_one_sample,
    summarise,
)

IDENTIFIER = b"TFL3"
OP = tflite.BuiltinOperator
# Operator -> positions of its weight inputs.
WEIGHTS: Mapping[int, Sequence[int]] = {
    OP.BATCH_MATMUL: (0, 1),
    OP.CONV_2D: (1,),
    OP.CONV_3D: (1,),
    OP.CONV_3D_TRANSPOSE: (1,),
    OP.DEPTHWISE_CONV_2D: (1,),
    OP.FULLY_CONNECTED: (1,),
    OP.LSTM: range(1, 9),
    OP.RNN: (1, 2),
    OP.SVDF: (1, 2),
    OP.TRANSPOSE_CONV: (1,),
    OP.UNIDIRECTIONAL_SEQUENCE_LSTM: range(1, 9),
}
# How they see a weight; the others' is not told by its shape.
AXES: Mapping[int, Axes] = {
    OP.CONV_2D: Axes((0,), (3,)),
    OP.CONV_3D: Axes((4,), (3,)),
    OP.DEPTHWISE_CONV_2D: Axes((3,), ()),
    OP.FULLY_CONNECTED: Axes((0,), (1,)),
    OP.LSTM: Axes((0,), (1,)),
    OP.RNN: Axes((0,), (1,)),
    OP.SVDF: Axes((0,), (1,)),
    OP.TRANSPOSE_CONV: Axes((0,), (3,)),
    OP.UNIDIRECTIONAL_SEQUENCE_LSTM: Axes((0,), (1,)),
}
# A weight is used once for each position of the output, or of this input.
BY_OUTPUT = (OP.CONV_2D, OP.CONV_3D, OP.DEPTHWISE_CONV_2D, OP.FULLY_CONNECTED)
BY_INPUT: Mapping[int, int] = {OP.TRANSPOSE_CONV: 2}
# Operators between a constant and its consumer that neither make nor remove zeros.
TRANSPARENT = {OP.DENSIFY, OP.DEQUANTIZE, OP.RESHAPE, OP.TRANSPOSE}
DTYPES = {
    value: name.lower() for name, value in vars(tflite.TensorType).items() if isinstance(value, int)
}
# What the flatbuffers reader raises when offsets point outside the file.
DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError)


def read(path: Path) -> Contents:
    """Read a TFLite file; sparse tensors count by what they do not store."""
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise UnreadableError("is no TFLite file")
    try:
        return _contents(data)
    except UnreadableError:
        raise
    except DAMAGE:
        raise UnreadableError("is damaged or cut short") from None


def stored(path: Path) -> list[Stored]:
    """List the weights, with how often a sample uses each; raises UncountableError."""
    return stored_in(path.read_bytes())


def stored_in(data: bytes | bytearray) -> list[Stored]:
    """List the weights in the bytes of a file.

    Of a bytearray the values are views: who writes into them changes the file.
    """
    model = tflite.Model.GetRootAs(data, 0)
    main = model.Subgraphs(0)
    fed = [_numbers(main.Tensors(int(at)).ShapeAsNumpy()) for at in _numbers(main.InputsAsNumpy())]
    batch = next((shape[0] for shape in fed if shape), 1)
    return for_one_sample(_weights(model, data), batch)


def _contents(data: bytes) -> Contents:
    model = tflite.Model.GetRootAs(data, 0)
    if not model.SubgraphsLength():
        raise UnreadableError("holds no graph")
    for index in range(model.BuffersLength()):
        _buffer(model, data, index)
    main = model.Subgraphs(0)
    return summarise(
        [_port(main.Tensors(int(index))) for index in _numbers(main.InputsAsNumpy())],
        [_port(main.Tensors(int(index))) for index in _numbers(main.OutputsAsNumpy())],
        _weights(model, data),
    )


def _numbers(vector: Any) -> list[int]:
    """List a vector of integers; the reader gives 0 for an absent one."""
    return [int(item) for item in np.atleast_1d(vector)] if not isinstance(vector, int) else []


def _buffer(model: Any, data: bytes | bytearray, index: int) -> Array:
    """Return a buffer's bytes; large models keep them behind the flatbuffer."""
    buffer = model.Buffers(index)
    if buffer.Offset() > 1:
        end = buffer.Offset() + buffer.Size()
        if end > len(data):
            raise UnreadableError("is cut short")
        return np.frombuffer(data, np.uint8, buffer.Size(), buffer.Offset())
    if buffer.DataIsNone():
        return np.empty(0, np.uint8)
    return np.asarray(buffer.DataAsNumpy(), np.uint8)


def _weights(model: Any, data: bytes | bytearray) -> Iterator[Stored]:
    """Yield each constant that a convolution or matrix product uses, once."""
    seen: set[int] = set()
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        operators = [graph.Operators(at) for at in range(graph.OperatorsLength())]
        codes = [_code(model, operator) for operator in operators]
        makers = {
            output: (code, operator)
            for code, operator in zip(codes, operators, strict=True)
            for output in _numbers(operator.OutputsAsNumpy())
        }
        for code, operator in zip(codes, operators, strict=True):
            inputs = _numbers(operator.InputsAsNumpy())
            for at in WEIGHTS.get(code, ()):
                if at < len(inputs) and inputs[at] >= 0:
                    source, straight = _source(inputs[at], makers)
                    for found in _stored(model, data, graph.Tensors(source), seen):
                        yield _placed(graph, operator, code, found, straight)


def _code(model: Any, operator: Any) -> int:
    # Files of before 2020 have the code in the narrow field only.
    code = model.OperatorCodes(operator.OpcodeIndex())
    return max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))


def _source(index: int, makers: Mapping[int, tuple[int, Any]]) -> tuple[int, bool]:
    """Follow a weight input back to the constant behind it; whether it has the same axes."""
    straight = True
    for _ in range(16):
        code, operator = makers.get(index, (None, None))
        if code not in TRANSPARENT or operator is None:
            break
        straight = straight and code not in (OP.RESHAPE, OP.TRANSPOSE)
        index = _numbers(operator.InputsAsNumpy())[0]
    return index, straight


def _placed(graph: Any, operator: Any, code: int, found: Stored, straight: bool) -> Stored:
    """Say which operator multiplies by a weight, how it sees it, and how often a batch uses it."""
    output = graph.Tensors(_numbers(operator.OutputsAsNumpy())[0])
    axes = AXES.get(code) if straight and not found.sparse else None
    found = replace(found, layer=_name(output))
    if axes is None or found.values.ndim <= max(*axes.outputs, *axes.inputs, 0):
        return found
    uses = None
    if code in BY_OUTPUT or code in BY_INPUT:
        at, counted = BY_INPUT.get(code), axes.outputs
        if at is not None:
            output, counted = graph.Tensors(_numbers(operator.InputsAsNumpy())[at]), axes.inputs
        channels = math.prod(found.values.shape[axis] for axis in counted)
        positions, rest = divmod(math.prod(_numbers(output.ShapeAsNumpy())), channels)
        uses = None if rest else positions
    return replace(found, matrix=axes.matrix, uses=uses)


def _stored(model: Any, data: bytes | bytearray, tensor: Any, seen: set[int]) -> Iterator[Stored]:
    raw = _buffer(model, data, tensor.Buffer())
    shape = _numbers(tensor.ShapeAsNumpy())
    if len(shape) < 2 or not raw.size or tensor.Buffer() in seen:
        return
    seen.add(tensor.Buffer())
    name, size = _name(tensor), int(np.prod(shape, dtype=np.int64))
    values = _values(raw, DTYPES.get(tensor.Type(), "unknown"), name)
    key = str(tensor.Buffer())
    if tensor.Sparsity() is not None:
        yield Stored(key, name, "", values, _zero_points(tensor, None), size)
        return
    if values.size < size:
        raise UnreadableError(f"holds too few values for tensor '{name}'")
    values = values[:size].reshape(shape)
    yield Stored(key, name, "", values, _zero_points(tensor, shape), size)


def _values(raw: Array, dtype: str, name: str) -> Array:
    if dtype == "int4":
        packed = raw.view(np.int8)
        return np.stack([(packed << 4) >> 4, packed >> 4], axis=-1).reshape(-1)
    if dtype == "bfloat16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if dtype not in NUMERIC:
        raise UncountableError(f"weights of type {dtype} in tensor '{name}' are not counted")
    return raw.view(np.dtype(dtype))


NUMERIC = {
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
}


def _zero_points(tensor: Any, shape: Sequence[int] | None) -> Any:
    """Return what stands for zero: one number, or one a channel shaped to broadcast."""
    quantisation = tensor.Quantization()
    points = _numbers(quantisation.ZeroPointAsNumpy()) if quantisation is not None else []
    if not points or len(set(points)) == 1:
        return points[0] if points else 0
    if shape is None:
        raise UncountableError("a sparse tensor has a zero point for each channel")
    wide = [1] * len(shape)
    wide[quantisation.QuantizedDimension()] = -1
    return np.asarray(points).reshape(wide)


def _name(tensor: Any) -> str:
    name = tensor.Name()
    return name.decode("utf-8", "replace") if name else ""


def _port(tensor: Any) -> Port:
    signature = _numbers(tensor.ShapeSignatureAsNumpy()) or _numbers(tensor.ShapeAsNumpy())
    shape = tuple(size if size > 0 else None for size in signature)
    dtype = DTYPES.get(tensor.Type(), "unknown")
    quantisation = tensor.Quantization()
    scales = quantisation.ScaleAsNumpy() if quantisation is not None else 0
    if isinstance(scales, int) or scales.size != 1:
        return Port(_name(tensor), dtype, shape)
    points = _numbers(quantisation.ZeroPointAsNumpy())
    return Port(_name(tensor), dtype, shape, float(scales[0]), points[0] if points else 0)
