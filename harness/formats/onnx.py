"""ONNX files: inputs, outputs and the zeros among the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from harness.formats import (
    Array,
    Contents,
    Port,
    Stored,
    UncountableError,
    UnreadableError,
    for_one_sample,
    summarise,
)
from harness.formats.onnx_axes import Shapes, axes, inferred, uses

# Operator -> position of each weight input, and of that input's zero point.
WEIGHTS: Mapping[str, Mapping[int, int | None]] = {
    "Conv": {1: None},
    "ConvInteger": {1: 3},
    "ConvTranspose": {1: None},
    "DeformConv": {1: None},
    "FusedConv": {1: None},
    "FusedMatMul": {0: None, 1: None},
    "GRU": {1: None, 2: None},
    "Gemm": {0: None, 1: None},
    "LSTM": {1: None, 2: None},
    "MatMul": {0: None, 1: None},
    "MatMulInteger": {0: 2, 1: 3},
    "QGemm": {3: 5},
    "QLinearConv": {3: 5},
    "QLinearMatMul": {0: 2, 3: 5},
    "RNN": {1: None, 2: None},
}
# Operators between a constant and its consumer that neither make nor remove zeros.
TRANSPARENT = {
    "Cast",
    "Flatten",
    "Identity",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
MAX_BYTES = 2**31 - 1  # protobuf's limit


def read(path: Path) -> Contents:
    """Read an ONNX file with its weights embedded."""
    model = _load(path)
    graph = _Graph(model.graph)
    fed = [item for item in model.graph.input if item.name not in graph.tensors]
    return summarise(
        [_port(item, graph.quantisation(item.name)) for item in fed],
        [_port(item, (None, None)) for item in model.graph.output],
        graph.weights(),
    )


def stored(path: Path) -> list[Stored]:
    """Read the weights, with how often a sample uses each; raises UncountableError."""
    model = _load(path)
    shapes = inferred(model)
    fed = [item.name for item in model.graph.input if shapes.get(item.name)]
    graph = _Graph(model.graph, shapes=shapes)
    return for_one_sample(graph.weights(), shapes[fed[0]][0] if fed else 1)


def _load(path: Path) -> onnx.ModelProto:
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableError("is larger than 2 GiB, which no ONNX file can be")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError:
        raise UnreadableError("is damaged, cut short or no ONNX file") from None
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise UnreadableError("is cut short or no ONNX file")
    if any(_external(tensor) for tensor in _tensors(model.graph)):
        raise UnreadableError(
            "keeps weights in other files; embed them: onnx.save(onnx.load(FILE), NEW_FILE)"
        )
    return model


def _external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every constant of a graph and its subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
        for subgraph in _subgraphs(node):
            yield from _tensors(subgraph)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


class _Graph:
    """A graph indexed by the names of its values; a subgraph sees the outer names too."""

    def __init__(
        self, graph: onnx.GraphProto, outer: _Graph | None = None, shapes: Shapes | None = None
    ) -> None:
        self.graph = graph
        self.shapes: Shapes = shapes or (outer.shapes if outer else {})
        self.tensors: dict[str, onnx.TensorProto] = dict(outer.tensors) if outer else {}
        self.sparse: dict[str, onnx.SparseTensorProto] = dict(outer.sparse) if outer else {}
        self.makers: dict[str, onnx.NodeProto] = dict(outer.makers) if outer else {}
        self.tensors.update({tensor.name: tensor for tensor in graph.initializer})
        self.sparse.update({item.values.name: item for item in graph.sparse_initializer})
        for node in graph.node:
            if not node.output:
                raise UnreadableError(f"has a {node.op_type} without an output")
            self.makers.update(dict.fromkeys(node.output, node))
            if node.op_type == "Constant":
                self._add_constant(node)
        self.seen: set[str] = outer.seen if outer else set()

    def _add_constant(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.name == "value":
                self.tensors[node.output[0]] = attribute.t
            elif attribute.name == "sparse_value":
                self.sparse[node.output[0]] = attribute.sparse_tensor

    def weights(self) -> Iterator[Stored]:
        """Yield each weight tensor once, however many operators share it."""
        for node in self.graph.node:
            for at, zero_at in WEIGHTS.get(node.op_type, {}).items():
                if at < len(node.input):
                    yield from self._weight(node, at, _input(node, zero_at))
            for subgraph in _subgraphs(node):
                yield from _Graph(subgraph, self).weights()

    def _weight(self, reader: onnx.NodeProto, at: int, zero_name: str) -> Iterator[Stored]:
        name, zero, axis, block = reader.input[at], self._constant(zero_name), None, 0
        between: list[onnx.NodeProto] = []
        # The limit only guards against a cycle, which no valid graph has.
        for _ in range(16):
            node = self.makers.get(name)
            if name in self.tensors or name in self.sparse or node is None:
                break
            if node.op_type == "DequantizeLinear":
                zero, axis, block = self._dequantize(node)
            elif node.op_type == "QuantizeLinear":
                zero, axis, block = None, None, 0  # behind it lie real values
            elif node.op_type not in TRANSPARENT:
                break
            between.append(node)
            name = _input(node, 0)
        if name in self.seen:
            return
        for found in self._stored(name, zero, axis, block):
            seen_as = axes(reader, at, between, found.values.ndim)
            yield replace(
                found,
                layer=reader.name or reader.output[0],
                matrix=seen_as.matrix if seen_as and not found.sparse else None,
                uses=uses(reader, at, seen_as, found.values.shape, self.shapes),
            )

    def _dequantize(self, node: onnx.NodeProto) -> tuple[Array | None, int, int]:
        numbers = {item.name: item.i for item in node.attribute}
        zero = self._constant(_input(node, 2))
        return zero, numbers.get("axis", 1), numbers.get("block_size", 0)

    def _stored(
        self, name: str, zero: Array | None, axis: int | None, block: int
    ) -> Iterator[Stored]:
        if name in self.sparse:
            self.seen.add(name)
            item = self.sparse[name]
            yield Stored(name, name, "", _array(item.values), 0, int(np.prod(item.dims)))
        elif name in self.tensors and len(self.tensors[name].dims) >= 2:
            self.seen.add(name)
            values = _array(self.tensors[name])
            aligned = _aligned(zero, values, axis, block)
            yield Stored(name, name, "", values, aligned, values.size)

    def _constant(self, name: str) -> Array | None:
        return _array(self.tensors[name]) if name in self.tensors else None

    def quantisation(self, name: str) -> tuple[float | None, int | None]:
        """Return scale and zero point of an input that is dequantised at once."""
        for node in self.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == name:
                scale = self._constant(_input(node, 1))
                zero = self._constant(_input(node, 2))
                if scale is not None and scale.size == 1:
                    return float(scale.item()), int(zero.item()) if zero is not None else 0
        return None, None


def _input(node: onnx.NodeProto, at: int | None) -> str:
    return node.input[at] if at is not None and at < len(node.input) else ""


def _array(tensor: onnx.TensorProto) -> Array:
    try:
        values = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableError(f"holds a damaged tensor '{tensor.name}': {error}") from None
    # float8, bfloat16 and int4 have no numpy type of their own; float32 holds them exactly.
    return values if values.dtype.kind in "fiub" else values.astype(np.float32)


def _aligned(zero: Array | None, values: Array, axis: int | None, block: int) -> Any:
    """Shape zero points so that they broadcast: one, one a channel, or one a block."""
    if zero is None or zero.size == 0:
        return 0
    if zero.size == 1:
        return zero.reshape(())[()]
    # QLinearConv and its like have channels first, QLinearMatMul and its like last.
    if axis is None:
        axis = 0 if zero.size == values.shape[0] else values.ndim - 1
    try:
        if block and zero.ndim == values.ndim:
            wide = np.repeat(zero, block, axis=axis)
            return np.take(wide, np.arange(values.shape[axis]), axis=axis)
        shape = [1] * values.ndim
        shape[axis] = values.shape[axis]
        return zero.reshape(shape)
    except (ValueError, IndexError):
        raise UncountableError("zero points do not fit their weights") from None


def _port(value: onnx.ValueInfoProto, quantisation: tuple[float | None, int | None]) -> Port:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Port(value.name, (kind or "unknown").removesuffix("_type"), None)
    tensor = value.type.tensor_type
    shape = _shape(tensor.shape.dim) if tensor.HasField("shape") else None
    return Port(value.name, _dtype(tensor.elem_type), shape, *quantisation)


def _shape(dims: Iterable[Any]) -> tuple[int | None, ...]:
    # Some exporters write -1 or 0 for a free dimension.
    return tuple(int(dim.dim_value) if dim.dim_value > 0 else None for dim in dims)


def _dtype(element: int) -> str:
    if element == onnx.TensorProto.STRING:
        return "string"
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(element))
    except (KeyError, ValueError):
        return "unknown"
