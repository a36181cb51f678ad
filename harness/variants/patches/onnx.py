"""ONNX: the raw data of initializers and Constant nodes, those of subgraphs too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from harness.errors import InputError
from harness.formats import Array
from harness.variants.files import written
from harness.variants.networks.onnx_file import everywhere


def patch(source: Path, target: Path, values: Mapping[str, Array]) -> None:
    """Write the model with other values for some constants."""
    model = onnx.load_model(source, load_external_data=False)
    for name, tensor in _constants(model.graph):
        if name in values:
            _put(tensor, values[name], source)
    with written(target) as draft:
        draft.write_bytes(model.SerializeToString(deterministic=True))


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield constants by the name that operators read them under."""
    graphs = [graph]
    for node in everywhere(graph.node):
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], attribute.t
            graphs += [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
    for each in graphs:
        yield from ((tensor.name, tensor) for tensor in each.initializer)


def _put(tensor: onnx.TensorProto, array: Array, source: Path) -> None:
    if numpy_helper.to_array(tensor).dtype != array.dtype:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        what = f"has weights of type {kind} ('{tensor.name}'), whose zeros cannot be refilled"
        raise InputError(what, where=str(source))
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)
    tensor.raw_data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
