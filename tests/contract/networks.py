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
import pytest
import tflite
from onnx import TensorProto, helper

from tests.unit import model_files
from tests.unit.model_files import Operator, Shape, Tensor, Writer, onnx_model, save_tflite

Array = npt.NDArray[Any]
Ports = dict[str, tuple[int, Shape]]
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
        scores: Array = self.hidden(samples) @ self.dense.T.astype("float64") + self.bias
        return scores

    def hidden(self, samples: Array) -> Array:
        """What goes into the dense layer."""
        windows = np.lib.stride_tricks.sliding_window_view(
            samples.astype("float64")[..., 0], (KERNEL, KERNEL), axis=(1, 2)
        )
        sums = np.einsum("nhwij,cij->nhwc", windows, self.kernels[..., 0].astype("float64"))
        hidden: Array = np.maximum(sums + self.shifts, 0).reshape(len(samples), FEATURES)
        return hidden

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
        weights = {
            "kernels": self.kernels.transpose(0, 3, 1, 2),
            "shifts": self.shifts,
            "dense": channels_first(self.dense),
            "bias": self.bias,
        }
        inputs: Ports = {"x": (TensorProto.FLOAT, (batch, SIDE, SIDE, 1))}
        outputs: Ports = {"y": (TensorProto.FLOAT, (batch, CLASSES))}
        return onnx_model(nodes, weights, inputs, outputs)


