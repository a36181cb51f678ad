"""From scores to masks: which weights stay. True stays; the lowest scores go.

Scores are [groups, outputs, columns], as `harness.variants.sparsity.weights.View` orders them.
Ranks decide, not a threshold: weights of equal score cannot make it more or fewer than asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.variants.network import Array
from harness.variants.sparsity.weights import View


def largest(scores: Sequence[Array], sparsity: float) -> list[Array]:
    """Drop the lowest scores of all arrays taken together, exactly round(sparsity x weights)."""
    flat = np.concatenate([one.ravel() for one in scores])
    kept = ~lowest(flat, round(sparsity * flat.size))
    parts = np.split(kept, np.cumsum([one.size for one in scores])[:-1])
    return [part.reshape(one.shape) for part, one in zip(parts, scores, strict=True)]


def lowest(flat: Array, count: int) -> Array:
    """Mark exactly `count` of the lowest scores; of equal ones, some spread over all of them."""
    if count == 0:
        return np.zeros(flat.shape, bool)
    threshold = np.partition(flat, count - 1)[count - 1]
    marked: Array = flat < threshold
    equal = np.flatnonzero(flat == threshold)
    missing = count - int(marked.sum())
    marked[equal[np.arange(missing) * len(equal) // missing]] = True
    return marked


def largest_by_row(scores: Array, zeros: Array, sparsity: float) -> Array:
    """Drop the same share of each output's weights: round(sparsity x weights) over all rows.

    `zeros` marks weights that are zero already. A row with more of them than its share drops
    these, and the other rows share what remains.
    """
    rows = np.where(zeros, -1, scores).reshape(-1, scores.shape[-1])
    before = zeros.reshape(rows.shape).sum(axis=1)
    kept: Array = _ranks(rows) >= _quotas(before, round(sparsity * rows.size))[:, None]
    return kept.reshape(scores.shape)


def _quotas(before: Array, total: int) -> Array:
    """Share `total` equally among rows, none getting less than it has `before`."""
    quotas = before.copy()
    open_rows = np.arange(len(before))
    while len(open_rows):
        share = max(total - int(before.sum()) + int(before[open_rows].sum()), 0) / len(open_rows)
        fitting = before[open_rows] <= share
        if fitting.all():
            # Rows that cannot have the share exactly take turns in rounding up and down.
            through = np.rint(share * np.arange(len(open_rows) + 1)).astype(np.int64)
            quotas[open_rows] = np.diff(through)
            break
        open_rows = open_rows[fitting]
    return quotas


def n_of_m(scores: Array, n: int, m: int) -> Array:
    """Keep the n largest of every m consecutive columns, whose number must be a multiple of m."""
    kept: Array = _ranks(scores.reshape(-1, m)) >= m - n
    return kept.reshape(scores.shape)


def blocks(
    scores: Sequence[Array],
    zeros: Sequence[Array],
    views: Sequence[View],
    block: tuple[int, int],
    sparsity: float,
) -> list[Array]:
    """Drop whole blocks of (outputs, inputs) at one kernel position, lowest mean score first.

    Blocks at the edges may be smaller. As many go as brings the zeros, with those that were there
    before, nearest to sparsity x weights.
    """

    def flat(arrays: Sequence[Array]) -> Array:
        pairs = zip(arrays, views, strict=True)
        return np.concatenate([_block_sums(one, view, block).ravel() for one, view in pairs])

    size, new = flat([np.ones(one.shape) for one in zeros]), flat([~one for one in zeros])
    order = np.argsort(flat(scores) / size, kind="stable")
    reached = (size - new).sum() + np.concatenate([[0], np.cumsum(new[order])])
    kept = np.ones(len(size), bool)
    kept[order[: int(np.abs(reached - sparsity * size.sum()).argmin())]] = False
    ends = np.cumsum(
        [_block_sums(one, view, block).size for one, view in zip(zeros, views, strict=True)]
    )
    parts = np.split(kept, ends[:-1])
    return [_spread(part, view, block) for part, view in zip(parts, views, strict=True)]


def _ranks(rows: Array) -> Array:
    """Rank each row's scores from 0, the lowest; of equal ones the first is the highest."""
    order = np.argsort(rows[:, ::-1], axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(rows.shape[1])[None, :], axis=1)
    return ranks[:, ::-1]


def _block_sums(scores: Array, view: View, block: tuple[int, int]) -> Array:
    """Sum over blocks: [groups, blocks of outputs, kernel, blocks of inputs]."""
    planes = scores.reshape(view.groups, view.outputs, view.kernel, view.inputs)
    rows = np.add.reduceat(planes, range(0, view.outputs, block[0]), axis=1, dtype=np.float64)
    summed: Array = np.add.reduceat(rows, range(0, view.inputs, block[1]), axis=3)
    return summed


def _spread(kept: Array, view: View, block: tuple[int, int]) -> Array:
    """Undo `_block_sums`: what holds for a block holds for each of its weights."""
    down = -(-view.outputs // block[0])
    planes = kept.reshape(view.groups, down, view.kernel, -1)
    rows = np.repeat(planes, block[0], axis=1)[:, : view.outputs]
    whole = np.repeat(rows, block[1], axis=3)[..., : view.inputs]
    return whole.reshape(view.groups, view.outputs, view.columns)
