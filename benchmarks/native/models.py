"""Small networks of known cost, as ONNX and as TFLite files: chains of 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import tflite
from onnx import TensorProto, helper

from tests.contract.networks import OP, Ports, constant, save_network
from tests.unit.model_files import Operator, Tensor, onnx_model

Floats = npt.NDArray[np.float32]
KERNEL = 3
SEED = 11


@dataclass(frozen=True)
class Model:
    """Layers of 3x3 convolution and ReLU on so many channels; no layer means one ReLU alone."""

    name: str
    nominal_us: float  # about, in one thread of a current x86 core
    channels: int
    side: int
    layers: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the ONNX file's input."""
        return (1, self.channels, self.side, self.side)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the ONNX file's output."""
        side = self.side - self.layers * (KERNEL - 1)
        return (1, self.channels, side, side)

    def weights(self) -> Iterator[Floats]:
        """Kernels [out, in, 3, 3] of each layer, scaled so that activations keep their size."""
        rng = np.random.default_rng(SEED)
        shape = (self.channels, self.channels, KERNEL, KERNEL)
        scale = (2 / (self.channels * KERNEL**2)) ** 0.5
        for _ in range(self.layers):
            yield (rng.standard_normal(shape) * scale).astype(np.float32)


MODELS = (
    Model("relu", 5, 1, 4, 0),
    Model("50us", 50, 16, 20, 5),
    Model("500us", 500, 32, 32, 5),
    Model("2ms", 2_000, 64, 40, 3),
    Model("20ms", 20_000, 128, 60, 2),
)


def save_onnx(model: Model, folder: Path) -> Path:
    """Write the ONNX file; its input is x, its output y."""
    nodes, constants, source = [], {}, "x"
    for at, kernels in enumerate(model.weights()):
        constants[f"w{at}"] = kernels
        nodes.append(helper.make_node("Conv", [source, f"w{at}"], [f"c{at}"]))
        source = f"r{at}"
        nodes.append(helper.make_node("Relu", [f"c{at}"], [source]))
    last = nodes[-1] if nodes else helper.make_node("Relu", ["x"], ["y"])
    last.output[0] = "y"
    inputs: Ports = {"x": (TensorProto.FLOAT, model.input_shape)}
    outputs: Ports = {"y": (TensorProto.FLOAT, model.output_shape)}
    path = folder / f"{model.name}.onnx"
    onnx.save(onnx_model(nodes or [last], constants, inputs, outputs), path)
    return path


def save_tflite(model: Model, folder: Path) -> Path:
    """Write the TFLite file, of the same weights with channels last."""
    side = model.side
    tensors = [Tensor("x", [1, side, side, model.channels])]
    operators = []
    for at, kernels in enumerate(model.weights()):
        side -= KERNEL - 1
        source, first = len(tensors) - 1, len(tensors)
        shape = [1, side, side, model.channels]
        tensors.append(constant(f"w{at}", kernels.transpose(0, 2, 3, 1)))
        tensors.append(constant(f"b{at}", np.zeros(model.channels, np.float32)))
        tensors += [Tensor(f"c{at}", shape), Tensor(f"r{at}", shape)]
        operators.append(Operator(OP.CONV_2D, [source, first, first + 1], [first + 2]))
        operators.append(Operator(OP.RELU, [first + 2], [first + 3]))
    if not operators:
        tensors.append(Tensor("y", [1, side, side, model.channels]))
        operators.append(Operator(tflite.BuiltinOperator.RELU, [0], [1]))
    return save_network(folder / f"{model.name}.tflite", tensors, operators)
