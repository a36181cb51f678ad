"""How much each weight matters, as magnitude pruning and Wanda see it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.variants.network import Array, Feeds, Network
from harness.variants.sparsity.features import squares
from harness.variants.sparsity.selection import Target


def magnitude(network: Network, targets: Sequence[Target]) -> list[Array]:
    """Score weights by their absolute value (Han et al., arXiv 1506.02626)."""
    return [np.abs(target.matrix(network)) for target in targets]


def wanda(network: Network, targets: Sequence[Target], feeds: Feeds) -> list[Array]:
    """Score weights by |weight| x the L2 norm of its input feature (Sun et al., arXiv 2306.11695).

    The features are those of the dense network; layers that share a weight add theirs up.
    """
    layers = [layer for target in targets for layer in target.layers]
    sums = dict(zip([id(layer) for layer in layers], squares(network, layers, feeds), strict=True))
    scored = []
    for target, weights in zip(targets, magnitude(network, targets), strict=True):
        energy = sum(sums[id(layer)] for layer in target.layers)
        scored.append(weights * np.sqrt(energy)[:, None, :])
    return scored
