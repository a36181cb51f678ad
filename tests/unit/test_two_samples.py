"""Two sets of launches of two sessions: the shift between them, its interval and its proof."""

from __future__ import annotations

import itertools
import math
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.sequential import Statistic
from reports.sessions.two_samples import p_beyond, rank_sum_tail, shift

logs = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=12)
STATISTICS: tuple[Statistic, ...] = ("t", "signed-rank")


@given(logs, logs)
def test_means_are_compared_by_welch_as_scipy_has_it(
    first: list[float], second: list[float]
) -> None:
    assume(min(np.ptp(first), np.ptp(second)) > 1e-3)
    found = shift(first, second, "t")
    wanted = stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert found.interval is not None
    np.testing.assert_allclose(np.log(found.interval), [wanted.low, wanted.high], atol=1e-9)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (3, 4), (5, 4)])
def test_the_distribution_of_ranks_is_that_of_all_orders(m: int, n: int) -> None:
    counts = np.zeros(m * n + 1)
    for chosen in itertools.combinations(range(m + n), m):
        others = [place for place in range(m + n) if place not in chosen]
        counts[sum(other < place for place in chosen for other in others)] += 1
    np.testing.assert_allclose(rank_sum_tail(m, n), np.cumsum(counts) / comb(m + n, m), atol=1e-12)


@given(logs, logs, st.floats(-0.3, 0.3), st.sampled_from(STATISTICS))
def test_a_known_shift_moves_estimate_and_interval(
    first: list[float], second: list[float], by: float, statistic: Statistic
) -> None:
    plain = shift(first, second, statistic)
    moved = shift(first, [value + by for value in second], statistic)
    assert plain.value is not None and moved.value is not None
    assert moved.value == pytest.approx(plain.value * math.exp(by))
    if plain.interval:
        np.testing.assert_allclose(moved.interval, np.multiply(plain.interval, math.exp(by)))


@given(logs, logs, st.sampled_from(STATISTICS))
def test_the_other_way_round_is_the_inverse(
    first: list[float], second: list[float], statistic: Statistic
) -> None:
    there, back = shift(first, second, statistic), shift(second, first, statistic)
    assert there.value is not None and back.value is not None
    assert there.value * back.value == pytest.approx(1)
    if there.interval and back.interval:
        assert there.interval[0] * back.interval[1] == pytest.approx(1)
    both = [p_beyond(*pair, statistic, 0.01) for pair in ((first, second), (second, first))]
    assert both[0] == pytest.approx(both[1])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_intervals_cover_as_often_as_they_say(statistic: Statistic) -> None:
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(600):
        first, second = rng.normal(0, 0.02, 7), rng.normal(0.05, 0.03, 8)
        low, high = shift(list(first), list(second), statistic).interval or (0, 0)
        held += low <= math.exp(0.05) <= high
    assert 0.93 < held / 600 < 0.98


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_difference_within_the_margin_is_rarely_claimed(statistic: Statistic) -> None:
    rng = np.random.default_rng(12)
    claimed = sum(
        p_beyond(list(rng.normal(0, 0.01, 8)), list(rng.normal(0.01, 0.01, 8)), statistic, 0.01)
        <= 0.05
        for _ in range(400)
    )
    assert claimed / 400 < 0.05


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_large_difference_is_claimed(statistic: Statistic) -> None:
    rng = np.random.default_rng(13)
    first, second = list(rng.normal(0, 0.01, 8)), list(rng.normal(0.05, 0.01, 8))
    assert p_beyond(first, second, statistic, 0.01) < 0.001


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([], [0.1], "no launch of one of the runs has both"),
        ([0.1], [0.1, 0.2], "1 launch; an interval needs 2 of each run"),
    ],
)
def test_too_few_launches_have_a_reason(
    first: list[float], second: list[float], reason: str
) -> None:
    found = shift(first, second, "t")
    assert (found.interval, found.reason) == (None, reason)
    assert p_beyond(first, second, "t", 0.01) == 1.0


def test_three_launches_a_side_are_too_few_for_ranks() -> None:
    found = shift([0.0, 0.1, 0.2], [0.3, 0.4, 0.5], "signed-rank")
    assert found.value == pytest.approx(math.exp(0.3))
    assert found.reason == "3 and 3 launches are too few for this interval"


@settings(max_examples=20)
@given(st.integers(2, 8))
def test_launches_that_never_vary_prove_what_they_show(count: int) -> None:
    assert p_beyond([0.0] * count, [0.05] * count, "t", 0.01) == 0.0
    assert p_beyond([0.0] * count, [0.005] * count, "t", 0.01) == 1.0
