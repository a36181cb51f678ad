"""Make an ONNX graph plain for surgery: sizes as constants, one name for each node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from harness.errors import InputError
from harness.variants.network import Array
from harness.variants.networks import onnx_run
from harness.variants.networks.onnx_file import File, first_line, reads

# Second outputs (masks, positions, statistics) that exporters write and nobody reads.
OPTIONAL_OUTPUTS = {"Dropout", "LayerNormalization", "MaxPool"}


def simplified(path: Path, model: Any) -> File:
    """Fold constants and shape arithmetic; the operators that compute stay as they are."""
    name_nodes(model.graph)
    _name_free_sizes(model.graph)
    _fold_dequantised(path, model)
    # First, since folding loses which sizes are the same free one.
    _state_sizes(File(model))
    file = File(_folded(path, model))
    file.drop_unread()
    _restore_names(model.graph, file.graph)
    name_nodes(file.graph)
    _trim_outputs(file)
    _state_sizes(file)
    _each(file, "Gemm", _plain_gemm)
    file.refresh()
    return file


def name_nodes(graph: Any) -> None:
    """Give every node a name of its own; empty and repeated ones become operator_index."""
    seen: set[str] = {node.name for node in graph.node if node.name}
    counts = Counter(node.name for node in graph.node)
    first = set[str]()
    for index, node in enumerate(graph.node):
        if node.name and (counts[node.name] == 1 or node.name not in first):
            first.add(node.name)
            continue
        name = f"{node.op_type}_{index}"
        while name in seen:
            name += "_"
        seen.add(name)
        node.name = name


def _name_free_sizes(graph: Any) -> None:
    """Give free sizes that have no name, or one that exporters give to all, a name of their own.

    A size is then known to be that of the input wherever inference finds the name.
    """
    for port in graph.input:
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            usual = dim.dim_param.isidentifier() and dim.dim_param != "None"
            if dim.dim_value <= 0 and not usual:
                dim.dim_param = f"free_{port.name}_{axis}"


def _fold_dequantised(path: Path, model: Any) -> None:
    """Replace weights that are stored in few bits and widened at once by what they stand for."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    found = [
        node
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and all(not name or name in stored for name in node.input)
    ]
    if not found:
        return
    read = {name for node in found for name in node.input if name}
    outputs = [onnx.ValueInfoProto(name=node.output[0]) for node in found]
    alone = onnx.helper.make_graph(found, "alone", [], outputs, [stored[name] for name in read])
    model_alone = onnx.helper.make_model(
        alone, ir_version=model.ir_version, opset_imports=model.opset_import
    )
    wide = onnx_run.run(
        onnx_run.start(model_alone, str(path)), [port.name for port in outputs], {}, str(path)
    )
    for node, values in zip(found, wide, strict=True):
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)


def _folded(path: Path, model: Any) -> Any:
    """Fold constants and shape arithmetic by onnxsim."""
    try:
        import onnxsim
    except ImportError:
        raise InputError(
            "ONNX files are pruned with the help of onnxsim, which is not installed",
            where=str(path),
            next_step="pip install 'edgeproof[build]'",
        ) from None
    try:
        # Its optimizer fuses and splits layers, which users would no longer find by name.
        folded, _ = onnxsim.simplify(
            model,
            perform_optimization=False,
            certify=False,
            inline_functions=bool(model.functions),
        )
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(f"cannot be simplified: {first_line(error)}", where=str(path)) from None
    folded.ir_version = model.ir_version
    del folded.metadata_props[:]
    folded.metadata_props.extend(model.metadata_props)
    return folded


def _restore_names(original: Any, folded: Any) -> None:
    """Name folded constants as the file names the values that they replace."""
    known = {name for node in original.node for name in (*node.input, *node.output)}
    made = {name for node in folded.node for name in node.output}
    constants = {tensor.name: tensor for tensor in folded.initializer}
    wanted = {node.output[0]: node for node in original.node if node.output}
    for node in folded.node:
        source = wanted.get(node.output[0]) if node.output else None
        if source is None or len(source.input) != len(node.input):
            continue
        for at, name in enumerate(node.input):
            if name not in constants or name in known or source.input[at] in made:
                continue
            tensor, twin = constants[name], constants.get(source.input[at])
            if twin is None:
                twin = folded.initializer.add()
                twin.CopyFrom(tensor)
                twin.name = source.input[at]
                constants[twin.name] = twin
            if _same(tensor, twin):
                node.input[at] = twin.name


