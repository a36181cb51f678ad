"""TFLite to INT8 by ai-edge-quantizer: int8 weights per channel, int8 activations, in and out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.variants.files import quiet, written
from harness.variants.network import Array, Feeds
from harness.variants.networks import tflite_file
from harness.variants.outputs import batches
from harness.variants.quantize import check_left, tflite_bias
from harness.variants.recipe import Quantize
from harness.variants.tflite_floats import floats, opened, signature

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def quantize(source: Path, target: Path, ask: Quantize, feeds: Feeds) -> list[str]:
    """Write the INT8 file; inputs and outputs are int8 too, unless a layer left touches them."""
    samples = batches(source, "tflite", feeds)
    model = floats(source)
    scopes = _scopes(model, ask.leave, str(source))
    with refused(source), written(target) as draft:
        draft.write_bytes(_quantised(model, samples, scopes))
        return _layers(draft, str(source))


@contextmanager
def refused(source: Path) -> Iterator[None]:
    """Keep the tool off our output; what it cannot do is an InputError."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with quiet():
            yield
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        said = " ".join(str(error).split())[:400]
        what = f"ai-edge-quantizer cannot convert it: {said}"
        raise InputError(what, where=str(source)) from error
    finally:
        logging.disable(level)


def _scopes(model: Any, names: Sequence[str], where: str) -> list[str]:
    """Return the patterns by which the tool finds layers: the names of all their outputs."""
    layers = {
        model.names[operator.outputs[0]]: [model.names[at] for at in operator.outputs]
        for operator in model.operators
    }
    check_left(names, layers, where)
    return ["^" + re.escape(";".join(layers[name]) + ";") + "$" for name in names]


def _quantised(
    model: Any, samples: Sequence[dict[str, Array]], scopes: Sequence[str]
) -> bytes | bytearray:
    from ai_edge_quantizer import calibrator, quantizer, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.utils import qsv_utils

    recipe = recipe_manager.RecipeManager()
    every = TFLOperationName.ALL_SUPPORTED
    # Weights are symmetric in all its recipes: zeros stay zero.
    recipe.add_static_config(".*", every, activation_num_bits=8, weight_num_bits=8)
    for scope in scopes:
        recipe.add_quantization_config(scope, every, algorithm_key=AlgorithmName.NO_QUANTIZE)
    key, names = signature(model)
    data = tflite_file.pack(model.file)
    fed = [dict(zip(names, sample.values(), strict=True)) for sample in samples]
    # Its own choice, a moving average of the ranges, clips what single samples reach.
    ranges = calibrator.Calibrator(data, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate({key: fed}, recipe)
    tool = quantizer.Quantizer(data, recipe.get_quantization_recipe())
    result = tool.quantize(ranges.get_model_qsvs(), enable_progress_report=False)
    return tflite_bias.fit(result.quantized_model, model)


def _layers(path: Path, where: str) -> list[str]:
    """Count the layers whose activations and weights are int8."""
    model = opened(path)
    layers = [operator for operator in model.operators if model.code(operator) in WEIGHTED]
    kinds = [[model.tensors[at].type for at in operator.inputs if at >= 0] for operator in layers]
    float32 = tflite_file.schema.TensorType.FLOAT32
    whole = sum(float32 not in found for found in kinds)
    if not whole:
        raise InputError("none of its layers could be quantised", where=where)
    return [f"{whole} of {len(layers)} layers in INT8 (ai-edge-quantizer, min/max)"]
