"""Biases of INT8 TFLite layers that do not fit: pruning leaves channels without a weight.

TFLite stores a bias as int32 with the scale of the input times that of the channel's weights
(its quantisation specification). ai-edge-quantizer gives a channel whose weights are all zero a
scale of about 1e-11, in which int32 ends at 0.0005: the bias is cut off, and with it what pruning
had left of the channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.variants.network import Array
from harness.variants.networks import tflite_file
from harness.variants.networks.tflite_model import Model, numbers

# Half of int32: the products are added to the bias in the same accumulator.
MOST = 1 << 30
# Of operators with a bias: where their data, weight and bias are among the inputs.
INPUTS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}


def fit(data: bytes | bytearray, source: Model) -> bytes | bytearray:
    """Make the weight scales of an INT8 file so coarse that every bias of the source fits."""
    made = Model(tflite_file.schema.ModelT.InitFromObj(tflite_file.schema.Model.GetRootAs(data, 0)))
    fitted = [
        _fit(made, source, *(int(operator.inputs[at]) for at in places))
        for operator in made.operators
        if (places := INPUTS.get(made.code(operator))) and len(operator.inputs) > max(places)
    ]
    return tflite_file.pack(made.file) if any(fitted) else data


def _fit(made: Model, source: Model, fed: int, weight: int, bias: int) -> bool:
    """Widen the scales of one layer; tells whether any had to be."""
    real = _real_bias(made, source, weight, bias)
    if real is None:
        return False
    step = float(made.tensors[fed].quantization.scale[0])
    held = made.tensors[weight].quantization
    scale = np.asarray(held.scale, np.float64)
    coarse = np.maximum(scale, np.abs(real) / MOST / step)
    if np.array_equal(coarse, scale):
        return False
    shape = [1] * len(made.tensors[weight].shape)
    shape[held.quantizedDimension] = len(scale)
    values = made.constant(weight) * (scale / coarse).reshape(shape)
    made.put(weight, np.rint(values))
    made.put(bias, np.rint(real / (coarse * step)))
    held.scale = coarse.astype(np.float32)
    made.tensors[bias].quantization.scale = (coarse * step).astype(np.float32)
    return True


def _real_bias(made: Model, source: Model, weight: int, bias: int) -> Array | None:
    """Return the bias of the source, if the layer is in INT8 with a scale for each channel.

    Null for a weight that several layers read too: the scales are not one layer's to change.
    """
    if bias < 0 or not (made.is_constant(weight) and made.is_constant(bias)):
        return None
    if sum(weight in numbers(operator.inputs) for operator in made.operators) > 1:
        return None
    found: list[Any] = [made.tensors[index].quantization for index in (weight, bias)]
    if any(one is None or one.scale is None for one in found):
        return None
    if made.constant(bias).dtype != np.int32 or len(found[0].scale) != len(found[1].scale):
        return None
    name = made.names[bias]
    if name not in source.index or not source.is_constant(source.index[name]):
        return None
    real: Array = source.constant(source.index[name]).astype(np.float64)
    return real if real.shape == (len(found[0].scale),) else None
