"""Half precision: weights in float16, inputs and outputs still float32.

What executes in float16 is another matter: ONNX Runtime and OpenVINO widen the weights on a CPU
without it, so that only the file is smaller. Reports show what ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.variants import openvino_host
from harness.variants.files import quiet, written
from harness.variants.network import Array

LARGEST = float(np.finfo(np.float16).max)  # 65504
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def halve(source: Path, format: str, target: Path) -> list[str]:
    """Write a float16 file of the same format; returns notes on what was done.

    Raises InputError for a format that has none, or weights beyond the largest float16, 65504.
    """
    if format not in WRITERS:
        raise InputError(f"files of format {format} cannot be halved", where=str(source))
    return WRITERS[format](source, target)


def _onnx(source: Path, target: Path) -> list[str]:
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from harness.variants.networks import onnx_read

    file = onnx_read.read(source)
    large = {name for name in file.constants if _too_large(file.constant(name))}
    layers = [node for node in file.graph.node if node.op_type in WEIGHTED]
    _check((name for node in layers for name in node.input if name in large), source)
    read = {name for node in layers for name in node.input if name in file.constants}
    if read and all(file.constant(name).dtype == np.float16 for name in read):
        raise InputError(
            "stores its weights in float16 already",
            where=str(source),
            next_step="leave `quantize: {to: fp16}` out",
        )
    # Others are masks and limits (-1e9 before a softmax): what reads them stays as it is.
    kept = [node.name for node in file.graph.node if large.intersection(node.input)]
    try:
        with quiet():
            # It also keeps operators that have no float16 form in float32.
            made = convert_float_to_float16(file.model, keep_io_types=True, node_block_list=kept)
            ONNXModel(made).topological_sort()  # it adds its casts at the end
        onnx.checker.check_model(made)
    except (ValueError, AssertionError, onnx.checker.ValidationError) as error:
        said = " ".join(str(error).split())[:400]
        raise InputError(f"cannot be halved: {said}", where=str(source)) from error
    with written(target) as draft:
        onnx.save(made, draft)
    note = f"; {len(kept)} operators with constants beyond 65504 in float32" if kept else ""
    return [f"float16 weights and operators (ONNX Runtime){note}"]


def _tflite(source: Path, target: Path) -> list[str]:
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    from harness.variants.networks import tflite_file
    from harness.variants.quantize.tflite import refused
    from harness.variants.tflite_floats import floats, narrow

    if narrow(source):
        raise InputError(
            "stores weights in int8 already; float16 would make it larger", where=str(source)
        )
    model = floats(source)
    constants = (at for at in range(len(model.tensors)) if model.is_constant(at))
    _check((model.names[at] for at in constants if _too_large(model.constant(at))), source)
    recipe = recipe_manager.RecipeManager()
    recipe.add_weight_only_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    with refused(source), written(target) as draft:
        tool = quantizer.Quantizer(tflite_file.pack(model.file), recipe.get_quantization_recipe())
        draft.write_bytes(tool.quantize(enable_progress_report=False).quantized_model)
    return ["float16 weights, widened to float32 as they are used (ai-edge-quantizer)"]


def _openvino(source: Path, target: Path) -> list[str]:
    openvino_host.save(openvino_host.read(source), target, half=True)
    return ["float16 weights, but for those beyond its range (OpenVINO)"]


def _too_large(values: Array) -> bool:
    return values.dtype.kind == "f" and bool((np.abs(values) > LARGEST).any())


def _check(names: Iterable[str], source: Path) -> None:
    for name in names:
        raise InputError(
            f"the weights '{name}' go beyond {LARGEST:g}, the largest float16",
            where=str(source),
            next_step="leave `quantize: {to: fp16}` out: this network needs float32",
        )


WRITERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "tflite": _tflite,
}
