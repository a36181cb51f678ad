"""Small networks as files in every format, each with its numpy reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import onnx
import openvino
import tflite
from onnx import TensorProto, helper

from tests.unit import model_files
from tests.unit.model_files import Operator, Tensor, Writer, onnx_model, save_tflite

Array = npt.NDArray[Any]
SIDE, KERNEL, CHANNELS, CLASSES = 8, 3, 4, 10
INNER = SIDE - KERNEL + 1
FEATURES = INNER * INNER * CHANNELS
OP, KIND = tflite.BuiltinOperator, tflite.TensorType


@dataclass
class Network:
    """A 3x3 convolution, ReLU and a dense layer; data and weights are NHWC."""

    seed: int = 5
    spoiled: bool = False  # a NaN among the weights of the dense layer

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.kernels = rng.standard_normal((CHANNELS, KERNEL, KERNEL, 1)).astype("float32")
        self.shifts = rng.standard_normal(CHANNELS).astype("float32")
        # Scaled so that scores are of order 1: a tolerance then means the same everywhere.
        self.dense = (rng.standard_normal((CLASSES, FEATURES)) / FEATURES**0.5).astype("float32")
        self.bias = rng.standard_normal(CLASSES).astype("float32")
        self.samples = rng.standard_normal((20, SIDE, SIDE, 1)).astype("float32")
        if self.spoiled:
            self.dense[0, 0] = np.nan

    def scores(self, samples: Array) -> Array:
        """What the network gives for samples, by numpy in double precision."""
        windows = np.lib.stride_tricks.sliding_window_view(
            samples.astype("float64")[..., 0], (KERNEL, KERNEL), axis=(1, 2)
        )
        hidden = np.einsum("nhwij,cij->nhwc", windows, self.kernels[..., 0].astype("float64"))
        hidden = np.maximum(hidden + self.shifts, 0).reshape(len(samples), FEATURES)
        scores: Array = hidden @ self.dense.T.astype("float64") + self.bias
        return scores

    @cached_property
    def reference(self) -> Array:
        """Scores of the network's own samples."""
        return self.scores(self.samples)

    def save(self, folder: Path, format: str, batch: int | None = None) -> Path:
        """Write it in a format; free batch unless one is given."""
        path = folder / f"net-{self.seed}-{int(self.spoiled)}-{batch}.{SUFFIXES[format]}"
        if not path.exists():
            SAVERS[format](self, path, batch)
        return path

    def onnx(self, batch: int | str) -> Any:
        """The network as an ONNX model that takes NHWC: one channel makes that a plain reshape."""
        nodes = [
            helper.make_node("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["nchw", "kernels", "shifts"], ["conv"]),
            helper.make_node("Relu", ["conv"], ["hidden"]),
            helper.make_node("Flatten", ["hidden"], ["flat"]),
            helper.make_node("Gemm", ["flat", "dense", "bias"], ["y"], transB=1),
        ]
        nchw = self.dense.reshape(CLASSES, INNER, INNER, CHANNELS).transpose(0, 3, 1, 2)
        weights = {
            "kernels": self.kernels.transpose(0, 3, 1, 2),
            "shifts": self.shifts,
            "dense": np.ascontiguousarray(nchw.reshape(CLASSES, FEATURES)),
            "bias": self.bias,
        }
        inputs = {"x": (TensorProto.FLOAT, (batch, SIDE, SIDE, 1))}
        return onnx_model(nodes, weights, inputs, {"y": (TensorProto.FLOAT, (batch, CLASSES))})


def _save_onnx(network: Network, path: Path, batch: int | None) -> None:
    onnx.save(network.onnx(batch or "n"), path)


def _save_openvino(network: Network, path: Path, batch: int | None) -> None:
    source = path.with_suffix(".source.onnx")
    onnx.save(network.onnx(batch or "n"), source)
    # Weights stay float32: compressed to fp16, which is the default, they would be other weights.
    openvino.save_model(openvino.Core().read_model(source), path, compress_to_fp16=False)


def _save_tflite(network: Network, path: Path, batch: int | None) -> None:
    tensors = [
        Tensor("x", [1, SIDE, SIDE, 1], signature=[batch or -1, SIDE, SIDE, 1]),
        constant("kernels", network.kernels),
        constant("shifts", network.shifts),
        Tensor("conv", [1, INNER, INNER, CHANNELS]),
        Tensor("hidden", [1, INNER, INNER, CHANNELS]),
        constant("dense", network.dense),
        constant("bias", network.bias),
        Tensor("y", [1, CLASSES]),
    ]
    operators = [
        Operator(OP.CONV_2D, [0, 1, 2], [3]),
        Operator(OP.RELU, [3], [4]),
        Operator(OP.FULLY_CONNECTED, [4, 5, 6], [7]),
    ]
    save_network(path, tensors, operators)


SUFFIXES = {"onnx": "onnx", "openvino": "xml", "tflite": "tflite"}
SAVERS: dict[str, Callable[[Network, Path, int | None], None]] = {
    "onnx": _save_onnx,
    "openvino": _save_openvino,
    "tflite": _save_tflite,
}


CUSTOM_NAME = "Frobnicate"


class OptionsWriter(Writer):
    """Writes what the kernels here want beside tensors: options, and names of custom operators."""

    def operator(self, operator: Operator, code: int) -> int:
        if operator.code not in OPTIONS:
            return super().operator(operator, code)
        kind, make = OPTIONS[operator.code]
        inputs, outputs = self.ints(operator.inputs), self.ints(operator.outputs)
        options = make(self.builder)
        tflite.OperatorStart(self.builder)
        tflite.OperatorAddOpcodeIndex(self.builder, code)
        tflite.OperatorAddInputs(self.builder, inputs)
        tflite.OperatorAddOutputs(self.builder, outputs)
        tflite.OperatorAddBuiltinOptionsType(self.builder, kind)
        tflite.OperatorAddBuiltinOptions(self.builder, options)
        return int(tflite.OperatorEnd(self.builder))

    def code(self, code: int) -> int:
        if code != OP.CUSTOM:
            return super().code(code)
        name = self.builder.CreateString(CUSTOM_NAME)
        tflite.OperatorCodeStart(self.builder)
        tflite.OperatorCodeAddBuiltinCode(self.builder, code)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.builder, code)
        tflite.OperatorCodeAddCustomCode(self.builder, name)
        return int(tflite.OperatorCodeEnd(self.builder))