@dataclass
class Quantised:
    """The same network in int8, with a scale and a zero point for each tensor; int8 goes in."""

    network: Network
    name: str = "int8"
    input: tuple[float, int] = (0.03, 3)
    # The zero point at the lower end makes clipping a ReLU.
    hidden: tuple[float, int] = (0.05, -128)
    output: tuple[float, int] = (0.06, -10)

    def __post_init__(self) -> None:
        net = self.network
        kernel, dense = np.abs(net.kernels).max() / 127, np.abs(net.dense).max() / 127
        self.scales = {"kernels": float(kernel), "dense": float(dense)}
        self.scales["shifts"] = self.input[0] * self.scales["kernels"]
        self.scales["bias"] = self.hidden[0] * self.scales["dense"]
        self.weights = {
            name: np.round(getattr(net, name) / scale).astype(
                "int8" if name in ("kernels", "dense") else "int32"
            )
            for name, scale in self.scales.items()
        }

    @cached_property
    def reference(self) -> Array:
        """Real scores of the network's samples, by exact integers; one step is output[0]."""
        whole = Network(seed=self.network.seed)
        values = {name: array.astype("float64") for name, array in self.weights.items()}
        taken = steps(self.network.samples, self.input) - self.input[1]
        whole.kernels, whole.shifts = values["kernels"], values["shifts"]
        hidden = whole.hidden(taken) * self.scales["shifts"]
        kept = steps(hidden, self.hidden) - self.hidden[1]
        scores = (kept @ values["dense"].T + values["bias"]) * self.scales["bias"]
        return (steps(scores, self.output) - self.output[1]) * self.output[0]

    def save(self, folder: Path, format: str) -> Path:
        """Write it in a format that holds quantised networks without a tool."""
        path = folder / f"{self.name}.{SUFFIXES[format]}"
        {"onnx": self._save_onnx, "tflite": self._save_tflite}[format](path)
        return path

    def _save_tflite(self, path: Path) -> None:
        def port(name: str, shape: Sequence[int], real: tuple[float, int]) -> Tensor:
            free = [-1, *shape[1:]]
            scale, zero = [real[0]], [real[1]]
            return Tensor(name, shape, KIND.INT8, None, free, scale, zero)

        def weight(name: str) -> Tensor:
            array = self.weights[name]
            kind = KIND.INT8 if array.dtype == np.int8 else KIND.INT32
            return constant(name, array, kind, scales=[self.scales[name]], zero_points=[0])

        tensors = [
            port("x", [1, SIDE, SIDE, 1], self.input),
            weight("kernels"),
            weight("shifts"),
            port("hidden", [1, INNER, INNER, CHANNELS], self.hidden),
            weight("dense"),
            weight("bias"),
            port("y", [1, CLASSES], self.output),
        ]
        operators = [
            Operator(OP.CONV_2D, [0, 1, 2], [3]),
            Operator(OP.FULLY_CONNECTED, [3, 4, 5], [6]),
        ]
        save_network(path, tensors, operators)

    def _save_onnx(self, path: Path) -> None:
        """Quantise and dequantise around each layer, as quantisers write it."""
        zeros = {"x": self.input[1], "hidden": self.hidden[1], "y": self.output[1]}
        scales = {"x": self.input[0], "hidden": self.hidden[0], "y": self.output[0], **self.scales}
        constants: dict[str, Array] = {}
        for name, scale in scales.items():
            dtype = self.weights[name].dtype if name in self.weights else np.int8
            constants[f"{name}_scale"] = np.asarray(scale, np.float32)
            constants[f"{name}_zero"] = np.asarray(zeros.get(name, 0), dtype)
        dense = channels_first(self.weights["dense"])
        constants |= {**self.weights, "dense": dense}
        constants["kernels"] = self.weights["kernels"].transpose(0, 3, 1, 2)

        def real(source: str, like: str, to: str) -> onnx.NodeProto:
            around = [f"{like}_scale", f"{like}_zero"]
            return helper.make_node("DequantizeLinear", [source, *around], [to])

        def stepped(source: str, like: str, to: str) -> list[onnx.NodeProto]:
            around = [source, f"{like}_scale", f"{like}_zero"]
            step = helper.make_node("QuantizeLinear", around, [f"{to}_steps"])
            return [step, real(f"{to}_steps", like, to)]

        nodes = [
            real("x", "x", "x_real"),
            helper.make_node("Transpose", ["x_real"], ["nchw"], perm=[0, 3, 1, 2]),
            *stepped("nchw", "x", "conv_in"),
            *(real(name, name, f"{name}_real") for name in self.weights),
            helper.make_node("Conv", ["conv_in", "kernels_real", "shifts_real"], ["conv"]),
            *stepped("conv", "hidden", "conv_out"),
            helper.make_node("Flatten", ["conv_out"], ["flat"]),
            *stepped("flat", "hidden", "dense_in"),
            helper.make_node("Gemm", ["dense_in", "dense_real", "bias_real"], ["gemm"], transB=1),
            *stepped("gemm", "y", "y"),
        ]
        inputs: Ports = {"x": (TensorProto.INT8, ("n", SIDE, SIDE, 1))}
        outputs: Ports = {"y": (TensorProto.FLOAT, ("n", CLASSES))}
        onnx.save(onnx_model(nodes, constants, inputs, outputs), path)


def steps(real: Array, quantised: tuple[float, int]) -> Array:
    """Round reals to int8 steps of (scale, zero point)."""
    stepped: Array = np.clip(np.round(real / quantised[0]) + quantised[1], -128, 127)
    return stepped


def channels_first(dense: Array) -> Array:
    """Weights of the dense layer for a file whose convolution gives NCHW."""
    nchw = dense.reshape(CLASSES, INNER, INNER, CHANNELS).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(nchw.reshape(CLASSES, FEATURES))


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


def _save_torch(network: Network, path: Path, batch: int | None) -> None:
    torch = pytest.importorskip("torch")
    sample = torch.zeros(batch or 2, SIDE, SIDE, 1)
    save_exported(path, torch_module(network), [sample], batch is None)


def _save_executorch(network: Network, path: Path, batch: int | None) -> None:
    """Export it with a batch of at most 64, delegated to XNNPACK."""
    torch = pytest.importorskip("torch")
    free = ({0: torch.export.Dim("batch", max=64)},) if batch is None else None
    sample = (torch.zeros(batch or 2, SIDE, SIDE, 1),)
    program = torch.export.export(torch_module(network), sample, dynamic_shapes=free)
    path.write_bytes(lowered(program))


