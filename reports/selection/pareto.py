"""The Pareto front: the points that no other beats on every axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.selection.table import Line
from reports.selection.wanted import Bools, Floats, badness

# A front is found draw by draw, against all others: fewer draws do.
FRONT_DRAWS = 400


def placed(lines: Sequence[Line], axes: Sequence[str], able: Bools) -> list[tuple[bool, float]]:
    """Which are on the front by their values, and how often over the draws they are `able` in.

    A point without draws on an axis is not placed.
    """
    values = np.full((len(axes), *able.shape), np.nan)
    points = np.full((len(lines), len(axes)), np.nan)
    for row, line in enumerate(lines):
        for column, axis in enumerate(axes):
            drawn, value = line.draws[axis], line.doubts[axis].estimate.value
            if drawn is not None and value is not None:
                values[column, row] = badness(axis, drawn[: able.shape[1]])
                points[row, column] = badness(axis, value)
    on, often = front(points), chances(values, able)
    return [(bool(here), float(chance)) for here, chance in zip(on, often, strict=True)]


def front(points: Floats) -> Bools:
    """Which of [points, axes] are on the front, lower being better; a point with NaN never is.

    A point is dominated by one that is nowhere worse and somewhere better; equal ones both stay.
    """
    left = np.flatnonzero(~np.isnan(points).any(axis=1))
    # What dominates a point comes before it in this order, so whatever is reached is on the front.
    left = left[np.lexsort(points[left].T[::-1])]
    kept = np.zeros(len(points), dtype=np.bool_)
    while left.size:
        best = points[left[0]]
        kept[left[0]] = True
        rivals = points[left[1:]]
        dominated = (rivals >= best).all(axis=1) & (rivals > best).any(axis=1)
        left = left[1:][~dominated]
    return kept


def chances(draws: Floats, able: Bools) -> Floats:
    """How often each is on the front: of values [axes, points, draws], those `able` in each draw.

    What is not able in a draw, or NaN, is not on its front, and dominates nothing there.
    """
    _, points, count = draws.shape
    able = able & ~np.isnan(draws).any(axis=0)
    beaten = np.zeros((points, count), dtype=np.bool_)
    for at in range(points):  # what this one dominates, in all draws at once
        rival = draws[:, at : at + 1]
        beaten |= able[at] & (rival <= draws).all(axis=0) & (rival < draws).any(axis=0)
    return np.asarray((able & ~beaten).mean(axis=1))
