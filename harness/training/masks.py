"""Masks on the weights of convolutions and linear layers, as torch.nn.utils.prune keeps them.

A masked layer has the parameter `weight_orig` and the buffer `weight_mask`; `weight` is their
product, made anew before each forward pass. So no optimiser can bring back a weight that is gone.
Masks are named by layer, have the shape of its weight, and are True where a weight stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from harness.documents import unknown
from harness.errors import InputError
from harness.training import schedule
from harness.variants.network import Array
from harness.variants.sparsity.patterns import largest

Scope = Literal["local", "global"]
Masks = dict[str, torch.Tensor]

MASKABLE = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    nn.Linear,
)


def layers(network: nn.Module, leave: Sequence[str] = ()) -> dict[str, nn.Module]:
    """Return the layers that can be masked, in the network's order, without those to leave.

    `leave` names layers, or blocks with all that is in them. The output projection inside
    nn.MultiheadAttention is no such layer: its weight is used without the layer being called.
    Raises InputError for a name that is no layer, and if no layer remains.
    """
    found: dict[str, nn.Module] = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, MASKABLE)
        and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)
    }
    left = {word: [name for name in found if f"{name}.".startswith(f"{word}.")] for word in leave}
    for word, names in left.items():
        if not names:
            raise InputError(unknown("layer", word, found), where="leave")
    remaining = {name: found[name] for name in found if not any(name in left[w] for w in left)}
    if not remaining:
        raise InputError("there is no convolution or linear layer to prune")
    return remaining


def magnitude(
    network: nn.Module, sparsity: float, scope: Scope = "global", leave: Sequence[str] = ()
) -> Masks:
    """Return masks that drop the smallest weights: exactly round(sparsity x weights) of them.

    Weights compete within their layer ("local") or with those of all layers ("global"). What is
    pruned already counts and stays pruned. Raises InputError if that alone is more than asked, if
    a weight is no number, and for what `layers` refuses.
    """
    scores = {name: _magnitudes(name, layer) for name, layer in layers(network, leave).items()}
    masks = top(scores, sparsity, scope)
    for name, score in scores.items():
        if masks[name].numpy()[score < 0].any():
            raise InputError(
                f"more weights are pruned already than sparsity {sparsity:g}", where=name
            )
    return masks


def top(scores: Mapping[str, Array], sparsity: float, scope: Scope) -> Masks:
    """Return masks that drop the lowest scores: exactly round(sparsity x weights) of them.

    Of equal scores, some spread over all of them go; the same ones each time. Raises InputError
    for a sparsity outside 0..1, an unknown scope and scores that are no finite numbers.
    """
    schedule.check(sparsity)
    for name, score in scores.items():
        if not np.isfinite(score).all():
            raise InputError("its weights are no numbers: the training diverged", where=name)
    if scope == "global":
        kept = largest(list(scores.values()), sparsity)
    elif scope == "local":
        kept = [largest([score], sparsity)[0] for score in scores.values()]
    else:
        raise InputError(unknown("scope", scope, ("local", "global")))
    return {name: torch.from_numpy(mask) for name, mask in zip(scores, kept, strict=True)}


def apply(network: nn.Module, masks: Masks) -> None:
    """Put masks on a network's layers, in place; what is pruned already stays pruned.

    Raises InputError for a layer that does not exist, a mask of another shape than its weight, and
    a weight that another layer shares.
    """
    modules = dict(network.named_modules())
    for name, mask in masks.items():
        if name not in modules:
            raise InputError(unknown("layer", name, modules), where="masks")
        layer = modules[name]
        weight = _weight(name, layer)
        if mask.shape != weight.shape:
            what = f"its mask is {tuple(mask.shape)}, its weight {tuple(weight.shape)}"
            raise InputError(what, where=name)
        before = _mask(layer)
        if before is not None:
            before.mul_(mask.to(before.device))
        else:
            _check_alone(network, name, weight)
            prune.custom_from_mask(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                layer, "weight", mask.to(weight.device)
            )
    refresh(network)


def of(network: nn.Module) -> Masks:
    """Return the masks of a network's masked layers."""
    found = {name: _mask(module) for name, module in network.named_modules()}
    return {name: mask != 0 for name, mask in found.items() if mask is not None}


def sparsity(network: nn.Module) -> dict[str, float]:
    """Return the share of weights that the mask of each masked layer drops."""
    return {name: int((~mask).sum()) / mask.numel() for name, mask in of(network).items()}


def refresh(network: nn.Module) -> None:
    """Make `weight` of masked layers what the next forward pass will make it.

    Until that pass torch keeps the product from before the optimiser's last step, with the graph
    that it was made in, so it could neither be read nor copied.
    """
    for layer in network.modules():
        mask = _mask(layer)
        if mask is not None:
            with torch.no_grad():
                layer.weight = layer.get_parameter("weight_orig") * mask


def make_permanent(network: nn.Module) -> None:
    """Turn masked layers into plain ones, in place, with zeros where the masks are."""
    for name, mask in of(network).items():
        layer = network.get_submodule(name)
        prune.remove(layer, "weight")  # type: ignore[no-untyped-call]  # torch leaves it untyped
        with torch.no_grad():
            layer.get_parameter("weight")[~mask] = 0.0  # a masked negative weight is -0.0 so far


def _mask(layer: nn.Module) -> torch.Tensor | None:
    return dict(layer.named_buffers(recurse=False)).get("weight_mask")


def _weight(name: str, layer: nn.Module) -> nn.Parameter:
    parameters = dict(layer.named_parameters(recurse=False))
    found = parameters.get("weight_orig", parameters.get("weight"))
    if found is None:
        raise InputError("has no plain weight to mask: something has replaced it", where=name)
    return found


def _magnitudes(name: str, layer: nn.Module) -> Array:
    """Return the absolute weights, and -1 where the layer's mask drops them."""
    values: Array = _weight(name, layer).detach().abs().double().cpu().numpy()
    mask = _mask(layer)
    return values if mask is None else np.where(mask.cpu().numpy() != 0, values, -1)


def _check_alone(network: nn.Module, name: str, weight: nn.Parameter) -> None:
    """A mask on one of two layers that share a weight would give them two different ones."""
    parameters = (one for module in network.modules() for one in module.parameters(recurse=False))
    if sum(one is weight for one in parameters) > 1:
        raise InputError(
            "shares its weight with another layer, which a mask would not reach",
            where=name,
            next_step=f"name '{name}' in `leave`",
        )
