"""Accuracy and the paired drop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import answers as top_of
from run_builder import cell, event

from reports.accuracy import accuracy, drop
from reports.answers import answers
from reports.shares import paired_difference

LABELS = [i % 12 for i in range(120)]
DENSE = cell("dense")


def test_accuracy_counts_the_best_class_and_the_best_five() -> None:
    found = answers(event(DENSE, top_of(LABELS, 0.75)), LABELS)
    assert accuracy(found, "top1").value == 0.75
    top5 = [[(label + step) % 12 for step in (1, 2, 3, 4, 0)] for label in LABELS]
    found = answers(event(DENSE, top5), LABELS)
    assert accuracy(found, "top1").value == 0.0
    assert accuracy(found, "top5").value == 1.0
    assert found.samples == 120


def test_top5_says_nothing_with_five_classes() -> None:
    labels = [0, 1, 2, 3, 4]
    top = [[0, 1, 2, 3, 4]] * 5
    missing = accuracy(answers(event(DENSE, top), labels), "top5")
    assert missing.value is None and "5 classes" in str(missing.reason)
    few = accuracy(answers(event(DENSE, [[0, 1]] * 5), [0, 1, 0, 1, 0]), "top5")
    assert few.value is None and "2 classes" in str(few.reason)


@pytest.mark.parametrize(
    ("changes", "labels", "reason"),
    [
        ({}, None, "no labelled dataset"),
        ({"status": "failed", "reason": "boom", "top": None}, LABELS, "failed: boom"),
        ({"top": [[1]]}, LABELS, "1 answers for 120 labels"),
    ],
)
def test_unknown_accuracy_has_a_reason(changes: dict, labels: list[int], reason: str) -> None:
    found = answers(event(DENSE, top_of(LABELS, 1.0)) | changes, labels)  # type: ignore[operator]
    for name in ("top1", "top5"):
        missing = accuracy(found, name)
        assert missing.value is None and reason in str(missing.reason)


def test_an_evaluation_that_never_came_has_a_reason() -> None:
    assert "did not come back" in str(accuracy(answers(None, LABELS), "top1").reason)


def test_the_drop_is_the_baseline_minus_the_candidate() -> None:
    dense = answers(event(DENSE, top_of(LABELS, 1.0)), LABELS)
    worse = answers(event(DENSE, top_of(LABELS, 0.75)), LABELS)
    assert drop(worse, dense, "top1").value == 0.25
    assert drop(dense, worse, "top1").value == -0.25


def test_tangos_interval_is_the_published_one() -> None:
    """Airway hyper-responsiveness before and after a transplant, 21 children (Bentur et al. 2009).

    The example of Fagerland, Lydersen and Laake, Statistics in Medicine 33, 2014.
    """
    found = paired_difference(lost=1, gained=7, total=21)
    assert found.interval == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400))
def test_a_drop_lies_in_its_interval_and_turns_over(lost: int, gained: int, same: int) -> None:
    total = lost + gained + same
    forth, back = paired_difference(lost, gained, total), paired_difference(gained, lost, total)
    if total == 0:
        assert forth.value is None
        return
    assert forth.value is not None and forth.interval is not None and back.interval is not None
    assert -1 <= forth.interval[0] <= forth.value <= forth.interval[1] <= 1
    assert forth.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-9)
    assert forth.interval[0] < forth.interval[1]


def test_no_change_at_all_still_has_a_width() -> None:
    found = paired_difference(0, 0, 100)
    width = 1.959964**2 / (100 + 1.959964**2)
    assert found.interval == pytest.approx((-width, width), abs=1e-6)


def test_the_paired_interval_covers() -> None:
    rng, held, trials = np.random.default_rng(3), 0, 400
    for _ in range(trials):
        lost, gained, _ = rng.multinomial(200, [0.06, 0.02, 0.92])
        low, high = paired_difference(int(lost), int(gained), 200).interval or (1, 1)
        held += low <= 0.04 <= high
    assert held / trials >= 0.93