def lowered(program: Any) -> bytes:
    """A PyTorch program as ExecuTorch runs it, in XNNPACK; skips without the exporter."""
    exir = pytest.importorskip("executorch.exir", reason="its wheel is not installed")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    made = exir.to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(made.to_executorch().buffer)


def torch_module(network: Network) -> Any:
    """The network as a PyTorch module that takes NHWC."""
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, CHANNELS, KERNEL)
            self.dense = torch.nn.Linear(FEATURES, CLASSES)

        def forward(self, x: Any) -> Any:
            hidden = torch.relu(self.conv(x.permute(0, 3, 1, 2)))
            return self.dense(hidden.flatten(1))

    weights = {
        "conv.weight": network.kernels.transpose(0, 3, 1, 2),
        "conv.bias": network.shifts,
        "dense.weight": channels_first(network.dense),
        "dense.bias": network.bias,
    }
    module = Module().eval()
    module.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return module


def save_exported(path: Path, module: Any, samples: Sequence[Any], free: bool = True) -> Path:
    """Write a PyTorch module as a program; with a free batch in all inputs unless told."""
    torch = pytest.importorskip("torch")
    shapes = tuple({0: torch.export.Dim("batch", max=1024)} for _ in samples) if free else None
    torch.export.save(torch.export.export(module, tuple(samples), dynamic_shapes=shapes), path)
    return path


def _save_ncnn(network: Network, path: Path, batch: int | None) -> None:
    """Write a network of ncnn, which has no batch; the .bin holds plain float32 after a tag."""
    sizes = f"0=1 1={SIDE} 2={SIDE}"
    lines = [
        f"Input x 0 1 x {sizes}",
        f"Reshape nchw 1 1 x nchw 0={SIDE} 1={SIDE} 2=1",
        f"Convolution conv 1 1 nchw conv 0={CHANNELS} 1={KERNEL} 5=1 6={network.kernels.size} 9=1",
        f"InnerProduct dense 1 1 conv y 0={CLASSES} 1=1 2={network.dense.size}",
    ]
    path.write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines, ""]))
    float32 = np.zeros(1, "<i4").tobytes()
    kernels = network.kernels.transpose(0, 3, 1, 2)
    layers = [(kernels, network.shifts), (channels_first(network.dense), network.bias)]
    parts = [float32 + weights.tobytes() + bias.tobytes() for weights, bias in layers]
    path.with_suffix(".bin").write_bytes(b"".join(parts))


