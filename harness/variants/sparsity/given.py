"""Masks of another variant: a network takes those that its weights fit."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from harness.errors import InputError
from harness.variants import mask_file
from harness.variants.network import Array, Network
from harness.variants.recipe import Prune
from harness.variants.sparsity.selection import Target, select


def given(
    network: Network, ask: Prune
) -> tuple[list[Target], list[Array], dict[str, str], list[str]]:
    """Return the weights that a file has masks of their name and shape for, and these as matrices.

    Then why each other layer is left, and which masks are not used: one mask may serve several
    architectures. Raises InputError if none fits.
    """
    assert ask.mask is not None
    path = Path(ask.mask)
    found, _ = mask_file.read(path)
    # The mask decides; only what a study leaves in so many words stays as it is.
    targets, left = select(network, ask.model_copy(update={"leave": ask.leave or ()}))
    fitting = []
    for target in targets:
        reason = _misfit(target, found.get(target.weight))
        if reason is None:
            fitting.append(target)
        else:
            left.update({layer.node.name: reason for layer in target.layers})
    if not fitting:
        raise _nothing(path, list(found), targets, left)
    masks = [target.view.matrix(found[target.weight]) for target in fitting]
    return fitting, masks, left, _unused(found, {target.weight for target in fitting})


def _unused(found: Mapping[str, Array], used: Container[str]) -> list[str]:
    return [
        f"mask '{name}' {list(mask.shape)} fits no layer that is pruned"
        for name, mask in found.items()
        if name not in used
    ]


def _misfit(target: Target, mask: Array | None) -> str | None:
    if mask is None:
        return f"there is no mask for its weight '{target.weight}'"
    if mask.shape != target.view.shape:
        return f"its weight is {list(target.view.shape)}, the mask {list(mask.shape)}"
    return None


def _nothing(
    path: Path, names: Sequence[str], targets: Sequence[Target], left: dict[str, str]
) -> InputError:
    if not names:
        what = "holds no masks of zeros"
    else:
        of_shape = [left[one.name] for one in targets if one.weight in names]
        why = of_shape[0] if of_shape else f"no layer has a weight '{names[0]}'"
        what = f"fits no layer of this model: {why}"
    step = "give the mask of a variant of this model in this format"
    return InputError(what, where=str(path), next_step=step)
