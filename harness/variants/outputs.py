"""Run a model file on the host: samples in, outputs as real numbers, whatever its format."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents import feed, wire
from agents.backends.litert import real_values
from harness.errors import InputError
from harness.formats import Port
from harness.formats import torch as torch_file
from harness.variants.network import Array, Feeds
from harness.variants.openvino_host import EXACT

INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
ORT_TYPES = {"float": "float32", "double": "float64"}  # the others are called as in numpy


@dataclass(frozen=True)
class Opened:
    """A model file in its runtime, with one thread."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    run: Callable[[list[Array]], list[Array]]  # both in the file's order


def outputs(path: Path, format: str, feeds: Feeds) -> list[Array]:
    """Return the outputs of the file in its order; their first axis counts the samples.

    Samples run one by one, or so many at once as the file's fixed batch holds. Quantised inputs and
    outputs go through the file's own scale and zero point; float16 ones are cast. Raises InputError
    when the file does not run on this host or does not take the samples.
    """
    opened, arrays, batch = _open(path, format, feeds)
    with explained(path):
        pieces = [_real(opened, chunk, batch) for chunk in _chunks(opened.inputs, arrays, batch)]
    return [
        _joined(port, parts, path)[: len(arrays[0])]
        for port, parts in zip(opened.outputs, zip(*pieces, strict=True), strict=True)
    ]


def _joined(port: Port, parts: Sequence[Array], path: Path) -> Array:
    shapes = list(dict.fromkeys(part.shape[1:] for part in parts))
    if len(shapes) > 1:
        told = ", ".join(str(list(shape)) for shape in shapes[:3])
        what = f"output '{port.name}' differs in shape from sample to sample: {told}"
        raise InputError(f"{what}; such outputs cannot be compared", where=str(path))
    return np.concatenate(parts)


def batches(path: Path, format: str, feeds: Feeds) -> list[dict[str, Array]]:
    """Return the samples as the file takes them: input -> array, the batch first.

    Raises InputError when the file does not take them.
    """
    opened, arrays, batch = _open(path, format, feeds)
    names = [port.name for port in opened.inputs]
    with explained(path):
        chunks = list(_chunks(opened.inputs, arrays, batch))
    return [dict(zip(names, chunk, strict=True)) for chunk in chunks]


def _open(path: Path, format: str, feeds: Feeds) -> tuple[Opened, list[Array], int]:
    """Load a file; with it, the samples in its inputs' order and how many it takes at once."""
    if format not in OPENERS:
        raise InputError(f"files of format {format} cannot be run on the host", where=str(path))
    with explained(path):
        opened = OPENERS[format](path, feeds)
    arrays = matched(opened.inputs, feeds, str(path))
    return opened, arrays, _batch(opened.inputs[0], arrays[0])


