"""In which pattern zeros lie: every pattern that pruning makes is found, and none by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.formats import Axes
from harness.variants.zero_pattern import BOTH, COLUMNS, NONE, ROWS, UNSTRUCTURED, pattern

QUICK = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def unstructured(seed: int, share: float, shape: tuple[int, int, int] = (32, 3, 32)) -> Any:
    return np.random.default_rng(seed).random(shape) < share


@QUICK
@given(seeds, st.floats(0.05, 0.99))
def test_chance_makes_no_pattern(seed: int, share: float) -> None:
    assert pattern(unstructured(seed, share)) == UNSTRUCTURED


@QUICK
@given(seeds, st.floats(0.05, 0.95), st.integers(1, 8), st.integers(1, 6))
def test_chance_makes_no_pattern_in_a_small_layer(
    seed: int, share: float, outputs: int, inputs: int
) -> None:
    """A handful of weights cannot prove n:m or blocks; whole outputs need more than luck."""
    zero = unstructured(seed, share, (outputs, 1, inputs))
    found = pattern(zero)
    assert found in (NONE, UNSTRUCTURED) or zero.all()


@QUICK
@given(seeds, st.sampled_from([(2, 4), (1, 4), (4, 8), (1, 2), (3, 4)]), st.floats(0, 0.05))
def test_n_of_m(seed: int, n_of_m: tuple[int, int], rounded: float) -> None:
    """Whatever rounding to INT8 sets to zero beside."""
    n, m = n_of_m
    rng = np.random.default_rng(seed)
    ranks = rng.random((32, 3, 32 // m, m)).argsort(axis=-1)
    zero = (ranks >= n).reshape(32, 3, 32) | (rng.random((32, 3, 32)) < rounded)
    expected = {f"{n}:{m}"} | ({"2:4"} if (n, m) == (1, 2) else set())
    found = pattern(zero)
    assert found in expected


@QUICK
@given(
    seeds,
    st.sampled_from([(1, 4), (4, 1), (4, 4), (8, 2), (2, 1), (16, 16)]),
    st.floats(0.3, 0.9),
    st.floats(0, 0.02),
)
def test_blocks(seed: int, block: tuple[int, int], share: float, rounded: float) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = block
    blocks = rng.random((64 // rows, 1, 64 // columns)) < share
    zero = np.repeat(np.repeat(blocks, rows, axis=0), columns, axis=2)
    zero = zero | (rng.random(zero.shape) < rounded * (1 - share))
    if blocks.size >= 64 and 0.2 < blocks.mean() < 0.95:
        assert pattern(zero) == f"{rows}x{columns}"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_whole_outputs_and_inputs(share: float) -> None:
    rows = np.zeros((64, 9, 64), bool)
    rows[: int(share * 64)] = True
    assert pattern(rows) == ROWS
    columns = rows.transpose(2, 1, 0)
    assert pattern(columns) == COLUMNS
    assert pattern(rows | columns) == BOTH


def test_the_ends() -> None:
    assert pattern(np.zeros((4, 1, 4), bool)) == NONE
    assert pattern(np.ones((4, 1, 4), bool)) == ROWS
    assert pattern(np.zeros((0, 1, 4), bool)) == NONE
    few = np.zeros((100, 1, 100), bool)
    few[3, 0, :99] = True
    assert pattern(few) == NONE


def test_a_matrix_of_a_weight_keeps_inputs_side_by_side() -> None:
    weight = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # outputs, inputs, height, width
    matrix = Axes((0,), (1,)).matrix(weight)
    assert matrix.shape == (2, 20, 3)
    assert (matrix[1, 7] == weight[1, :, 1, 2]).all()
