"""A network as operations without weights or layout: what both file formats are written from.

Shapes leave the batch out and name the channels apart from the positions, so that one description
serves ONNX, which keeps channels first, and TFLite, which keeps them last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Activation = Literal["relu", "relu6", "hard_swish", "hard_sigmoid", "silu", "sigmoid"]


@dataclass(frozen=True)
class Tensor:
    """What is computed for each sample: (height, width), (positions,) or no positions at all."""

    name: str
    channels: int
    positions: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape with channels first."""
        return (self.channels, *self.positions)


@dataclass(frozen=True)
class Operation:
    """One step; `name` is unique in the network."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def source(self) -> Tensor:
        """Return the first input."""
        return self.inputs[0]

    @property
    def output(self) -> Tensor:
        """Return the first output."""
        return self.outputs[0]

    @property
    def parameters(self) -> int:
        """Return how many numbers are learnt."""
        return 0

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates for one sample; those of weights only."""
        return 0


@dataclass(frozen=True)
class Convolution(Operation):
    """A square convolution with bias, padded alike on all sides so that stride 1 keeps the size."""

    kernel: int
    stride: int
    dilation: int
    depthwise: bool
    activation: Activation | None

    @property
    def pad(self) -> int:
        """Return the zeros added on each side."""
        return self.dilation * (self.kernel // 2)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Return (outputs, inputs of each, height, width)."""
        inputs = 1 if self.depthwise else self.source.channels
        return (self.output.channels, inputs, self.kernel, self.kernel)

    @property
    def parameters(self) -> int:
        return prod(self.weight_shape) + self.output.channels

    @property
    def macs(self) -> int:
        return prod(self.weight_shape) * prod(self.output.positions)


@dataclass(frozen=True)
class Linear(Operation):
    """A matrix product with bias, of a tensor without positions."""

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Return (outputs, inputs)."""
        return (self.output.channels, self.source.channels)

    @property
    def parameters(self) -> int:
        return prod(self.weight_shape) + self.output.channels

    @property
    def macs(self) -> int:
        return prod(self.weight_shape)


@dataclass(frozen=True)
class Upscale(Operation):
    """A transposed convolution whose kernel is its stride: each position becomes a square."""

    factor: int

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Return (outputs, inputs, height, width)."""
        return (self.output.channels, self.source.channels, self.factor, self.factor)

    @property
    def parameters(self) -> int:
        return prod(self.weight_shape) + self.output.channels

    @property
    def macs(self) -> int:
        return prod(self.weight_shape) * prod(self.source.positions)


Weighted = Convolution | Linear | Upscale


@dataclass(frozen=True)
class Constant(Operation):
    """Numbers of the network's geometry, channels first; no weights."""

    value: Array = field(repr=False)


@dataclass(frozen=True)
class Elementwise(Operation):
    """Two tensors, value by value; the second may have one channel or one position for all."""

    function: Literal["add", "subtract", "multiply"]
    activation: Activation | None


@dataclass(frozen=True)
class Concatenation(Operation):
    """Tensors joined along their channels or along their positions."""

    along: Literal["channels", "positions"]


@dataclass(frozen=True)
class Split(Operation):
    """Equal parts of the channels."""


@dataclass(frozen=True)
class MaxPool(Operation):
    """The maximum of a square window, padded alike on all sides."""

    kernel: int
    stride: int

    @property
    def pad(self) -> int:
        """Return the positions added on each side, which never win."""
        return self.kernel // 2


@dataclass(frozen=True)
class GlobalPool(Operation):
    """The mean over all positions, which become (1, 1) or vanish."""


@dataclass(frozen=True)
class Resize(Operation):
    """A map in another size; bilinear with half-pixel centres, as PyTorch without align_corners."""

    mode: Literal["nearest", "bilinear"]


@dataclass(frozen=True)
class Flatten(Operation):
    """(height, width) become one axis of positions."""


@dataclass(frozen=True)
class Expectation(Operation):
    """The mean of 0, 1, ... under a softmax over each `bins` consecutive channels."""

    bins: int

    @property
    def parameters(self) -> int:
        return self.bins

    @property
    def macs(self) -> int:
        return self.source.channels * prod(self.source.positions)


@dataclass(frozen=True)
class Graph:
    """A network; the operations stand in an order in which they can run."""

    input: Tensor
    outputs: tuple[Tensor, ...]
    operations: tuple[Operation, ...]

    @property
    def parameters(self) -> int:
        """Return the number of learnt values, with normalisation folded into the convolutions."""
        return sum(operation.parameters for operation in self.operations)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of convolutions and matrix products for one sample."""
        return sum(operation.macs for operation in self.operations)