def matched(ports: Sequence[Port], feeds: Feeds, where: str) -> list[Array]:
    """Order the samples as the file orders its inputs.

    By name, since formats may order them differently; by position when no file input has these
    names, since converters rename. "" is the only input. Raises InputError.
    """
    lengths = {len(array) for array in feeds.values()}
    if len(lengths) != 1 or 0 in lengths:
        counted = ", ".join(f"'{name}' {len(array)}" for name, array in feeds.items())
        raise InputError(f"the inputs need equally many samples; there are {counted}", where=where)
    names = [port.name for port in ports]
    if set(names) == set(feeds):
        return [feeds[name] for name in names]
    strange = not set(names) & set(feeds)
    if len(names) == len(feeds) and strange and ("" not in feeds or len(feeds) == 1):
        return list(feeds.values())
    raise InputError(
        f"takes the inputs {', '.join(names)}; the samples are for {', '.join(feeds) or 'none'}",
        where=where,
        next_step="give `inputs:` of the calibration as {model input: key}",
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a runtime says about a file into an InputError; their errors share no base."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:400]
        raise InputError(f"does not run on this host: {said}", where=str(path)) from error


def _batch(port: Port, samples: Array) -> int:
    """Return how many samples the file takes at once; 1 where it leaves that free."""
    per_sample = samples.ndim - 1
    if port.shape is None or len(port.shape) <= per_sample or port.shape[0] is None:
        return 1
    return port.shape[0]


def _chunks(ports: Sequence[Port], arrays: Sequence[Array], batch: int) -> Iterator[list[Array]]:
    for start in range(0, len(arrays[0]), batch):
        yield [
            _fed(port, array[start : start + batch], batch)
            for port, array in zip(ports, arrays, strict=True)
        ]


def _fed(port: Port, samples: Array, batch: int) -> Array:
    """Bring samples to an input's type, and repeat them until they fill the batch."""
    spec: wire.TensorSpec = {
        "name": port.name,
        "dtype": port.dtype,
        "shape": [batch, *samples.shape[1:]],
        "scale": port.scale,
        "zero_point": port.zero_point,
    }
    cast = feed.converted(samples, spec, port.dtype)
    if port.shape is not None and len(port.shape) == samples.ndim - 1:
        return np.ascontiguousarray(cast[0])  # an input without a batch
    return np.ascontiguousarray(np.resize(cast, spec["shape"]))


def _real(opened: Opened, chunk: list[Array], batch: int) -> list[Array]:
    """Run one batch; the outputs as real numbers with the batch first."""
    found = []
    for port, raw in zip(opened.outputs, opened.run(chunk), strict=True):
        values = real_values(raw, port.scale or 0.0, port.zero_point or 0)
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        if values.shape[:1] != (batch,):
            if batch != 1:
                shape = list(values.shape)
                raise InputError(f"output '{port.name}' {shape} has no axis of the batch {batch}")
            values = values[np.newaxis]
        found.append(values)
    return found


def _onnx(path: Path, feeds: Feeds) -> Opened:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = tuple(_ort_port(node) for node in session.get_inputs())

    def run(arrays: list[Array]) -> list[Array]:
        names = (port.name for port in inputs)
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return Opened(inputs, tuple(_ort_port(node) for node in session.get_outputs()), run)


def _ort_port(node: Any) -> Port:
    dtype = node.type.removeprefix("tensor(").removesuffix(")")
    # An unknown rank and a scalar both come as []; samples tell which it is.
    shape = tuple(size if isinstance(size, int) else None for size in node.shape) or None
    return Port(node.name, ORT_TYPES.get(dtype, dtype), shape)


def _openvino(path: Path, feeds: Feeds) -> Opened:
    import openvino as ov

    compiled = ov.Core().compile_model(str(path), "CPU", EXACT)
    request = compiled.create_infer_request()

    def run(arrays: list[Array]) -> list[Array]:
        request.infer(arrays)
        return [request.get_output_tensor(at).data.copy() for at in range(len(compiled.outputs))]

    ports = [
        tuple(_ov_port(port, feeds) for port in side)
        for side in (compiled.inputs, compiled.outputs)
    ]
    return Opened(ports[0], ports[1], run)


def _ov_port(port: Any, feeds: Feeds) -> Port:
    names = sorted(port.get_names())  # a port may answer to several
    name = next((name for name in names if name in feeds), names[0] if names else "")
    partial = port.get_partial_shape()
    shape = None
    if partial.rank.is_static:
        shape = tuple(size.get_length() if size.is_static else None for size in partial)
    return Port(name, np.dtype(port.get_element_type().to_dtype()).name, shape)


def _tflite(path: Path, feeds: Feeds) -> Opened:
    interpreter = _interpreter()(model_path=str(path), num_threads=1)
    details = interpreter.get_input_details()
    inputs = tuple(_tflite_port(detail) for detail in details)
    _resize(interpreter, details, matched(inputs, feeds, str(path)))
    interpreter.allocate_tensors()
    results = interpreter.get_output_details()

    def run(arrays: list[Array]) -> list[Array]:
        for detail, array in zip(details, arrays, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in results]

    return Opened(inputs, tuple(_tflite_port(detail) for detail in results), run)


def _interpreter() -> Any:
    for name in INTERPRETERS:
        try:
            return importlib.import_module(name).Interpreter
        except ModuleNotFoundError:
            continue
    raise InputError(
        "TFLite files need ai-edge-litert on the host",
        next_step="install edgeproof[build]",
    )


def _resize(interpreter: Any, details: Sequence[Any], arrays: Sequence[Array]) -> None:
    """Give free dimensions the samples' sizes; fixed ones stand."""
    for detail, array in zip(details, arrays, strict=True):
        signature = [int(size) for size in detail["shape_signature"]]
        if -1 not in signature or len(signature) != array.ndim:
            continue
        sizes = [1, *array.shape[1:]]
        whole = [real if size == -1 else size for size, real in zip(signature, sizes, strict=True)]
        interpreter.resize_tensor_input(detail["index"], whole)


def _tflite_port(detail: Any) -> Port:
    scale, zero_point = detail["quantization"]
    quantised = scale != 0
    return Port(
        detail["name"],
        np.dtype(detail["dtype"]).name,
        tuple(None if size == -1 else int(size) for size in detail["shape_signature"]),
        float(scale) if quantised else None,
        int(zero_point) if quantised else None,
    )


def _torch(path: Path, feeds: Feeds) -> Opened:
    try:
        import torch
    except ModuleNotFoundError:
        what, advice = "PyTorch files need torch on the host", "install edgeproof[author]"
        raise InputError(what, where=str(path), next_step=advice) from None
    module, contents = torch.export.load(path).module(), torch_file.read(path)

    def run(arrays: list[Array]) -> list[Array]:
        with torch.inference_mode():
            found = module(*map(torch.from_numpy, arrays))
        return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(found)]

    return Opened(contents.inputs, contents.outputs, run)


OPENERS: dict[str, Callable[[Path, Feeds], Opened]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "tflite": _tflite,
    "torch": _torch,
}
