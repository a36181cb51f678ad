"""Iterative magnitude pruning: a little is pruned, then the network is trained to recover.

Han, Pool, Tran and Dally 2015, "Learning both Weights and Connections for Efficient Neural
Networks" (arXiv 1506.02626).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from harness.training import masks
from harness.training.loop import Step
from harness.training.masks import Scope
from harness.training.schedule import check_rising


def iterative(
    schedule: Sequence[float], epochs: int, scope: Scope = "global", leave: Sequence[str] = ()
) -> list[Step]:
    """Return one step for each share of `schedule`: prune to it, then train for `epochs`.

    What a step prunes stays pruned in all that follow. `scope` and `leave` are those of
    `masks.magnitude`. Raises InputError unless the schedule rises between 0 and 1.
    """
    check_rising(schedule)
    return [
        Step(
            name=label(sparsity, scope, leave),
            epochs=epochs,
            prepare=partial(prune, sparsity=sparsity, scope=scope, leave=leave),
        )
        for sparsity in schedule
    ]


def prune(network: nn.Module, sparsity: float, scope: Scope, leave: Sequence[str]) -> nn.Module:
    """Mask the smallest weights of a network, in place."""
    masks.apply(network, masks.magnitude(network, sparsity, scope, leave))
    return network


def label(sparsity: float, scope: Scope, leave: Sequence[str]) -> str:
    """Say what one pruning does, with all that decides it."""
    left = f", leaving {', '.join(leave)}" if leave else ""
    return f"prune {100 * sparsity:g}% by magnitude, {scope}{left}"
