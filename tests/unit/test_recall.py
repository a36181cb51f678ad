"""Recall by class: the worst of many, and what chance alone would show."""

from __future__ import annotations

import numpy as np
import pytest
from run_builder import cell, event

from reports.answers import Answers, answers
from reports.recall import FEWEST_SAMPLES, Extreme, per_class, worst, worst_loss
from reports.shares import exact_interval

DENSE = cell("dense")


def answered(labels: list[int], best: list[int]) -> Answers:
    """Answers whose best class is given, and a class that nobody has in second place."""
    return answers(event(DENSE, [[cls, 99] for cls in best]), labels)


def test_the_class_with_the_lowest_recall_is_named() -> None:
    labels = [0] * 10 + [1] * 10 + [2] * 4
    best = [0] * 9 + [1] + [1] * 6 + [0] * 4 + [9] * 4
    found = worst(answered(labels, best))
    assert isinstance(found, Extreme)
    assert (found.cls, found.value, found.samples) == (1, 0.6, 10)
    low, high = exact_interval([9, 6], [10, 10], 0.975)
    assert found.interval == pytest.approx((low.min(), high.min()))
    # Class 2 has no right answer, but fewer samples than are called out.
    assert [row["recall"] for row in per_class(answered(labels, best), None)] == [0.9, 0.6, 0.0]


def test_the_largest_loss_is_paired_by_class() -> None:
    labels = [0] * 20 + [1] * 20
    dense = answered(labels, [0] * 20 + [1] * 20)
    ours = answered(labels, [0] * 15 + [1] * 5 + [1] * 19 + [0])
    found = worst_loss(ours, dense)
    assert isinstance(found, Extreme)
    assert (found.cls, found.value, found.samples) == (0, 0.25, 20)
    assert found.interval[0] < 0.25 < found.interval[1]
    assert [row["loss"] for row in per_class(ours, dense)] == [0.25, 0.05]


def test_too_few_samples_of_every_class_is_a_reason() -> None:
    labels = [at // 2 for at in range(20)]
    found = answered(labels, labels)
    few = f"no class has {FEWEST_SAMPLES} samples; the most of one is 2"
    assert worst(found) == worst_loss(found, found) == few
    assert worst(answers(event(DENSE, None), None)) == "the study has no labelled dataset"


def test_chance_among_many_classes_does_not_call_one_out() -> None:
    """20 classes of recall 0.9 and no true loss: the chosen extreme must not be proven worse."""
    rng, trials, naive, ours_low, loss_high = np.random.default_rng(2), 200, 0, 0, 0
    labels = [at % 20 for at in range(600)]
    for _ in range(trials):
        both = []
        for _ in range(2):
            right = rng.random(600) < 0.9
            both.append(answered(labels, np.where(right, labels, 50).tolist()))
        lowest, loss = worst(both[0]), worst_loss(both[0], both[1])
        assert isinstance(lowest, Extreme) and isinstance(loss, Extreme)
        alone = exact_interval(round(lowest.value * lowest.samples), lowest.samples)
        naive += float(alone[1]) < 0.9
        ours_low += not lowest.interval[0] <= 0.9 <= lowest.interval[1]
        loss_high += not loss.interval[0] <= 0 <= loss.interval[1]
    assert ours_low <= 0.05 * trials and loss_high <= 0.05 * trials
    assert naive > 0.15 * trials  # what an interval that ignores the choice would have claimed
