"""Pruning by zeros: weights of a network are set to zero, its graph stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import InputError
from harness.variants.manifest import LayerSparsity
from harness.variants.network import Array, Feeds, Network
from harness.variants.recipe import Prune
from harness.variants.sparsity import patterns, scores, sparsegpt
from harness.variants.sparsity.given import given
from harness.variants.sparsity.selection import Target, select

# A sparsity that differs by more from what was asked is remarked on.
TOLERANCE = 0.001


@dataclass(frozen=True)
class Sparsified:
    """What was set to zero."""

    masks: dict[str, Array]  # weight -> bool array of its shape; True stays
    layers: list[LayerSparsity]
    left: dict[str, str]  # layer -> why it was not pruned
    reached: float  # zeros among all weights of `layers`
    notes: list[str]


def sparsify(network: Network, ask: Prune, feeds: Feeds | None) -> Sparsified:
    """Set weights of the network to zero, in place; biases and norms are never touched.

    Raises InputError for a layer to leave that is not there, if nothing remains to prune, for
    weights or features that are not finite, for a mask that fits nothing, and without samples
    where the method needs them.
    """
    if ask.needs_samples and feeds is None:
        raise InputError(
            f"method {ask.method}{' with calibrate' if ask.calibrate else ''} needs samples",
            where="prune",
            next_step="give `calibration: {file: samples.npz, inputs: KEY}`",
        )
    if ask.method == "mask":
        targets, masks, left, notes = given(network, ask)
    else:
        targets, left = select(network, ask)
        masks, notes = _masks(network, targets, ask, feeds or {}), []
    stays = _apply(network, targets, masks)
    each = None if ask.scoped == "global" else ask.share
    layers = [
        LayerSparsity(name=target.name, target=each, reached=float(1 - stay.mean()))
        for target, stay in zip(targets, stays.values(), strict=True)
    ]
    kept = sum(int(stay.sum()) for stay in stays.values())
    reached = 1 - kept / sum(stay.size for stay in stays.values())
    notes += _remarks(layers, ask.share, reached)
    return Sparsified(stays, layers, left, reached, notes)


def _masks(network: Network, targets: Sequence[Target], ask: Prune, feeds: Feeds) -> list[Array]:
    """Choose what stays of each target, as matrices."""
    if ask.method == "sparsegpt":
        return sparsegpt.prune(network, targets, ask, feeds)
    if ask.method == "wanda":
        scored = scores.wanda(network, targets, feeds)
    else:
        scored = scores.magnitude(network, targets)
    if ask.n_of_m:
        n, m = ask.n_of_m
        return [patterns.n_of_m(one, n, m) for one in scored]
    zeros = [target.matrix(network) == 0 for target in targets]
    if ask.scoped == "global":
        return _competing(scored, zeros, targets, ask)
    alone = [
        _competing([one], [zero], [target], ask)
        for one, zero, target in zip(scored, zeros, targets, strict=True)
    ]
    return [mask for [mask] in alone]


def _competing(
    scored: list[Array], zeros: list[Array], targets: Sequence[Target], ask: Prune
) -> list[Array]:
    """Choose what stays of weights that compete with each other."""
    assert ask.sparsity is not None
    if ask.block:
        return patterns.blocks(
            scored, zeros, [one.view for one in targets], ask.block, ask.sparsity
        )
    if ask.method == "wanda":  # which compares the weights of one output with each other
        return [
            patterns.largest_by_row(one, zero, ask.sparsity)
            for one, zero in zip(scored, zeros, strict=True)
        ]
    return patterns.largest(scored, ask.sparsity)


def _apply(network: Network, targets: Sequence[Target], masks: Sequence[Array]) -> dict[str, Array]:
    """Set to zero what the masks do not keep; returns what is not zero, by weight.

    Weights that were zero before stay so, whatever the mask says.
    """
    for target, mask in zip(targets, masks, strict=True):
        pruned = np.where(mask, target.matrix(network), 0)
        network.replace(target.weight, target.view.restore(pruned))
    return {target.weight: network.constant(target.weight) != 0 for target in targets}


def _remarks(layers: Sequence[LayerSparsity], asked: float | None, reached: float) -> list[str]:
    notes = [f"{layer.name}: no weight is left" for layer in layers if layer.reached == 1]
    if asked is not None and abs(reached - asked) > TOLERANCE:
        why = "weights that were zero before count, and weights go whole, or block by block"
        notes.append(f"sparsity {reached:.4f} was reached, not {asked:g}: {why}")
    return notes
