"""OpenVINO IR to INT8 by NNCF: FakeQuantize operators, which the CPU plugin executes in integers.

Measured on kws and digits, one x86 thread: with the two settings below as fast in OpenVINO as the
QDQ file of ONNX Runtime's tool, without them 1.2 times slower.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.variants import openvino_host
from harness.variants.files import quiet
from harness.variants.network import Array, Feeds
from harness.variants.outputs import batches
from harness.variants.quantize import MISSING, check_left
from harness.variants.recipe import Quantize

WEIGHTED = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData")
NO_LAYERS = ("Constant", "Parameter", "Result")


def quantize(source: Path, target: Path, ask: Quantize, feeds: Feeds) -> list[str]:
    """Write the INT8 IR; inputs and outputs keep their types, a free batch stays free."""
    samples = batches(source, "openvino", feeds)
    model = openvino_host.read(source)
    operators = [op for op in model.get_ops() if op.get_type_name() not in NO_LAYERS]
    check_left(ask.leave, [op.get_friendly_name() for op in operators], str(source))
    _fold(model)
    try:
        with quiet():
            made = _quantised(model, samples, ask.leave)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise InputError(f"NNCF cannot quantise it: {said}", where=str(source)) from error
    notes = _layers(made, str(source))
    openvino_host.save(made, target)
    return notes


def _fold(model: Any) -> None:
    """Compute reshaped constants.

    NNCF 3.4 takes the shape before the reshape for that of a depthwise weight, puts its scales
    along an axis of the kernel, and such a layer runs in float32.
    """
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _quantised(model: Any, samples: Sequence[dict[str, Array]], left: Sequence[str]) -> Any:
    try:
        import nncf
    except ModuleNotFoundError:
        raise InputError("INT8 for OpenVINO needs nncf on the host", next_step=MISSING) from None
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )

    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset([list(sample.values()) for sample in samples]),
        preset=nncf.QuantizationPreset.PERFORMANCE,  # its default, symmetric: zeros stay zero
        subset_size=len(samples),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=list(left)) if left else None,
        advanced_parameters=AdvancedQuantizationParameters(
            # Its default for depthwise layers, a scale for each channel, is up to 1.3 times slower.
            activations_quantization_params=QuantizationParameters(per_channel=False),
        ),
    )


def _layers(model: Any, where: str) -> list[str]:
    """Count the layers whose data come from a FakeQuantize."""
    layers = [op for op in model.get_ordered_ops() if op.get_type_name() in WEIGHTED]
    whole = sum(_quantised_data(layer) for layer in layers)
    if not whole:
        raise InputError("none of its layers could be quantised", where=where)
    return [f"{whole} of {len(layers)} layers in INT8 (NNCF, min/max, fast bias correction)"]


def _quantised_data(layer: Any) -> bool:
    node = layer.input_value(0).get_node()
    while node.get_type_name() in (
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "MaxPool",
        "Pad",
    ):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")