def _convolution(builder: Any) -> int:
    tflite.Conv2DOptionsStart(builder)
    tflite.Conv2DOptionsAddPadding(builder, tflite.Padding.VALID)
    tflite.Conv2DOptionsAddStrideW(builder, 1)
    tflite.Conv2DOptionsAddStrideH(builder, 1)
    return int(tflite.Conv2DOptionsEnd(builder))


def _fully_connected(builder: Any) -> int:
    tflite.FullyConnectedOptionsStart(builder)
    return int(tflite.FullyConnectedOptionsEnd(builder))


OPTIONS = {
    OP.CONV_2D: (tflite.BuiltinOptions.Conv2DOptions, _convolution),
    OP.FULLY_CONNECTED: (tflite.BuiltinOptions.FullyConnectedOptions, _fully_connected),
}


def save_network(
    path: Path, tensors: Sequence[Tensor], operators: Sequence[Operator], **ports: Sequence[int]
) -> Path:
    """Write a TFLite file whose operators may have options."""
    with mock.patch.object(model_files, "Writer", OptionsWriter):
        return save_tflite(path, tensors, operators, **ports)


def constant(name: str, array: Array, kind: int = KIND.FLOAT32, **more: Any) -> Tensor:
    """A TFLite tensor with values."""
    return Tensor(name, array.shape, kind, np.ascontiguousarray(array).tobytes(), **more)
