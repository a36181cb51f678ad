"""The Pareto front: the points that no other beats on every axis."""

from __future__ import annotations

import numpy as np

from reports.selection.wanted import Bools, Floats


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

    What is not able in a draw is not on its front, and dominates nothing there.
    """
    _, points, count = draws.shape
    found = np.zeros(points)
    for at in range(count):
        here = np.flatnonzero(able[:, at])
        found[here] += front(draws[:, here, at].T)
    return np.asarray(found / count)
