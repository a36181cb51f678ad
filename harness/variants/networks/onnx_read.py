"""Read an ONNX file for surgery, and refuse what cannot be pruned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from harness.errors import InputError
from harness.formats.onnx import MAX_BYTES
from harness.variants.network import Array
from harness.variants.networks.onnx_file import File, everywhere, first_line
from harness.variants.networks.onnx_simplify import simplified

OLDEST_OPSET = 7  # broadcasting by numpy's rules, and what onnxruntime supports
# How the names of operators on quantised values begin.
QUANTISED = (
    *("QuantizeLinear", "QLinear", "QGemm", "QAttention", "DynamicQuantize"),
    *("ConvInteger", "MatMulInteger", "MatMulNBits"),
)


def read(path: Path) -> File:
    """Read a file; raises InputError for one that is damaged or cannot be pruned."""
    model = _load(path)
    check(model, str(path))
    _check_float(path, model, QUANTISED)
    try:
        file = simplified(path, model)
        _check_numbers(path, file)
    except (onnx.shape_inference.InferenceError, ValueError, TypeError) as error:
        raise InputError(f"cannot be read: {first_line(error)}", where=str(path)) from None
    # Weights that were only stored in few bits have been widened by now.
    _check_float(path, file.model, (*QUANTISED, "DequantizeLinear"))
    return file


def check(model: Any, where: str) -> None:
    """Raise InputError if a model breaks ONNX's rules."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise InputError(f"breaks ONNX's rules: {first_line(error)}", where=where) from None


def _load(path: Path) -> Any:
    try:
        size = path.stat().st_size
        model = onnx.load_model(path, load_external_data=False) if size <= MAX_BYTES else None
    except DecodeError:
        raise InputError("is damaged, cut short or no ONNX file", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if model is None:
        raise InputError("is larger than 2 GiB, which no ONNX file can be", where=str(path))
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise InputError("is cut short or no ONNX file", where=str(path))
    _check_layout(path, model)
    # Old exporters list the weights among the inputs; nobody feeds them.
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # earlier ones want the weights listed
    return model


def _check_layout(path: Path, model: Any) -> None:
    external = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == external for tensor in _tensors(model.graph)):
        raise InputError(
            "keeps weights in other files",
            where=str(path),
            next_step="embed them: onnx.save(onnx.load(FILE), NEW_FILE)",
        )
    if model.graph.sparse_initializer:
        raise InputError(
            "keeps weights as sparse tensors", where=str(path), next_step="store them densely"
        )
    opset = File(model).opset
    if opset < OLDEST_OPSET:
        raise InputError(
            f"has opset {opset}; surgery needs {OLDEST_OPSET} or later",
            where=str(path),
            next_step="convert it: onnx.version_converter.convert_version(MODEL, 17)",
        )


def _tensors(graph: Any) -> list[Any]:
    attributes = [item for node in everywhere(graph.node) for item in node.attribute]
    inner = [item.g for item in attributes if item.HasField("g")]
    inner += [subgraph for item in attributes for subgraph in item.graphs]
    held = [tensor for each in (graph, *inner) for tensor in each.initializer]
    return held + [item.t for item in attributes if item.HasField("t")]


def _check_float(path: Path, model: Any, quantised: tuple[str, ...]) -> None:
    nodes = [*model.graph.node, *(node for item in model.functions for node in item.node)]
    for node in everywhere(nodes):
        if node.op_type.startswith(quantised):
            raise InputError(
                f"is quantised: '{node.name or node.output[0]}' is {node.op_type}",
                where=str(path),
                next_step="prune, then quantise: give the float model it was made from",
            )


def _check_numbers(path: Path, file: File) -> None:
    """Refuse NaN anywhere; infinities are usual in attention masks, so the kinds decide there."""
    spoiled = [
        name
        for name in file.constants
        if (values := file.constant(name)).dtype.kind in "fV" and _has_nan(values)
    ]
    if spoiled:
        refuse_numbers(path, "NaN", spoiled)


def _has_nan(values: Array) -> bool:
    return bool(np.isnan(values.astype(np.float32) if values.dtype.kind == "V" else values).any())


def refuse_numbers(path: Path, what: str, names: list[str]) -> None:
    """Raise the InputError for constants that hold no numbers to rank weights by."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    raise InputError(
        f"has {what} values in {', '.join(names[:3])}{more}",
        where=str(path),
        next_step="train or export the model again: it computes nothing as it is",
    )
