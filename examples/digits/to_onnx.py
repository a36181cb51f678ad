"""Layers to ONNX: a float graph written node by node, and its static INT8 form in QDQ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from network import CLASSES, SIDE, Array, Layer
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

# Opset 17 with IR 8: the pair that onnxruntime has read since 1.12, so old boards can load it.
OPSET, IR_VERSION = 17, 8
# onnxruntime's integer convolution over 3 or 16 channels is slower than its float one, so the stem
# and the first depthwise (4% of the operations, 1% of the weights) stay float.
IN_FLOAT = ("conv0", "conv1")


def write_float(layers: list[Layer], path: Path) -> None:
    """Write the chain as ONNX: NHWC input `x` with a free batch, logits `y`."""
    nodes = [helper.make_node("Transpose", ["x"], ["x_nchw"], "to_nchw", perm=[0, 3, 1, 2])]
    last = "x_nchw"
    for layer in layers:
        made = _linear(layer, last) if layer.kind == "linear" else _convolution(layer, last)
        nodes += made
        last = made[-1].output[0]
    nodes[-1].output[0] = "y"
    tensors = [tensor for layer in layers for tensor in _weights(layer)]
    shape: list[str | int | None] = ["batch", SIDE, SIDE, 3]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])
    graph = helper.make_graph(nodes, "digits", [x], [y], tensors)
    _save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)]), path)


def write_int8(source: Path, path: Path, calibration: Array) -> None:
    """Quantise a float file after training: per-channel weights, one scale per activation."""
    quantize_static(
        source,
        path,
        _Samples(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[name for layer in IN_FLOAT for name in (layer, f"{layer}.relu")],
    )
    _save(onnx.load(path), path)


def sparsity(path: Path) -> float:
    """Return the share of zeros among the convolution and linear weights that a file holds."""
    stored = (numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer)
    weights = [value for value in stored if value.ndim > 1]
    return sum(int((value == 0).sum()) for value in weights) / sum(value.size for value in weights)


class _Samples(CalibrationDataReader):  # type: ignore[misc]  # the base class is untyped
    """Feed the calibration samples in batches of ten."""

    def __init__(self, samples: Array) -> None:
        self._batches: Iterator[Array] = iter(np.split(samples, len(samples) // 10))

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


def _convolution(layer: Layer, source: str) -> list[onnx.NodeProto]:
    name = layer.name
    conv = helper.make_node(
        "Conv",
        [source, f"{name}.weight", f"{name}.bias"],
        [f"{name}.sum"],
        name,
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.pad] * 4,
        group=len(layer.weight) if layer.kind == "depthwise" else 1,
    )
    return [conv, helper.make_node("Relu", [f"{name}.sum"], [f"{name}.out"], f"{name}.relu")]


def _linear(layer: Layer, source: str) -> list[onnx.NodeProto]:
    name = layer.name
    return [
        helper.make_node("GlobalAveragePool", [source], ["pool.map"], "pool"),
        helper.make_node("Flatten", ["pool.map"], ["pool.flat"], "flatten"),
        helper.make_node(
            "Gemm", ["pool.flat", f"{name}.weight", f"{name}.bias"], ["y"], name, transB=1
        ),
    ]


def _weights(layer: Layer) -> list[TensorProto]:
    return [
        numpy_helper.from_array(layer.weight, f"{layer.name}.weight"),
        numpy_helper.from_array(layer.bias, f"{layer.name}.bias"),
    ]


def _save(model: onnx.ModelProto, path: Path) -> None:
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "edgeproof-digits", ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
