"""SparseGPT: zero weights column by column, and let those that remain make up for each loss.

Frantar and Alistarh, arXiv 2301.00774. The Hessian of a layer's squared error is the Gram matrix
of its inputs; the inputs are those of the network whose earlier layers are pruned already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import InputError
from harness.variants.network import Array, Feeds, Network
from harness.variants.recipe import Prune
from harness.variants.sparsity import patterns
from harness.variants.sparsity.features import MOST_COLUMNS, grams
from harness.variants.sparsity.selection import Target
from harness.variants.sparsity.weights import View

# The share of the Hessian's mean diagonal that is added to it, and the columns whose mask is
# chosen at once: both are the paper's.
DAMPING = 0.01
COLUMNS = 128

# (scores [groups, outputs, some columns], the first of these columns) -> which stay
Choose = Callable[[Array, int], Array]


@dataclass(frozen=True)
class _Choices:
    """How the mask of a slice is chosen: `step` columns at once, when their turn comes."""

    choose: Choose
    step: int
    first: int  # column of the slice


def prune(network: Network, targets: Sequence[Target], ask: Prune, feeds: Feeds) -> list[Array]:
    """Prune the targets one after the other, weights and all; returns their masks as matrices."""
    masks = []
    for target in targets:
        if target.view.columns > MOST_COLUMNS:
            raise InputError(
                f"its outputs have {target.view.columns} inputs each, too many for sparsegpt",
                where=f"layer {target.name}",
                next_step="leave the layer, or choose method: wanda",
            )
        gram = np.sum(grams(network, target.layers, feeds), axis=0)
        pruned, mask = compensated(target.matrix(network), gram, target.view, ask)
        network.replace(target.weight, target.view.restore(pruned))
        masks.append(mask)
    return masks


def compensated(weights: Array, gram: Array, view: View, ask: Prune) -> tuple[Array, Array]:
    """Return the pruned weights [groups, outputs, columns] and their mask.

    `gram` is [groups, columns, columns]. Of every slice of columns the same share goes.
    """
    upper = _inverse_factor(gram)
    left = weights.astype(np.float64)
    mask = np.ones(left.shape, bool)
    choose, step = _chooser(left, upper, view, ask)
    width = COLUMNS // step * step
    for start in range(0, view.columns, width):
        part = slice(start, min(start + width, view.columns))
        choices = _Choices(choose, step, start)
        errors = _prune_slice(left[..., part], upper[:, part, part], mask[..., part], choices)
        left[..., part.stop :] -= errors @ upper[:, part, part.stop :]
    return np.where(mask, left, 0.0), mask


def _inverse_factor(gram: Array) -> Array:
    """Return the upper triangular U of each group with U^T U = inverse of the damped Gram."""
    mean = np.trace(gram, axis1=1, axis2=2) / gram.shape[1]
    mean = np.where(mean > 0, mean, 1.0)  # a layer that is fed with zeros only
    damped = gram + (DAMPING * mean)[:, None, None] * np.eye(gram.shape[1])
    factor = np.linalg.cholesky(np.linalg.inv(damped))
    return factor.transpose(0, 2, 1)


def _prune_slice(left: Array, upper: Array, mask: Array, choices: _Choices) -> Array:
    """Prune one slice of columns in place; returns each column's error, to spread to the right."""
    errors = np.zeros_like(left)
    diagonal = np.diagonal(upper, axis1=1, axis2=2)[:, None, :]
    for column in range(left.shape[-1]):
        if column % choices.step == 0:
            some = slice(column, column + choices.step)
            scores = (left[..., some] / diagonal[..., some]) ** 2
            mask[..., some] = choices.choose(scores, choices.first + column)
        lost = np.where(mask[..., column], 0.0, left[..., column]) / diagonal[..., column]
        left[..., column:] -= lost[..., None] * upper[:, None, column, column:]
        errors[..., column] = lost
    return errors


def _chooser(weights: Array, upper: Array, view: View, ask: Prune) -> tuple[Choose, int]:
    """Return how a mask is chosen, and for how many columns at once."""
    if ask.n_of_m:
        n, m = ask.n_of_m
        return lambda scores, _: patterns.n_of_m(scores, n, m), m
    assert ask.sparsity is not None
    if ask.block:
        # Blocks may reach over slices, so they are chosen before any weight has changed.
        scores = (weights / np.diagonal(upper, axis1=1, axis2=2)[:, None, :]) ** 2
        # Updates reach weights that are zero too, so none stays zero by itself.
        zeros = np.zeros(scores.shape, bool)
        [whole] = patterns.blocks([scores], [zeros], [view], ask.block, ask.sparsity)
        return lambda part, first: whole[..., first : first + part.shape[-1]], COLUMNS
    return _share(ask.sparsity), COLUMNS


def _share(sparsity: float) -> Choose:
    def choose(scores: Array, first: int) -> Array:
        # What the slices before have dropped by rounding, this one makes up for.
        rows = scores[..., 0].size
        before, after = first * rows, first * rows + scores.size
        count = round(sparsity * after) - round(sparsity * before)
        return ~patterns.lowest(scores.ravel(), count).reshape(scores.shape)

    return choose
