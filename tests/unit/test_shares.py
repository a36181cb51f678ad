"""Shares and their differences: against scipy, published examples and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.estimate import Estimate
from reports.shares import (
    credible_interval,
    exact_interval,
    fewest_unseen,
    mean_of,
    paired_difference,
    paired_intervals,
    score_interval,
    score_share,
    unseen,
    widened,
)

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_intervals_of_a_share_are_those_of_scipy(counts: tuple[int, int]) -> None:
    right, total = counts
    exact = stats.binomtest(right, total).proportion_ci(0.95, "exact")
    assert np.array(exact_interval(right, total)) == pytest.approx((exact.low, exact.high))
    wilson = stats.binomtest(right, total).proportion_ci(0.95, "wilson")
    assert np.array(score_interval(right, total)) == pytest.approx((wilson.low, wilson.high))
    low, high = credible_interval(right, total)
    prior = stats.beta(right + 0.5, total - right + 0.5)
    assert float(low) == pytest.approx(prior.ppf(0.025) if right else 0)
    assert float(high) == pytest.approx(prior.ppf(0.975) if right < total else 1)


def test_wilson_is_the_textbook_one() -> None:
    found = score_share(8, 10)
    assert found.interval == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert score_share(0, 0).value is None


def test_many_pairs_at_once_are_as_one_by_one() -> None:
    lost, gained, total = [0, 3, 40, 1], [0, 9, 2, 7], [100, 250, 300, 21]
    low, high = paired_intervals(lost, gained, total)
    for at, counts in enumerate(zip(lost, gained, total, strict=True)):
        assert paired_difference(*counts).interval == pytest.approx((low[at], high[at]))
    # Published: see test_stats_accuracy.
    assert (low[3], high[3]) == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(st.integers(1, 100_000), st.floats(0.0005, 0.9))
def test_what_samples_cannot_have_seen(samples: int, change: float) -> None:
    nothing = paired_difference(0, 0, samples).interval
    assert nothing == pytest.approx((-unseen(samples), unseen(samples)), abs=1e-9)
    needed = fewest_unseen(change)
    assert unseen(needed) <= change + 1e-9
    assert needed == 1 or unseen(needed - 1) > change


def test_a_mean_has_students_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, 40)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert mean_of(values).interval == pytest.approx((expected.low, expected.high))
    alone = mean_of(values[:1])
    assert alone.value == values[0] and alone.interval is None and "needs 2" in str(alone.reason)
    assert mean_of(values[:0]).reason == "no samples"


def test_an_interval_is_widened_within_its_bounds() -> None:
    narrow = Estimate(0.99, (0.985, 0.992))
    assert widened(narrow, 0.02, 0.0, 1.0).interval == (0.97, 1.0)
    assert widened(narrow, 0.001, 0.0, 1.0).interval == (0.985, 0.992)
    missing = Estimate.missing("why")
    assert widened(missing, 0.1, 0.0, 1.0) is missing