def _same(first: Any, second: Any) -> bool:
    bare = [onnx.TensorProto(), onnx.TensorProto()]
    for copy, tensor in zip(bare, (first, second), strict=True):
        copy.CopyFrom(tensor)
        copy.name = ""
    return bool(bare[0] == bare[1])


def _state_sizes(file: File) -> None:
    file.refresh()
    _each(file, "Reshape", _plain_reshape)
    _each(file, "Resize", _plain_resize)


def _trim_outputs(file: File) -> None:
    read = {name for node in file.graph.node for name in reads(node)}
    read.update(port.name for port in file.graph.output)
    for node in file.graph.node:
        while (
            node.op_type in OPTIONAL_OUTPUTS
            and len(node.output) > 1
            and node.output[-1] not in read
        ):
            del node.output[-1]


def _each(file: File, operator: str, change: Callable[[File, Any], None]) -> None:
    for node in file.graph.node:
        if node.op_type == operator and node.domain in ("", "ai.onnx"):
            change(file, node)


def _plain_gemm(file: File, node: Any) -> None:
    """Fold alpha and beta into the weights, and widen the bias to one value for each output."""
    if node.input[1] not in file.constants:
        return
    numbers = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    alpha, beta = numbers.get("alpha", 1.0), numbers.get("beta", 1.0)
    weight = file.constant(node.input[1])
    width = weight.shape[0 if numbers.get("transB") else 1]
    bias_name = node.input[2] if len(node.input) > 2 else ""
    bias = file.constant(bias_name) if bias_name in file.constants else None
    if bias_name and (bias is None or bias.size not in (1, width) or bias.shape[:-1] not in _FLAT):
        return
    if alpha != 1:
        node.input[1] = file.add(f"{node.input[1]}.scaled", _scaled(weight, alpha))
    if bias is not None and (beta != 1 or bias.shape != (width,)):
        wide = np.broadcast_to(bias.reshape(-1), (width,))
        node.input[2] = file.add(f"{bias_name}.wide", _scaled(wide, beta))
    kept = [item for item in node.attribute if item.name not in ("alpha", "beta")]
    del node.attribute[:]
    node.attribute.extend(kept)


_FLAT: tuple[tuple[int, ...], ...] = ((), (1,))  # what may precede the last axis of a bias


def _scaled(values: Array, factor: float) -> Array:
    return np.asarray(values * np.asarray(factor, values.dtype), values.dtype)


def _plain_reshape(file: File, node: Any) -> None:
    """Replace a computed shape by a constant where inference tells what it must be."""
    if node.input[1] in file.constants:
        return
    source, target = (file.dimensions.get(name) for name in (node.input[0], node.output[0]))
    if source is None or target is None or _number(node, "allowzero"):
        return
    # Zero copies the size of the same axis of the input; one size may be left open as -1.
    sizes = [
        size if isinstance(size, int) else 0 if _same_symbol(source, at, size) else -1
        for at, size in enumerate(target)
    ]
    if sizes.count(-1) <= 1:
        node.input[1] = file.add(f"{node.name}.shape", np.array(sizes, np.int64))


def _same_symbol(source: tuple[Any, ...], at: int, size: Any) -> bool:
    return size is not None and at < len(source) and source[at] == size


def _plain_resize(file: File, node: Any) -> None:
    """Replace computed sizes by scales where inference tells that they are whole multiples."""
    if len(node.input) < 4 or not node.input[3] or node.input[3] in file.constants:
        return
    source, target = file.dimensions.get(node.input[0]), _propagated(file, node.input[3])
    odd = any(item.name in ("axes", "keep_aspect_ratio_policy") for item in node.attribute)
    if odd or source is None or target is None or len(source) != len(target):
        return
    scales = [_multiple(source, at, size) for at, size in enumerate(target)]
    if all(scale is not None for scale in scales):
        node.input[2] = file.add(f"{node.name}.scales", np.array(scales, np.float32))
        del node.input[3]


def _propagated(file: File, name: str) -> tuple[Any, ...] | None:
    """Return the values of a computed shape as far as they follow from the inputs' shapes.

    Inference knows them but does not tell; the shape of a tensor made from them does.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(file.model)
    probe.graph.node.append(onnx.helper.make_node("ConstantOfShape", [name], [f"{name}.probe"]))
    inferring = File(probe)
    inferring.infer()
    return inferring.dimensions.get(f"{name}.probe")


def _multiple(source: tuple[Any, ...], at: int, size: Any) -> float | None:
    if _same_symbol(source, at, size):
        return 1.0
    if isinstance(size, int) and isinstance(source[at], int) and size % source[at] == 0:
        return float(size // source[at])
    return None


def _number(node: Any, name: str) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), 0)
