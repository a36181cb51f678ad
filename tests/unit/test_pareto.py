"""The Pareto front: nothing on it is beaten, nothing beyond it is unbeaten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reports.selection.pareto import chances, front
from reports.selection.wanted import Floats

QUICK = settings(max_examples=150, deadline=None)
# Small whole numbers make ties and equal points.
POINTS = st.tuples(st.integers(1, 12), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 4).map(float))
)


def dominates(one: Floats, other: Floats) -> bool:
    return bool((one <= other).all() and (one < other).any())


@QUICK
@given(POINTS)
def test_the_front_is_exactly_what_no_other_dominates(points: Floats) -> None:
    kept = front(points)
    assert kept.any()
    for at, point in enumerate(points):
        assert kept[at] == (not any(dominates(other, point) for other in points))


@QUICK
@given(POINTS, st.randoms())
def test_the_order_of_the_points_does_not_matter(points: Floats, random: object) -> None:
    order = list(range(len(points)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert (front(points)[order] == front(points[order])).all()


def test_a_point_with_an_unknown_value_is_never_on_it_and_beats_nothing() -> None:
    points = np.array([[np.nan, 0.0], [1.0, 1.0], [2.0, 0.5], [2.0, 2.0]])
    assert front(points).tolist() == [False, True, True, False]


def test_equal_points_both_stay() -> None:
    assert front(np.ones((3, 2))).all()


def test_more_axes_keep_more(seed: int = 3) -> None:
    """20 random points: 18% on 2 axes and 55% on 4, as measured in notes/gating.md."""
    rng = np.random.default_rng(seed)
    shares = [
        np.mean([front(rng.random((20, axes))).mean() for _ in range(300)]) for axes in (2, 4)
    ]
    assert shares[0] == pytest.approx(0.18, abs=0.02)
    assert shares[1] == pytest.approx(0.55, abs=0.03)


def test_chances_heed_who_is_able_in_a_draw() -> None:
    values = np.array([[[1.0, 1.0], [2.0, 2.0]]])  # one axis, two points, two draws
    able = np.array([[True, False], [True, True]])
    assert chances(values, able).tolist() == [0.5, 0.5]
