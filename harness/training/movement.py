"""Movement pruning: the weights that training moves towards zero go, small or not.

Sanh, Wolf and Rush 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning" (arXiv 2005.07683),
its hard variant: each layer keeps the share of its weights with the best scores. Scores start at
zero and are trained with the weights, through the mask as if it were not there (straight-through):
a score's gradient is that of the masked weight times the weight, so it sums up how far training
would move that weight away from zero. Only their order counts, so the weights' learning rate does
for them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import nn

from harness.errors import InputError
from harness.training import masks
from harness.training.loop import Step
from harness.training.schedule import check, cubic
from harness.variants.network import Array
from harness.variants.sparsity.patterns import largest

_SCORES = "weight_scores"


def movement(
    sparsity: float, epochs: int, settle: int = 1, leave: Sequence[str] = ()
) -> list[Step]:
    """Return a step that learns which weights go, and one that trains what remains.

    The first epoch prunes nothing, since scores are not known yet; then the sparsity of every
    layer rises by the cubic schedule and is `sparsity` in the last of `epochs`. A weight that is
    gone may come back until the masks are fixed, for `settle` epochs more. The network must have no
    masks. Raises InputError for a sparsity outside 0..1 and fewer than two epochs.
    """
    check(sparsity)
    if epochs < 2:
        raise InputError(f"movement pruning takes two epochs or more, not {epochs}")
    shares = (0.0, *cubic(sparsity, epochs - 1))
    left = f", leaving {', '.join(leave)}" if leave else ""
    return [
        Step(
            name=f"learn which {100 * sparsity:g}% of each layer to prune by movement{left}",
            epochs=epochs,
            prepare=partial(_score, leave=leave),
            during=partial(_tighten, shares),
        ),
        Step(
            name=f"prune these {100 * sparsity:g}%",
            epochs=settle,
            prepare=partial(_fix, sparsity=sparsity),
        ),
    ]


class _Scored:
    """A layer's forward pre-hook: its weight under a mask that follows the scores."""

    def __init__(self) -> None:
        self.sparsity = 0.0

    def __call__(self, layer: nn.Module, inputs: object) -> None:
        """Make the mask and the weight anew."""
        scores, mask = layer.get_parameter(_SCORES), layer.get_buffer("weight_mask")
        kept = largest([_values(scores)], self.sparsity)[0]
        mask.copy_(torch.from_numpy(kept))
        # The difference is exactly 0: it changes no value and leads the gradient to the scores.
        through = mask + (scores - scores.detach())
        layer.weight = layer.get_parameter("weight_orig") * through


def _score(network: nn.Module, leave: Sequence[str]) -> nn.Module:
    """Give each layer scores, and the hook that masks its weight by them."""
    if masks.of(network):
        raise InputError(
            "has masks already; movement pruning decides on all weights anew",
            next_step="start it from the dense network",
        )
    layers = masks.layers(network, leave)
    every = {name: torch.ones_like(layer.get_parameter("weight")) for name, layer in layers.items()}
    masks.apply(network, every)
    for layer in layers.values():
        zeros = torch.zeros_like(layer.get_parameter("weight_orig"))
        layer.register_parameter(_SCORES, nn.Parameter(zeros))
        layer.register_forward_pre_hook(_Scored())  # after torch's own, whose weight it replaces
    return network


def _tighten(shares: Sequence[float], network: nn.Module, epoch: int) -> None:
    for _, _, _, hook in _scored(network):
        hook.sparsity = shares[epoch]


def _fix(network: nn.Module, sparsity: float) -> nn.Module:
    """Turn the scores into ordinary masks."""
    for name, layer, number, _ in _scored(network):
        scores = _values(layer.get_parameter(_SCORES))
        if not torch.isfinite(torch.from_numpy(scores)).all():
            raise InputError("has scores that are no numbers: its training diverged", where=name)
        mask = masks.top({name: scores}, sparsity, "local")[name]
        layer.get_buffer("weight_mask").copy_(mask)
        del layer._forward_pre_hooks[number]
        del layer._parameters[_SCORES]
    masks.refresh(network)
    return network


def _scored(network: nn.Module) -> Iterator[tuple[str, nn.Module, int, _Scored]]:
    for name, layer in network.named_modules():
        for number, hook in list(layer._forward_pre_hooks.items()):
            if isinstance(hook, _Scored):
                yield name, layer, number, hook


def _values(scores: torch.Tensor) -> Array:
    found: Array = scores.detach().cpu().numpy()
    return found
