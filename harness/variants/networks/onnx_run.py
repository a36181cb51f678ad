"""Run samples through an ONNX graph and hand out tensors from its inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from harness.errors import InputError
from harness.formats import Port
from harness.variants.network import Array, Feeds
from harness.variants.networks import feeding
from harness.variants.networks.onnx_file import File, element_type, first_line


def values(
    file: File, tensors: Sequence[str], feeds: Feeds, where: str
) -> Iterator[dict[str, Array]]:
    """Yield the tensors of each sample, batch 1 first; a fixed batch is filled with copies.

    Raises InputError for samples that do not fit the inputs, and if onnxruntime refuses the model.
    """
    ports = [_port(file, port) for port in file.graph.input]
    names, batch = [port.name for port in ports], feeding.batch(ports)
    computed = [name for name in tensors if name not in names and name not in file.constants]
    session = start(_showing(file, computed), where)
    for fed in feeding.one_by_one(ports, feeds, where):
        sample = dict(zip(names, fed, strict=True))
        found = dict(zip(computed, run(session, computed, sample, where), strict=True))
        known = {name: feeding.first(array, batch) for name, array in (sample | found).items()}
        yield {name: known[name] if name in known else file.constant(name) for name in tensors}


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


def _port(file: File, port: Any) -> Port:
    return Port(port.name, element_type(port).name, file.shape(port.name))


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
