"""Variance components against data whose components are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import variance
from reports.variance import LEVELS, Variance, split
from tests.unit import traces

UNBALANCED = [[3, 9, 10, 2, 9], [9] * 12, [9, 9], [5, 4, 9, 9, 9, 9, 1], [9] * 8] * 16
COMPONENTS = st.floats(0.0, 0.2)


def _found(launches: object) -> Variance:
    found = split(launches)  # type: ignore[arg-type]
    assert isinstance(found, Variance)
    return found


@pytest.mark.parametrize("counts", [[[9] * 10] * 60, UNBALANCED], ids=["balanced", "unbalanced"])
@pytest.mark.parametrize("truth", [(0.05, 0.02, 0.04), (0.02, 0.05, 0.03), (0.03, 0.01, 0.1)])
def test_known_components_are_found(
    counts: list[list[int]], truth: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(1)
    runs = [_found(traces.nested(rng, counts, *truth)) for _ in range(15)]
    for level, deviation in zip(LEVELS, truth, strict=True):
        mean = np.mean([getattr(run, level) for run in runs])
        assert mean == pytest.approx(deviation**2, rel=0.15, abs=2e-5)


def test_a_balanced_design_gives_the_textbook_estimates() -> None:
    """2 launches x 2 blocks x 2 samples, by hand."""
    logs = [[[0.0, 2.0], [4.0, 6.0]], [[10.0, 12.0], [10.0, 12.0]]]
    found = _found([[np.exp(block) for block in launch] for launch in logs])
    assert found.within_block == pytest.approx(2.0)  # 8 / 4
    assert found.between_blocks == pytest.approx((8.0 - 2.0) / 2)  # 16 / 2
    assert found.between_launches == pytest.approx((128.0 - 8.0) / 4)
    assert found.truncated == ()


def test_the_expected_mean_squares_are_exact_for_unequal_numbers() -> None:
    """E[SS] of y = sum of random columns is the sum of SS of the columns; solving it gives back."""
    sizes = [[3, 1, 4], [2, 5], [6]]
    counts = [np.asarray(row) for row in sizes]
    places = [(i, j, k) for i, row in enumerate(sizes) for j, n in enumerate(row) for k in range(n)]
    truth = (0.5, 0.3, 0.2)
    expected = np.zeros(3)
    for part, depth in zip(truth, (3, 2, 1), strict=True):
        for level in {place[:depth] for place in places}:
            column = [
                [
                    np.asarray([float((i, j, k)[:depth] == level) for k in range(n)])
                    for j, n in enumerate(row)
                ]
                for i, row in enumerate(sizes)
            ]
            expected += part * np.asarray(variance._sums_of_squares(column, counts))
    samples, blocks, launches = 21, 6, 3
    means = expected / [samples - blocks, blocks - launches, launches - 1]
    assert variance._components(*means, counts) == pytest.approx(truth)


@settings(max_examples=60)
@given(COMPONENTS, COMPONENTS, COMPONENTS, st.integers(0, 10**6))
def test_shares_add_to_one_and_none_is_negative(
    sample: float, block: float, launch: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = _found(traces.nested(rng, [[3, 4], [5, 2, 2], [4, 4]], sample, block, launch))
    assert all(getattr(found, level) == 0 for level in found.truncated)
    if found.shares is not None:
        assert sum(found.shares.values()) == pytest.approx(1)
        assert min(found.shares.values()) >= 0


@given(st.integers(0, 10**6), st.floats(0.1, 1e6))
def test_the_unit_of_time_does_not_matter(seed: int, factor: float) -> None:
    launches = traces.nested(np.random.default_rng(seed), [[5, 5], [5, 3]], 0.1, 0.1, 0.1)
    scaled = [[block * factor for block in launch] for launch in launches]
    ours, theirs = _found(launches), _found(scaled)
    for level in LEVELS:
        assert getattr(ours, level) == pytest.approx(getattr(theirs, level), rel=1e-6, abs=1e-9)


def test_a_negative_component_is_zero_and_said() -> None:
    """Blocks that alternate more than their samples allow: launches seem too much alike."""
    launches = [[np.asarray([1.0, 1.1]), np.asarray([2.0, 2.1])]] * 3
    found = _found(launches)
    assert found.truncated == ("between_launches",)
    assert found.between_launches == 0 and found.between_blocks > 0


def test_nothing_varies_so_there_are_no_shares() -> None:
    found = _found([[np.ones(3), np.ones(3)]] * 2)
    assert found.total == 0 and found.shares is None


@pytest.mark.parametrize("counts", [[], [[9, 9]], [[9], [9]], [[1, 1], [1, 1]], [[], [9, 9]]])
def test_too_little_is_said(counts: list[list[int]]) -> None:
    rng = np.random.default_rng(2)
    assert str(split(traces.nested(rng, counts, 0.1, 0.1, 0.1))).startswith("needs 2 launches")
