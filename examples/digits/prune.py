"""Pruning: a mask over the smallest weights, or a copy without the weakest channels."""

from __future__ import annotations

import torch
from network import STEM, Blocks, Network, Unit
from torch import nn
from train import Masks


def magnitude_masks(network: Network, share: float) -> Masks:
    """Mask that share of all convolution and linear weights, the smallest in the whole network."""
    weights = {
        f"{name}.weight": module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    limit = magnitudes.kthvalue(round(share * len(magnitudes))).values
    return {name: (weight.abs() > limit).float() for name, weight in weights.items()}


def slim(network: Network, share: float) -> Network:
    """Copy the network without that share of the output channels of each 1x1 convolution.

    The weakest channels by L1 norm go. A chain has one dependency a layer: what a convolution no
    longer makes, the depthwise or 1x1 convolution (or the linear layer) after it no longer reads.
    The stem keeps its channels: it is 1% of the weights and all later layers live on it.
    """
    kept = torch.arange(STEM)
    result = Network(_narrow(network.blocks, share))
    for old, new in zip(network.units, result.units, strict=True):
        assert isinstance(old, Unit) and isinstance(new, Unit)
        before = kept
        if old.conv.kernel_size == (1, 1):
            kept = _strongest(old.conv.weight, new.conv.out_channels)
        _copy(old, new, before, kept)
    result.head.weight.data = network.head.weight.data[:, kept].clone()
    result.head.bias.data = network.head.bias.data.clone()
    return result


def channels_removed(dense: Network, narrow: Network) -> int:
    """Return how many output channels of 1x1 convolutions the narrow network lacks."""
    return _channels(dense.blocks) - _channels(narrow.blocks)


def _channels(blocks: Blocks) -> int:
    return sum(sum(outputs) for _, _, outputs in blocks)


def _narrow(blocks: Blocks, share: float) -> Blocks:
    return tuple(
        (stride, kernel, tuple(round(width * (1 - share)) for width in outputs))
        for stride, kernel, outputs in blocks
    )


def _strongest(weight: torch.Tensor, count: int) -> torch.Tensor:
    strength = weight.detach().abs().sum((1, 2, 3))
    return strength.topk(count).indices.sort().values


def _copy(old: Unit, new: Unit, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
    weight = old.conv.weight.data[outputs]
    new.conv.weight.data = weight[:, inputs] if old.conv.kernel_size == (1, 1) else weight
    state = {
        key: value[outputs].clone() if value.ndim else value.clone()
        for key, value in old.norm.state_dict().items()
    }
    new.norm.load_state_dict(state)
