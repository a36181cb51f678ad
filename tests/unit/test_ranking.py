"""The area under the ROC curve: against counting pairs, and what its intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_builder import probabilities, scored
from hypothesis import given
from hypothesis import strategies as st
from run_builder import cell, event

from reports.answers import Answers, answers
from reports.ranking import accuracy_area, area, area_drop
from reports.shares import unseen

DENSE = cell("dense")
SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=25)


@given(SCORES, SCORES)
def test_the_area_counts_pairs_and_ties_by_half(higher: list[int], lower: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in higher for b in lower]
    found = area(np.array(higher, float), np.array(lower, float))
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.interval is not None and found.value is not None
    assert 0 <= found.interval[0] <= found.value + 1e-9
    assert found.value - 1e-9 <= found.interval[1] <= 1
    assert found.interval[1] - found.interval[0] > 0.01


def two(labels: list[int], rng: np.random.Generator, margin: float) -> Answers:
    chances = probabilities(labels, rng, margin=margin, classes=2)
    top = np.argsort(-chances, axis=1).tolist()
    return answers(event(DENSE, top, sets=[scored(chances, labels)]), labels)


def test_intervals_cover() -> None:
    """Normal scores: the true area is Phi(shift / sqrt 2)."""
    rng, held, trials = np.random.default_rng(5), 0, 400
    for _ in range(trials):
        found = area(rng.normal(1.5, 1, 30), rng.normal(0, 1, 60)).interval or (1, 1)
        held += found[0] <= 0.855578 <= found[1]
    assert held / trials >= 0.93


def test_a_drop_is_paired_and_covers() -> None:
    labels, rng, held, trials = [at % 2 for at in range(200)], np.random.default_rng(6), 0, 200
    narrower = 0
    for _ in range(trials):
        seed = int(rng.integers(1 << 30))
        base = two(labels, np.random.default_rng(seed), 1.5)
        same_noise = two(labels, np.random.default_rng(seed), 1.2)
        other_noise = two(labels, rng, 1.5)
        low, high = area_drop(other_noise, base).interval or (1, 1)
        held += low <= 0 <= high
        paired = area_drop(same_noise, base).interval or (1, 1)
        narrower += paired[1] - paired[0] < high - low
    assert narrower / trials >= 0.9
    assert held / trials >= 0.93


def test_no_change_still_has_a_width() -> None:
    labels = [0] * 150 + [1] * 50
    found = two(labels, np.random.default_rng(1), 2.0)
    width = unseen(50)
    assert area_drop(found, found).interval == pytest.approx((-width, width))
    assert area_drop(found, found).value == 0


def test_what_has_no_area_says_why() -> None:
    labels = [at % 3 for at in range(30)]
    three = probabilities(labels, np.random.default_rng(0), classes=3)
    found = answers(event(DENSE, [[0]] * 30, sets=[scored(three, labels)]), labels)
    assert accuracy_area(found).reason == "not a model of two classes"
    alone = two([1] * 20, np.random.default_rng(0), 1.0)
    assert accuracy_area(alone).reason == "the labels are not of the two classes 0 and 1"
    chances = probabilities([0, 1] * 10, np.random.default_rng(0), classes=2)
    chances[3] = np.nan
    odd = answers(event(DENSE, [[0]] * 20, sets=[scored(chances, [0, 1] * 10)]), [0, 1] * 10)
    assert accuracy_area(odd).reason == "1 samples gave NaN or infinite scores"
    assert area_drop(odd, odd).value is None