SUFFIXES = {
    "onnx": "onnx",
    "openvino": "xml",
    "tflite": "tflite",
    "torch": "pt2",
    "ncnn": "ncnn.param",  # beside an OpenVINO file there is a .bin already
    "executorch": "pte",
}
SAVERS: dict[str, Callable[[Network, Path, int | None], None]] = {
    "onnx": _save_onnx,
    "openvino": _save_openvino,
    "tflite": _save_tflite,
    "torch": _save_torch,
    "ncnn": _save_ncnn,
    "executorch": _save_executorch,
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


def save_reshape_before(path: Path) -> Path:
    """Write a free batch that a Reshape to [1, 4] meets before a dense layer."""
    weights, shape = np.eye(4, dtype="float32"), np.asarray([1, 4])
    if path.suffix == ".onnx":
        nodes = [
            helper.make_node("Relu", ["x"], ["positive"]),
            helper.make_node("Reshape", ["positive", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ]
        return _save_fixed_inside(path, nodes, shape, weights)
    tensors = [
        Tensor("x", [1, 2, 2], signature=[-1, 2, 2]),
        constant("shape", shape.astype("int32"), KIND.INT32),
        Tensor("flat", [1, 4]),
        constant("w", weights),
        Tensor("y", [1, 4]),
    ]
    dense = Operator(OP.FULLY_CONNECTED, [2, 3, -1], [4])
    return save_network(path, tensors, [Operator(OP.RESHAPE, [0, 1], [2]), dense])


def save_reshape_after(path: Path) -> Path:
    """Write a free batch whose scores a Reshape to [1, -1] puts into one row."""
    weights, shape = np.eye(2, dtype="float32"), np.asarray([1, -1])
    if path.suffix == ".onnx":
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["pairs"]),
            helper.make_node("Reshape", ["pairs", "shape"], ["y"]),
        ]
        return _save_fixed_inside(path, nodes, shape, weights)
    tensors = [
        Tensor("x", [1, 2, 2], signature=[-1, 2, 2]),
        constant("w", weights),
        Tensor("pairs", [2, 2]),
        constant("shape", shape.astype("int32"), KIND.INT32),
        Tensor("y", [1, 4]),
    ]
    dense = Operator(OP.FULLY_CONNECTED, [0, 1, -1], [2])
    return save_network(path, tensors, [dense, Operator(OP.RESHAPE, [2, 3], [4])])


def _save_fixed_inside(
    path: Path, nodes: Sequence[onnx.NodeProto], shape: Array, weights: Array
) -> Path:
    constants = {"shape": shape.astype("int64"), "w": weights}
    inputs: Ports = {"x": (TensorProto.FLOAT, ("n", 2, 2))}
    outputs: Ports = {"y": (TensorProto.FLOAT, (None, None))}
    onnx.save(onnx_model(nodes, constants, inputs, outputs), path)
    return path


def save_foreign(path: Path) -> Path:
    """Write a network of one operator that no runtime has."""
    if path.suffix == ".onnx":
        node = helper.make_node(CUSTOM_NAME, ["x"], ["y"], domain="com.example")
        model = onnx_model([node], {}, {"x": (TensorProto.FLOAT, ("n", 4))})
        model.opset_import.append(helper.make_opsetid("com.example", 1))
        onnx.save(model, path)
        return path
    tensors = [Tensor("x", [1, 4], signature=[-1, 4]), Tensor("y", [1, 4])]
    return save_network(path, tensors, [Operator(OP.CUSTOM, [0], [1])])


def save_strings(path: Path) -> Path:
    """Write a network that takes and gives strings."""
    if path.suffix == ".onnx":
        port: tuple[int, Shape] = (TensorProto.STRING, ("n", 4))
        node = helper.make_node("Identity", ["x"], ["y"])
        onnx.save(onnx_model([node], {}, {"x": port}, {"y": port}), path)
        return path
    tensors = [
        Tensor("x", [1, 4], KIND.STRING, signature=[-1, 4]),
        constant("shape", np.asarray([-1, 4], np.int32), KIND.INT32),
        Tensor("y", [1, 4], KIND.STRING),
    ]
    return save_network(path, tensors, [Operator(OP.RESHAPE, [0, 1], [2])])


def save_mixed(path: Path) -> Path:
    """Write a network of three inputs: y = x where `on`, else `ids`; not in alphabetical order."""
    if path.suffix == ".onnx":
        nodes = [
            helper.make_node("Cast", ["ids"], ["reals"], to=TensorProto.FLOAT),
            helper.make_node("Where", ["on", "x", "reals"], ["y"]),
        ]
        inputs: Ports = {
            "on": (TensorProto.BOOL, ("n", 4)),
            "x": (TensorProto.FLOAT, ("n", 4)),
            "ids": (TensorProto.INT64, ("n", 4)),
        }
        onnx.save(onnx_model(nodes, {}, inputs), path)
        return path
    tensors = [
        Tensor("on", [1, 4], KIND.BOOL, signature=[-1, 4]),
        Tensor("x", [1, 4], signature=[-1, 4]),
        Tensor("ids", [1, 4], KIND.INT64, signature=[-1, 4]),
        Tensor("reals", [1, 4]),
        Tensor("y", [1, 4]),
    ]
    operators = [Operator(OP.CAST, [2], [3]), Operator(OP.SELECT_V2, [0, 1, 3], [4])]
    return save_network(path, tensors, operators, inputs=[0, 1, 2])


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
