"""Quantisation-aware training: the network learns weights that lose little as int8.

While it trains, each convolution and linear layer computes with the int8 values that its input and
weight would have: weights symmetric with one scale for each output channel, inputs unsigned with
one scale from the least and largest value seen. Rounding passes gradients through
(straight-through), as in Jacob et al. 2017 (arXiv 1712.05877) and Krishnamoorthi 2018 (arXiv
1806.08342).

Batch norms stay as they are, and need not be folded in training as those papers do: a batch norm
multiplies all weights of an output channel by one factor, and with symmetric scales for each
channel the rounded product is the product of the rounded weight. So what export folds and
quantises is what was trained.

The result is the float network. `quantize: {to: int8}` in a study makes the int8 file of its
exported file. In an ONNX file weights get the very scales of the training, and inputs those of the
calibration samples. ONNX Runtime's tool also quantises what training did not (the results of
additions and poolings, so that integer kernels follow each other); other formats have other tools
with rules of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.utils import prune

from harness.training import masks
from harness.training.loop import Step

WEIGHT_LEVELS = 127  # -127..127
INPUT_LEVELS = 255  # 0..255
_LOW, _HIGH = "input_low", "input_high"
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# A scale of 0 divides by 0; zeros stay zeros with any other.
_LEAST_SCALE = 1e-12


def quantize_aware(epochs: int, leave: Sequence[str] = ()) -> list[Step]:
    """Return the step that trains as int8 for `epochs` and then gives the float network back.

    `leave` names layers that stay float, or blocks of them. Masks stay. The ranges of inputs start
    anew in each epoch, so they are those of weights as they are.
    """
    left = f", leaving {', '.join(leave)}" if leave else ""
    return [
        Step(
            name=f"train as int8{left}",
            epochs=epochs,
            prepare=partial(simulate, leave=leave),
            during=_forget,
            after=plain,
        )
    ]


def simulate(network: nn.Module, leave: Sequence[str] = ()) -> nn.Module:
    """Let the layers of a network compute as int8, in place.

    Inputs are rounded once a pass in training mode has shown their range. Raises InputError for
    layers that `masks.layers` or `masks.apply` refuse.
    """
    layers = masks.layers(network, leave)
    masked = masks.of(network)
    # A mask, if only of ones, makes the weight a product that a hook may replace.
    masks.apply(
        network,
        {
            name: torch.ones_like(layer.get_parameter("weight"))
            for name, layer in layers.items()
            if name not in masked
        },
    )
    for name, layer in layers.items():
        like = layer.get_parameter("weight_orig")
        for bound, start in ((_LOW, torch.inf), (_HIGH, -torch.inf)):
            layer.register_buffer(bound, like.new_full((), start))
        layer.register_forward_pre_hook(_Int8(name in masked))  # after torch's own for the mask
    return network


def plain(network: nn.Module) -> nn.Module:
    """Let the layers of a simulated network compute in float again, in place."""
    for layer, number, hook in _simulated(network):
        del layer._forward_pre_hooks[number]
        del layer._buffers[_LOW], layer._buffers[_HIGH]
        if not hook.masked:
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]  # torch
    masks.refresh(network)
    return network


class _Int8:
    """A layer's forward pre-hook: its weight and input as int8 would have them."""

    def __init__(self, masked: bool) -> None:
        self.masked = masked  # before it was simulated

    def __call__(
        self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Replace the weight and return the inputs; in training mode, learn their range."""
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        layer.weight = _rounded_weight(weight, axis=1 if isinstance(layer, _TRANSPOSED) else 0)
        low, high = layer.get_buffer(_LOW), layer.get_buffer(_HIGH)
        if layer.training:
            least, most = torch.aminmax(inputs[0].detach())
            low.copy_(torch.minimum(low, least.clamp(max=0)))  # 0 is a value of any padding
            high.copy_(torch.maximum(high, most.clamp(min=0)))
        if low > high:
            return inputs
        return (_rounded_input(inputs[0], low, high), *inputs[1:])


def _rounded_weight(weight: torch.Tensor, axis: int) -> torch.Tensor:
    with torch.no_grad():
        others = [at for at in range(weight.ndim) if at != axis]
        scale = (weight.abs().amax(others) / WEIGHT_LEVELS).clamp(min=_LEAST_SCALE)
        zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        weight, scale, zero, axis, -WEIGHT_LEVELS, WEIGHT_LEVELS
    )


def _rounded_input(values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    scale = ((high - low) / INPUT_LEVELS).clamp(min=_LEAST_SCALE)
    zero = torch.round(-low / scale).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, INPUT_LEVELS)


def _forget(network: nn.Module, epoch: int) -> None:
    for layer, _, _ in _simulated(network):
        layer.get_buffer(_LOW).fill_(torch.inf)
        layer.get_buffer(_HIGH).fill_(-torch.inf)


def _simulated(network: nn.Module) -> Iterator[tuple[nn.Module, int, _Int8]]:
    for layer in network.modules():
        for number, hook in list(layer._forward_pre_hooks.items()):
            if isinstance(hook, _Int8):
                yield layer, number, hook
