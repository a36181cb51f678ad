"""Remove whole channels or heads from a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.errors import InputError
from harness.variants.channels.coupling import Coupling, Family, find
from harness.variants.channels.importance import score
from harness.variants.channels.selection import select
from harness.variants.leave import left as left_layers
from harness.variants.network import Feeds, Graph, Kept, Network
from harness.variants.recipe import Prune

SHOWN = 5  # reasons in one error


@dataclass(frozen=True)
class Slimmed:
    """What was removed from a network."""

    kept: Kept
    families: tuple[SlimFamily, ...]
    reached: float  # share of the channels, or heads, of these families that went
    left: Mapping[str, str]  # layer that makes as many channels as before -> why


@dataclass(frozen=True)
class SlimFamily:
    """The layers that share channels, or heads, and the number of these."""

    layers: tuple[str, ...]
    before: int
    after: int


def slim(network: Network, ask: Prune, feeds: Feeds | None) -> Slimmed:
    """Remove the share `ask.sparsity` of a network's channels or heads, the least important ones.

    The network computes afterwards exactly what it did with zeros for every weight that reads
    what went (see `masked`). `feeds` are the calibration samples; criterion activation needs them.
    """
    if ask.sparsity is None:
        raise ValueError("structured pruning without a sparsity")
    coupling = find(network.graph)
    families, left = _chosen(network.graph, coupling, ask)
    if not families:
        raise _nothing(coupling, left, ask)
    importance = score(network, coupling, ask.criterion, feeds)
    gone = select(families, coupling.positions, importance, ask.sparsity, ask.scoped)
    kept = coupling.kept(np.concatenate(gone))
    network.keep(kept)
    slimmed = tuple(
        SlimFamily(family.names, len(family.units), len(family.units) - len(units))
        for family, units in zip(families, gone, strict=True)
    )
    before = sum(family.before for family in slimmed)
    reached = 1 - sum(family.after for family in slimmed) / before
    for family in slimmed:
        if family.after == family.before:
            left |= dict.fromkeys(family.layers, "no whole block of its channels went")
    return Slimmed(kept, slimmed, reached, left)


def masked(network: Network, kept: Kept) -> None:
    """Set to zero every weight that reads a channel which `kept` lets go.

    The channels themselves keep their values: nothing reads them any more, and zeros on the way
    could be divided by, or their logarithm taken.
    """
    for layer in network.graph.layers():
        product = layer.node.product
        cut = kept.get(layer.weight, {})
        if product is None or product.weight_in not in cut:
            continue
        weight = network.constant(layer.weight)
        gone = np.ones(weight.shape[product.weight_in], dtype=bool)
        gone[cut[product.weight_in]] = False
        np.moveaxis(weight, product.weight_in, 0)[gone] = 0
        network.replace(layer.weight, weight)


def _chosen(graph: Graph, coupling: Coupling, ask: Prune) -> tuple[list[Family], dict[str, str]]:
    """Return the families that lose something, and why each layer of the others does not."""
    named = left_layers(graph, ask.left)
    heads = ask.method == "heads"
    families, left = [], dict(coupling.fixed)
    for family in coupling.families:
        asked = [layer for layer in family.names if layer in named]
        if family.heads is not heads:
            other = "attention heads: method heads removes them" if family.heads else "no heads"
            left |= dict.fromkeys(family.names, other)
        elif asked:
            shared = f"shares its channels with {asked[0]} ({named[asked[0]]})"
            left |= {layer: named.get(layer, shared) for layer in family.names}
        else:
            families.append(family)
    # A layer may be in two families, one of heads and one of channels.
    going = {layer for family in families for layer in family.names}
    return families, {layer: why for layer, why in left.items() if layer not in going}


def _nothing(coupling: Coupling, left: Mapping[str, str], ask: Prune) -> InputError:
    """Make the error for a network that nothing can go from."""
    what = "attention heads" if ask.method == "heads" else "channels"
    unknown = [f"{name}: {why}" for name, why in coupling.untouched.items()]
    reasons = [f"{name}: {why}" for name, why in left.items()]
    shown = (unknown + [reason for reason in reasons if reason not in unknown])[:SHOWN]
    return InputError(
        "\n  ".join([f"no {what} can be removed from this network", *shown]),
        where="prune",
        next_step="leave out fewer layers" if ask.left else "prune with method: magnitude",
    )
