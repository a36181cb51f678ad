"""Change points of short series: the best division, found; noise and outliers left alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.sessions.change_points import FEWEST, change_points, spread

series = st.lists(st.floats(-5, 5), min_size=1, max_size=11)


def cost(values: list[float], starts: tuple[int, ...]) -> float:
    """What a division costs: deviations from medians, and a penalty for each border."""
    pieces = itertools.pairwise([0, *starts, len(values)])
    deviations = sum(
        float(np.abs(np.asarray(values[a:b]) - np.median(values[a:b])).sum()) for a, b in pieces
    )
    return deviations + 2 * math.log(len(values)) * len(starts)


def divisions(count: int) -> list[tuple[int, ...]]:
    """Every division of a series into pieces that are long enough."""
    found = []
    for borders in range(count // FEWEST):
        for starts in itertools.combinations(range(FEWEST, count), borders):
            lengths = [b - a for a, b in itertools.pairwise([0, *starts, count])]
            if min(lengths) >= FEWEST:
                found.append(starts)
    return found


@settings(max_examples=200)
@given(series)
def test_no_division_is_better(values: list[float]) -> None:
    scale = max(0.5, spread(values))
    scaled = [value / scale for value in values]
    found = tuple(change_points(values, 0.5))
    assert all(
        cost(scaled, found) <= cost(scaled, other) + 1e-9 for other in divisions(len(values))
    )


@given(series, st.floats(-10, 10))
def test_where_the_level_lies_does_not_matter(values: list[float], by: float) -> None:
    rounded = [round(value, 3) for value in values]
    moved = [value + round(by, 3) for value in rounded]
    scale = max(0.5, spread(rounded))
    found = change_points(moved, 0.5)
    # Of two equally good divisions rounding may choose either.
    ours = cost([value / scale for value in rounded], tuple(found))
    assert ours == pytest.approx(
        cost([v / scale for v in rounded], tuple(change_points(rounded, 0.5)))
    )


def test_a_step_is_found_where_it_is() -> None:
    assert change_points([1.0] * 5 + [1.1] * 4, 0.01) == [5]
    assert change_points([1.0] * 5 + [1.1] * 4 + [1.0] * 3, 0.01) == [5, 9]


@pytest.mark.parametrize("count", range(6))
def test_fewer_than_six_sessions_have_no_two_levels(count: int) -> None:
    assert change_points([0.0, 0.0, 0.0, 9.0, 9.0][:count], 0.01) == []


def test_one_outlier_is_no_level() -> None:
    values = [0.0] * 6 + [0.5] + [0.0] * 6
    assert change_points(values, 0.005) == []


def test_a_series_that_stands_still_needs_to_know_its_noise() -> None:
    with pytest.raises(ValueError, match="noise"):
        change_points([1.0] * 8, 0.0)


@pytest.mark.parametrize("count", [6, 14, 60])
def test_noise_that_is_known_raises_few_false_alarms(count: int) -> None:
    rng = np.random.default_rng(count)
    alarms = sum(bool(change_points(list(rng.normal(0, 1, count)), 1.0)) for _ in range(300))
    assert alarms / 300 < 0.03


def test_a_shift_is_found_within_noise() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(100):
        values = rng.normal(0, 1, 20)
        values[12:] += 4
        hits += any(abs(each - 12) <= 1 for each in change_points(list(values), 0.5))
    assert hits > 95


def test_the_spread_is_that_of_the_noise_whatever_the_levels() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 0.01, 200) + (np.arange(200) >= 90) * 3.0
    assert spread(list(values)) == pytest.approx(0.01, rel=0.25)
