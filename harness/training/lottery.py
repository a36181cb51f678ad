"""Lottery tickets: pruned networks that are trained again from weights of an early epoch.

Frankle and Carbin 2018 (arXiv 1803.03635) go back to the initial weights; Frankle, Dziugaite, Roy
and Carbin 2019 (arXiv 1912.05671) to those of an epoch soon after, which larger networks need.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from harness.errors import InputError
from harness.training.iterative import label, prune
from harness.training.loop import Step
from harness.training.masks import Scope
from harness.training.schedule import check_rising

# The attribute of the network that holds the early weights: they must be in its checkpoints.
_EARLY = "early_weights"


def lottery(
    schedule: Sequence[float],
    epochs: int,
    rewind: int,
    scope: Scope = "global",
    leave: Sequence[str] = (),
) -> list[Step]:
    """Return a step that trains the dense network for `epochs`, then one for each share.

    Each of these prunes the trained network to that share, sets what remains back to what it was
    after `rewind` epochs (0: before the first), and trains it for the other epochs. Norms and
    biases go back too; the optimiser starts anew. Raises InputError unless the schedule rises
    between 0 and 1 and 0 <= rewind < epochs.
    """
    check_rising(schedule)
    if not 0 <= rewind < epochs:
        raise InputError(f"cannot go back to epoch {rewind} of {epochs}")
    tickets = [
        Step(
            name=f"{label(sparsity, scope, leave)}; back to epoch {rewind}",
            epochs=epochs - rewind,
            prepare=partial(
                _ticket, sparsity=sparsity, scope=scope, leave=leave, last=sparsity == schedule[-1]
            ),
        )
        for sparsity in schedule
    ]
    return [Step(f"train, keeping epoch {rewind}", epochs, _same, partial(_keep, rewind)), *tickets]


def _same(network: nn.Module) -> nn.Module:
    return network


def _keep(rewind: int, network: nn.Module, index: int) -> None:
    if index == rewind:
        setattr(network, _EARLY, {name: tensor.clone() for name, tensor in _tensors(network)})


def _ticket(
    network: nn.Module, sparsity: float, scope: Scope, leave: Sequence[str], last: bool
) -> nn.Module:
    """Prune by the trained weights first, then go back: the masks are what training has found."""
    prune(network, sparsity, scope, leave)
    early = getattr(network, _EARLY)
    with torch.no_grad():
        for name, tensor in _tensors(network):
            tensor.copy_(early[name])
    if last:
        delattr(network, _EARLY)
    return network


def _tensors(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return parameters and buffers but no masks, each under the name that it has unmasked."""
    return [
        (re.sub(r"\bweight_orig$", "weight", name), tensor.detach())
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
        if not name.endswith("weight_mask")
    ]
