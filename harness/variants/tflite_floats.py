"""TFLite files made ready for ai-edge-quantizer.

Exporters store float models with int8 or float16 weights (the kws reference does), which the tool
leaves alone: they are widened to float32. Its statistics go by tensor name, so names are told
apart. It calls models by their signature, so each has one. And it takes every operator of a file
from before 2020 for an ADD, since it reads only the newer field of its code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.formats.tflite import DAMAGE
from harness.variants.network import Array
from harness.variants.networks.tflite_densify import densify
from harness.variants.networks.tflite_file import DTYPES, schema
from harness.variants.networks.tflite_model import Model

SIGNATURE = "serving_default"
FLOAT32 = schema.TensorType.FLOAT32


def floats(path: Path) -> Model:
    """Open a file with float activations; raises InputError for one that computes in integers."""
    model = opened(path)
    _inline_dequantised(model)
    for index, tensor in enumerate(model.tensors):
        if not _scaled(tensor):
            continue
        if not model.is_constant(index):
            raise InputError(
                f"is quantised already (tensor '{model.names[index]}')",
                where=str(path),
                next_step="give the float model that it was made from",
            )
        _widen(model, index, index)
    for tensor, name in zip(model.tensors, model.names, strict=True):
        tensor.name = name.encode()
    for code in model.file.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    if not model.file.signatureDefs:
        model.file.signatureDefs = [_signature(model)]
    return model


def narrow(path: Path) -> bool:
    """Tell whether a file keeps any constant as integers with a scale."""
    model = opened(path)
    return any(_scaled(tensor) and model.is_constant(i) for i, tensor in enumerate(model.tensors))


def opened(path: Path) -> Model:
    """Read a file of any kind of numbers; raises InputError for a damaged one."""
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
        densify(model)
        return Model(model)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except DAMAGE:
        raise InputError("is damaged or cut short", where=str(path)) from None


def signature(model: Model) -> tuple[str, list[str]]:
    """Return the key of a model's signature and its names of the inputs, in the file's order."""
    found = next(item for item in model.file.signatureDefs if item.subgraphIndex == 0)
    names = {entry.tensorIndex: entry.name.decode() for entry in found.inputs}
    return found.signatureKey.decode(), [names[index] for index in model.inputs]


def _inline_dequantised(model: Model) -> None:
    """Replace DEQUANTIZE of a constant by what it gives."""
    for operator in list(model.operators):
        if model.code(operator) != "DEQUANTIZE" or not model.is_constant(operator.inputs[0]):
            continue
        del model.makers[int(operator.outputs[0])]
        model.operators.remove(operator)
        _widen(model, int(operator.inputs[0]), int(operator.outputs[0]))


def _widen(model: Model, source: int, target: int) -> None:
    """Store a constant's real values, float32, as those of `target`."""
    values = _real(model.constant(source), model.tensors[source].quantization)
    tensor = model.tensors[target]
    tensor.type, tensor.quantization = FLOAT32, None
    model.put(target, values)


def _real(values: Array, found: Any) -> Array:
    """Undo quantisation: real = (stored - zero point) * scale, per tensor or along an axis."""
    wide: Array = values.astype(np.float32)
    if found is None or found.scale is None or not len(found.scale):
        return wide
    scale = np.asarray(found.scale, np.float32)
    zero = np.zeros_like(scale) if found.zeroPoint is None else np.asarray(found.zeroPoint)
    shape = [1] * values.ndim
    if len(scale) > 1:
        shape[found.quantizedDimension] = len(scale)
    real: Array = (wide - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
    return real


def _scaled(tensor: Any) -> bool:
    # Float tensors may carry the range that was seen in training.
    found = tensor.quantization
    has_scale = found is not None and found.scale is not None and len(found.scale) > 0
    return bool(has_scale and tensor.type in DTYPES and DTYPES[tensor.type].kind in "iu")


def _signature(model: Model) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = SIGNATURE.encode(), 0
    made.inputs = [_entry(model, index) for index in model.inputs]
    made.outputs = [_entry(model, index) for index in model.outputs]
    return made


def _entry(model: Model, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = model.names[index].encode(), index
    return entry
