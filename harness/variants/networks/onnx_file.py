"""An ONNX graph indexed by name: its constants, its shapes, and edits that keep both true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from harness.variants.network import Array

Shape = tuple[int | None, ...]
# A dimension: its size, the symbol of a free one, or null when nothing is known of it.
Dimension = int | str | None

NOT_INFERRED = {"GroupNormalization", "MeanVarianceNormalization"}  # by onnx 1.23


class File:
    """The graph of a model, whose protobuf is edited in place."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.graph
        self.opset = next(
            (item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0
        )
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.dimensions: dict[str, tuple[Dimension, ...]] = {}
        self.types: dict[str, int] = {}

    def refresh(self) -> None:
        """Drop what nobody reads, and infer every shape anew."""
        self.drop_unread()
        del self.graph.value_info[:]
        self.infer()
        while gaps := self._gaps():
            self.graph.value_info.extend(gaps)
            self.infer()

    def infer(self) -> None:
        """Infer every shape that onnx can."""
        inferred = shape_inference.infer_shapes(self.model, data_prop=True).graph
        ports = (*inferred.value_info, *inferred.output, *inferred.input)
        found = {port.name: _dimensions(port) for port in ports}
        self.dimensions = {name: dims for name, dims in found.items() if dims is not None}
        self.types = {port.name: port.type.tensor_type.elem_type for port in ports}
        for name, tensor in self.constants.items():
            self.dimensions[name] = tuple(tensor.dims)

    def _gaps(self) -> list[Any]:
        """State the output shapes of operators that keep theirs, but that onnx does not infer."""
        outputs = {port.name for port in self.graph.output}
        return [
            onnx.helper.make_tensor_value_info(
                node.output[0], self.types[node.input[0]], self.dimensions[node.input[0]]
            )
            for node in self.graph.node
            if node.op_type in NOT_INFERRED
            and node.input[0] in self.dimensions
            and node.output[0] not in self.dimensions
            and node.output[0] not in outputs
        ]

    def shape(self, name: str) -> Shape | None:
        """Return a tensor's shape, or null if not even its rank is known."""
        dims = self.dimensions.get(name)
        if dims is None:
            return None
        return tuple(size if isinstance(size, int) else None for size in dims)

    def constant(self, name: str) -> Array:
        """Return a copy of a constant's values."""
        return np.array(numpy_helper.to_array(self.constants[name]))

    def put(self, name: str, values: Array) -> None:
        """Give a constant other values, of its own type."""
        tensor = self.constants[name]
        dtype = numpy_helper.to_array(tensor).dtype
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))

    def add(self, stem: str, values: Array) -> str:
        """Add a constant under a name that nothing else bears; returns the name."""
        taken = {*self.dimensions, *self.constants}
        count = 0
        while (name := f"{stem}.{count}" if count else stem) in taken:
            count += 1
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        self.constants[name] = self.graph.initializer[-1]
        self.dimensions[name] = np.shape(values)
        return name

    def drop_unread(self) -> None:
        """Remove nodes and constants that no output depends on."""
        read = Counter(port.name for port in self.graph.output)
        for node in self.graph.node:
            read.update(reads(node))
        for at in reversed(range(len(self.graph.node))):
            node = self.graph.node[at]
            if not any(read[name] for name in node.output if name):
                read.subtract(reads(node))
                del self.graph.node[at]
        for at in reversed(range(len(self.graph.initializer))):
            name = self.graph.initializer[at].name
            if not read[name]:
                del self.graph.initializer[at]
        # Deleting moves the protobufs that stay, so the old references are void.
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}


def reads(node: Any) -> list[str]:
    """List the tensors a node reads, with those of outside that its subgraphs read."""
    names = list(node.input)
    for subgraph in subgraphs(node):
        inner = {port.name for port in subgraph.input}
        inner.update(tensor.name for tensor in subgraph.initializer)
        inner.update(name for step in subgraph.node for name in step.output)
        used = [name for step in subgraph.node for name in reads(step)]
        used.extend(port.name for port in subgraph.output)
        names.extend(name for name in dict.fromkeys(used) if name and name not in inner)
    return names


def subgraphs(node: Any) -> Iterator[Any]:
    """Yield the graphs that a node carries, as If and Loop do."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def everywhere(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield nodes with those of their subgraphs."""
    for node in nodes:
        yield node
        for subgraph in subgraphs(node):
            yield from everywhere(subgraph.node)


def element_type(port: Any) -> np.dtype[Any]:
    """Return numpy's type of an input or output."""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type))


def first_line(error: Exception) -> str:
    """Return the first line of what another library says."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _dimensions(port: Any) -> tuple[Dimension, ...] | None:
    tensor = port.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(_dimension(dim) for dim in tensor.shape.dim)


def _dimension(dim: Any) -> Dimension:
    # Some exporters write -1 or 0 for a free dimension.
    return int(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or None
