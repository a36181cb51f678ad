"""The network: a MobileNet-like chain, and the folded form that every file is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[np.float32]
Kind = Literal["conv", "depthwise", "linear"]

SIDE = 96
CLASSES = 10
STEM = 16
# Each block: stride and kernel of its depthwise convolution, then the widths of its 1x1
# convolutions.
# Some blocks have two 1x1 convolutions, because those are what INT8 and pruning make cheaper.
# Multiples of 80 lose exactly 40% and stay multiples of 16, the width of a vector register.
Blocks = tuple[tuple[int, int, tuple[int, ...]], ...]
COARSE: Blocks = (
    *((2, 3, (80,)), (1, 3, (80, 80)), (1, 3, (80, 80)), (1, 3, (80,)), (1, 3, (160,))),
)
# The same network at twice the resolution: four times the work with the same 1x1 weights, since
# time has to come from resolution where files must stay small.
FINE: Blocks = (
    *((1, 3, (80,)), (1, 5, (80, 80)), (1, 5, (80, 80)), (1, 5, (80,)), (1, 5, (160,))),
)


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer with its batch norm folded in, weights in torch's layout."""

    name: str
    kind: Kind
    weight: Array
    bias: Array
    stride: int
    relu: bool

    @property
    def kernel(self) -> int:
        """Return the side of the square kernel; a linear layer counts as 1."""
        return int(self.weight.shape[-1]) if self.kind != "linear" else 1

    @property
    def pad(self) -> int:
        """Return the zeros added on each side: 1 for a 3x3 kernel, 0 for a 1x1 kernel."""
        return self.kernel // 2


class Unit(nn.Module):
    """A bias-free convolution, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the unit on an NCHW batch."""
        return torch.relu(self.norm(self.conv(x)))


class Network(nn.Module):
    """A stride-2 stem, depthwise-separable blocks, global average pool, linear."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.blocks = blocks
        self.units = nn.Sequential(Unit(3, STEM, 3, 2, 1))
        width = STEM
        for stride, kernel, outputs in blocks:
            self.units.append(Unit(width, width, kernel, stride, width))
            for output in outputs:
                self.units.append(Unit(width, output, 1, 1, 1))
                width = output
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of an NHWC batch, the layout of the dataset and of every file."""
        logits: torch.Tensor = self.head(self.units(x.permute(0, 3, 1, 2)).mean((2, 3)))
        return logits


def refine(coarse: Network) -> Network:
    """Copy a trained COARSE network into a FINE one that computes the same at more places.

    A 3x3 kernel reaches as far on the coarse grid as a 5x5 kernel does on the fine one, where its
    nine weights lie two apart. Training goes on from there and fills the gaps.
    """
    fine = Network(FINE)
    state = fine.state_dict()
    for name, value in coarse.state_dict().items():
        if state[name].shape == value.shape:
            state[name] = value.clone()
        else:
            spread = torch.zeros_like(state[name])
            spread[:, :, ::2, ::2] = value
            state[name] = spread
    fine.load_state_dict(state)
    return fine


def fold(network: Network) -> list[Layer]:
    """Fold the batch norms and return the chain in execution order."""
    layers = [_fold_unit(f"conv{index}", unit) for index, unit in enumerate(network.units)]
    weight, bias = _numpy(network.head.weight), _numpy(network.head.bias)
    return [*layers, Layer("head", "linear", weight, bias, stride=1, relu=False)]


def count(layers: list[Layer]) -> tuple[int, int]:
    """Return the parameters (weights and biases) and the multiply-accumulates of one inference."""
    side, macs = SIDE, 0
    for layer in layers:
        if layer.kind == "linear":
            side = 1
        side //= layer.stride
        macs += layer.weight.size * side * side
    return sum(layer.weight.size + layer.bias.size for layer in layers), macs


def _fold_unit(name: str, unit: nn.Module) -> Layer:
    assert isinstance(unit, Unit)
    norm = unit.norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = unit.conv.weight * scale.reshape(-1, 1, 1, 1)
    bias = norm.bias - norm.running_mean * scale
    kind: Kind = "depthwise" if unit.conv.groups > 1 else "conv"
    return Layer(name, kind, _numpy(weight), _numpy(bias), unit.stride, relu=True)


def _numpy(tensor: torch.Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32)
