"""Run an OpenVINO model on samples, with every tensor in reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from harness.formats import Port
from harness.variants.network import Array, Feeds
from harness.variants.networks import feeding
from harness.variants.networks.openvino_model import Model, shape
from harness.variants.openvino_host import EXACT
from harness.variants.outputs import explained


def values(
    model: Model, tensors: Sequence[str], feeds: Feeds, path: Path
) -> Iterator[dict[str, Array]]:
    """Yield the tensors of each sample, batch 1 first; a fixed batch is filled with copies.

    Raises InputError for samples that do not fit the inputs, and if OpenVINO refuses the model.
    """
    parameters = model.model.get_parameters()
    ports = [_port(parameter.output(0), feeds) for parameter in parameters]
    batch = feeding.batch(ports)
    with explained(path):
        request = _compiled(model, tensors).create_infer_request()
        for fed in feeding.one_by_one(ports, feeds, str(path)):
            request.infer(fed)
            yield {
                name: feeding.first(request.get_output_tensor(at).data.copy(), batch)
                for at, name in enumerate(tensors)
            }


def _compiled(model: Model, tensors: Sequence[str]) -> Any:
    """Compile a model of the same operators with other outputs."""
    outputs = {model.name(port): port for op in model.operators for port in op.outputs()}
    results = [ops.result(outputs[name]) for name in tensors]
    tapped = ov.Model(results, model.model.get_parameters(), "values")
    return ov.Core().compile_model(tapped, "CPU", EXACT)


def _port(output: Any, feeds: Feeds) -> Port:
    # An input may answer to several names; the file's readers take the first.
    names = [*sorted(output.get_names()), output.get_node().get_friendly_name()]
    name = next((name for name in names if name in feeds), names[0])
    dtype = np.dtype(output.get_element_type().to_dtype()).name
    return Port(name, dtype, shape(output))
