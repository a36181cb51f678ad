"""The formulas: sample minima, quantiles, intervals and their coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import stats

LOGS = st.lists(st.floats(-2, 2), min_size=2, max_size=30)
TIMES = st.lists(st.integers(1, 10**9), min_size=1, max_size=60)


def test_the_smallest_samples_are_the_order_statistic_bounds() -> None:
    assert stats.SMALLEST_SAMPLE == {"p50": 6, "p95": 72, "p99": 368}
    assert stats.SMALLEST_LAUNCH == {"p50": 2, "p95": 20, "p99": 100}
    for name, count in stats.SMALLEST_SAMPLE.items():
        q = stats.QUANTILES[name]
        assert 1 - q**count >= 0.975 > 1 - q ** (count - 1)


def test_the_first_sample_of_each_block_is_dropped_and_ns_become_ms() -> None:
    assert stats.kept_samples([[9_000_000, 1_000_000, 2_000_000], [7_000_000], []]).tolist() == [
        1.0,
        2.0,
    ]


@pytest.mark.parametrize(("name", "count"), stats.SMALLEST_SAMPLE.items())
def test_a_quantile_with_too_few_samples_is_null_with_a_reason(name: str, count: int) -> None:
    enough = [np.ones(count)]
    too_few = [np.ones(count - 1)]
    assert stats.pooled_quantile(enough, name).value == 1.0
    missing = stats.pooled_quantile(too_few, name)
    assert missing.value is None
    assert missing.reason == f"{count - 1} samples; {name} needs {count}"


@given(TIMES)
def test_quantiles_rise_with_their_level_and_stay_within_the_samples(times: list[int]) -> None:
    samples = np.asarray(times, dtype=np.float64)
    found = [stats.quantile(samples, name) for name in ("p50", "p95", "p99")]
    assert found == pytest.approx([np.quantile(samples, q) for q in (0.50, 0.95, 0.99)])
    assert found == sorted(found)
    assert samples.min() <= found[0] and found[-1] <= samples.max()


@given(st.lists(TIMES, min_size=2, max_size=8))
def test_an_absolute_interval_contains_its_value(launches: list[list[int]]) -> None:
    samples = [np.asarray(launch, dtype=np.float64) for launch in launches]
    mean = stats.pooled_mean(samples)
    assert mean.value is not None and mean.interval is not None
    assert mean.interval[0] <= mean.value <= mean.interval[1]


def test_one_launch_has_no_interval() -> None:
    alone = stats.pooled_quantile([np.linspace(1, 2, 100)], "p95")
    assert alone.value is not None and alone.interval is None
    assert alone.reason == "1 usable launch; an interval needs 2"


def test_the_t_interval_is_the_textbook_one() -> None:
    logs = [0.1, 0.2, 0.3]
    found = stats.t_ratio(logs)
    half = 4.302652729696 * 0.1 / math.sqrt(3)
    assert found.value == pytest.approx(math.exp(0.2))
    assert found.interval == pytest.approx((math.exp(0.2 - half), math.exp(0.2 + half)))


@pytest.mark.parametrize("estimator", [stats.t_ratio, stats.signed_rank_ratio])
@given(LOGS)
def test_a_ratio_lies_in_its_interval_and_turns_over_with_its_sides(
    estimator: type, logs: list[float]
) -> None:
    forth, back = estimator(logs), estimator([-value for value in logs])
    assert forth.value == pytest.approx(1 / back.value)
    assert (forth.interval is None) == (back.interval is None)
    if forth.interval and back.interval:
        low, high = forth.interval
        assert low <= forth.value * (1 + 1e-12) and forth.value <= high * (1 + 1e-12)
        assert (low, high) == pytest.approx((1 / back.interval[1], 1 / back.interval[0]))


def _brute_depth(launches: int) -> int:
    """c by listing all sign patterns."""
    sums = sorted(
        sum(rank for rank, sign in enumerate(signs, 1) if sign)
        for signs in itertools.product([0, 1], repeat=launches)
    )
    below = lambda c: sum(value < c for value in sums) / len(sums)  # noqa: E731
    return max(c for c in range(len(sums)) if below(c) <= 0.025)


@pytest.mark.parametrize("launches", range(1, 12))
def test_the_signed_rank_depth_is_exact(launches: int) -> None:
    assert stats.signed_rank_depth(launches) == _brute_depth(launches)


def test_signed_ranks_need_six_launches_for_95_percent() -> None:
    assert stats.fewest_for_signed_rank() == 6
    assert stats.fewest_for_signed_rank(0.99) == 8
    five = stats.signed_rank_ratio([0.1] * 5)
    assert five.interval is None and five.reason == "5 launches; this interval needs 6"
    six = stats.signed_rank_ratio([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert six.interval == pytest.approx((math.exp(0.1), math.exp(0.6)))


def test_no_launches_no_ratio() -> None:
    assert stats.t_ratio([]).value is None
    assert stats.signed_rank_ratio([]).value is None
    assert stats.t_ratio([0.5]).interval is None


def test_zero_times_have_no_log() -> None:
    zeros = np.zeros(30)
    assert stats.log_ratio(zeros, np.ones(30), "p50") is None
    assert stats.log_t_estimate(0.0, [0.0, 0.0]).interval is None


def _coverage(estimator: object, launches: int, trials: int, seed: int) -> float:
    """How often the interval holds the truth: launches share drift, samples depend on it."""
    rng = np.random.default_rng(seed)
    truth, held = 0.05, 0
    for _ in range(trials):
        logs = truth + 0.015 * rng.standard_normal(launches)
        low, high = estimator(logs.tolist()).interval  # type: ignore[operator]
        held += low <= math.exp(truth) <= high
    return held / trials


@pytest.mark.parametrize("launches", [3, 8])
def test_the_t_interval_covers_what_it_says(launches: int) -> None:
    assert 0.93 <= _coverage(stats.t_ratio, launches, 1500, 5) <= 0.97


def test_the_signed_rank_interval_covers_at_least_what_it_says() -> None:
    assert _coverage(stats.signed_rank_ratio, 8, 1500, 6) >= 0.94


def test_ratios_of_drifting_launches_cover_though_samples_depend() -> None:
    """From samples to interval: drift shared by both sides cancels, launch by launch."""
    rng = np.random.default_rng(11)
    truth, held, trials = 0.9, 0, 300
    for _ in range(trials):
        logs = []
        for _ in range(6):
            drift = np.exp(0.1 * rng.standard_normal())
            own = np.exp(0.01 * rng.standard_normal(2))
            noise = np.exp(0.03 * rng.standard_normal((2, 60)))
            ratio = stats.log_ratio(
                truth * drift * own[0] * noise[0], drift * own[1] * noise[1], "p50"
            )
            logs.append(ratio)
        low, high = stats.t_ratio([value for value in logs if value is not None]).interval or (0, 0)
        held += low <= truth <= high
    assert held / trials >= 0.92
