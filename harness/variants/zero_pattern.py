"""In which pattern the zeros of a weight lie: what a sparse kernel could make use of.

A pure function of where the zeros are. Of several patterns that hold, the coarsest is named: whole
outputs and inputs, then n:m, then blocks, else unstructured.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.variants.network import Array

NONE, UNSTRUCTURED = "none", "unstructured"
ROWS, COLUMNS, BOTH = "whole outputs", "whole inputs", "whole outputs and inputs"
# Fewer zeros are those that training and rounding leave anywhere.
FEWEST = 0.01
# Outside a pattern so many of the weights may be zero: rounding to INT8 makes some zeros anywhere.
OUTSIDE = 0.05
# A pattern must account for so many of the zeros; n:m, which allows more of them, for most.
COVERED, GUARANTEED = 0.5, 0.8
# That so many groups or blocks come about by chance must be less likely than this.
CHANCE = 1e-4
GROUPS = (4, 8, 16, 32, 2)  # m of n:m; 2:4 is the one that hardware knows
LARGEST = 32  # side of a block


def pattern(zero: Array) -> str:
    """Name the pattern of zeros in a weight seen as [outputs, kernel positions, inputs].

    n:m: of every m consecutive inputs at one kernel position at most n are not zero, and so at
    least four fifths of the zeros are accounted for. RxC: zeros come as blocks of R outputs x C
    inputs at one kernel position, aligned, as `prune: {pattern: RxC}` makes them.
    """
    if zero.size == 0 or zero.mean() < FEWEST:
        return NONE
    if zero.all():
        return ROWS
    return _whole(zero) or _n_of_m(zero) or _block(zero) or UNSTRUCTURED


def _whole(zero: Array) -> str | None:
    rows: Array = np.all(zero, axis=(1, 2))
    columns: Array = np.all(zero, axis=(0, 1))
    for name, whole, covered in (
        (ROWS, rows, rows[:, None, None]),
        (COLUMNS, columns, columns[None, None, :]),
    ):
        if _explains(zero, covered) and _unlikely(whole, zero, zero.size // len(whole)):
            return name
    crossed = rows[:, None, None] | columns
    size = zero.size // max(len(rows), len(columns))
    likely = not (_unlikely(rows, zero, size) and _unlikely(columns, zero, size))
    return BOTH if not likely and _explains(zero, crossed) else None


def _n_of_m(zero: Array) -> str | None:
    share = float(zero.mean())
    for m in GROUPS:
        if zero.shape[2] % m:
            continue
        kept = m - zero.reshape(-1, m).sum(axis=1)
        n = int(kept.max())
        accounted = (m - n) / m >= GUARANTEED * share
        by_chance = special.bdtr(n, m, 1 - share) ** len(kept)
        if 0 < n < m and accounted and by_chance < CHANCE:
            return f"{n}:{m}"
    return None


def _block(zero: Array) -> str | None:
    """Grow blocks from one weight on, twice as wide or high while the zeros still come so."""
    cells, rows, columns = zero, 1, 1
    while columns < LARGEST and (wider := _paired(cells, 2)) is not None:
        cells, columns = wider, 2 * columns
    while rows < LARGEST and (higher := _paired(cells, 0)) is not None:
        cells, rows = higher, 2 * rows
    return f"{rows}x{columns}" if rows * columns > 1 else None


def _paired(cells: Array, axis: int) -> Array | None:
    """Join cells two by two along an axis; null unless zeros come in such pairs."""
    if cells.shape[axis] < 2:
        return None
    pairs: Array = np.logical_and.reduceat(cells, range(0, cells.shape[axis], 2), axis=axis)
    covered = np.repeat(pairs, 2, axis=axis).take(range(cells.shape[axis]), axis=axis)
    share = float(cells.mean())
    # Zeros that come in pairs leave fewer cells that are zero without their neighbour.
    alone = int((cells & ~covered).sum())
    by_chance = special.bdtr(alone, cells.size // 2, 2 * share * (1 - share))
    return pairs if _explains(cells, covered) and by_chance < CHANCE else None


def _explains(zero: Array, covered: Array) -> bool:
    """Whether most zeros lie where a pattern has them, and few of the weights outside are zero."""
    within = np.broadcast_to(covered, zero.shape)
    outside = zero[~within]
    return bool(
        (zero & within).sum() >= COVERED * zero.sum()
        and (outside.size == 0 or outside.mean() <= OUTSIDE)
    )


def _unlikely(groups: Array, zero: Array, size: int) -> bool:
    """Whether so many groups of `size` weights are hardly ever zero by chance alone."""
    hits, each = int(groups.sum()), float(zero.mean()) ** size
    return hits > 0 and bool(special.bdtrc(hits - 1, groups.size, each) < CHANCE)
