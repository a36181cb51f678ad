"""Run samples through an ONNX graph and hand out tensors from its inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from harness.errors import InputError
from harness.variants.network import Array, Feeds
from harness.variants.networks.onnx_file import File, element_type, first_line


def values(
    file: File, tensors: Sequence[str], feeds: Feeds, where: str
) -> Iterator[dict[str, Array]]:
    """Yield the tensors of each sample, batch 1 first; a fixed batch is filled with copies.

    Raises InputError for samples that do not fit the inputs, and if onnxruntime refuses the model.
    """
    ports = {port.name: port for port in file.graph.input}
    fed = _named(feeds, ports, where)
    counts = {len(samples) for samples in fed.values()}
    if len(counts) != 1:
        raise InputError(f"is fed different numbers of samples: {sorted(counts)}", where=where)
    computed = [name for name in tensors if name not in fed and name not in file.constants]
    session = start(_showing(file, computed), where)
    for at in range(counts.pop()):
        sample = {name: _sample(file, ports[name], data[at], where) for name, data in fed.items()}
        batches = {len(data) for data in sample.values() if data.ndim}
        found = dict(zip(computed, run(session, computed, sample, where), strict=True))
        known = {**sample, **found}
        yield {
            name: file.constant(name) if name in file.constants else _first(known[name], batches)
            for name in tensors
        }


def start(model: Any, where: str) -> Any:
    """Start a model in onnxruntime, on one core; InputError if it is refused."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise _refused(error, where) from None


def _named(feeds: Feeds, ports: Mapping[str, Any], where: str) -> dict[str, Array]:
    """Name the samples by input; the name "" stands for the only one."""
    fed = dict(feeds)
    if "" in fed and len(ports) == 1:
        fed[next(iter(ports))] = fed.pop("")
    if set(fed) != set(ports):
        raise InputError(
            f"has the inputs {', '.join(ports)}; the samples are for "
            f"{', '.join(name or 'the only one' for name in fed)}",
            where=where,
            next_step="give `inputs:` of the calibration as {model input: key}",
        )
    return fed


def _sample(file: File, port: Any, values: Array, where: str) -> Array:
    shape = file.shape(port.name)
    if shape is None:
        return values[np.newaxis].astype(element_type(port))
    fits = len(shape) == values.ndim + 1 and all(
        size in (None, given) for size, given in zip(shape[1:], values.shape, strict=True)
    )
    if not fits:
        declared = [size or "any" for size in shape]
        what = f"input '{port.name}' takes {declared}; a sample has {list(values.shape)}"
        raise InputError(what, where=where, next_step="give samples of the input's shape")
    return np.repeat(values[np.newaxis].astype(element_type(port)), shape[0] or 1, axis=0)


def _first(values: Array, batches: set[int]) -> Array:
    """Cut the copies off again where they are still told apart by the first axis."""
    repeated = values.ndim and len(batches) == 1 and len(values) in batches
    return values[:1] if repeated else values


def _showing(file: File, tensors: Sequence[str]) -> Any:
    """Copy the model and make the tensors its only outputs: what they do not need is not run."""
    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    if tensors:
        known = {port.name: port for port in file.graph.output}
        del model.graph.output[:]
        model.graph.output.extend(
            known.get(name, onnx.ValueInfoProto(name=name)) for name in dict.fromkeys(tensors)
        )
    return model


def run(session: Any, tensors: Sequence[str], sample: dict[str, Array], where: str) -> list[Array]:
    """Compute the tensors of one sample; InputError if onnxruntime fails at it."""
    if not tensors:
        return []
    try:
        return [np.asarray(value) for value in session.run(list(tensors), sample)]
    except Exception as error:
        raise _refused(error, where) from None


def _refused(error: Exception, where: str) -> InputError:
    return InputError(f"onnxruntime refuses it: {first_line(error)}", where=where)
