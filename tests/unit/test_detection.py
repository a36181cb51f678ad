"""Mean average precision: by hand, against a plain implementation, and under resampling."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_builder import boxes, detectors, true_boxes
from hypothesis import given
from hypothesis import strategies as st

from reports.answers import Answers, Truths, answers
from reports.detection import (
    curves,
    detected,
    mean_precision,
    point,
)
from reports.resampling import drop, share, weights
from reports.shares import unseen

TRUTH = [0.0, 10.0, 10.0, 30.0, 30.0]
HIT = [0.0, 0.9, 10.0, 10.0, 30.0, 30.0]


def overlap(a: list[float], b: list[float]) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return wide * high / (sum(areas) - wide * high) if wide * high else 0.0


def plain_precision(told: Truths, truths: Truths, cls: float) -> float:
    """Average precision of one class, box by box as the definition says."""
    found = sorted(
        (
            (box[1], at, list(box[2:]))
            for at, own in enumerate(told)
            for box in own
            if box[0] == cls
        ),
        key=lambda item: -item[0],
    )
    free = {at: [list(b[1:]) for b in own if b[0] == cls] for at, own in enumerate(truths)}
    total, right, points = sum(map(len, free.values())), 0, []
    for rank, (_, at, box) in enumerate(found, 1):
        near = max(free[at], key=lambda truth: overlap(box, truth), default=None)
        if near is not None and overlap(box, near) >= 0.5:
            free[at].remove(near)
            right += 1
        points.append((right / total, right / rank))
    area, before = 0.0, 0.0
    for at, (recall, _) in enumerate(points):
        area += (recall - before) * max(share for _, share in points[at:])
        before = recall
    return area


def plain_mean(told: Truths, truths: Truths) -> float:
    classes = {box[0] for sample in truths for box in sample}
    return float(np.mean([plain_precision(told, truths, cls) for cls in classes]))


@pytest.mark.parametrize(
    ("told", "truths", "expected"),
    [
        ([[HIT]], [[TRUTH]], 1.0),
        ([[]], [[TRUTH]], 0.0),
        # A better false box first: precision 1/2 at the only recall.
        ([[[0.0, 0.95, 60, 60, 80, 80], HIT]], [[TRUTH]], 0.5),
        # A second box on the same truth is false, but comes after all is found.
        ([[HIT, [0.0, 0.5, 10, 10, 30, 30]]], [[TRUTH]], 1.0),
        # Another class, or too little overlap (1/3), does not count.
        ([[[1.0, 0.9, 10, 10, 30, 30]]], [[TRUTH]], 0.0),
        ([[[0.0, 0.9, 20, 10, 40, 30]]], [[TRUTH]], 0.0),
        # The box of another sample is no match.
        ([[], [HIT]], [[TRUTH], []], 0.0),
        # Two classes, one found.
        ([[HIT]], [[TRUTH, [1.0, 50, 50, 60, 60]]], 0.5),
        # Right, false, right: (1/2) 1 + (1/2) (2/3).
        (
            [[HIT, [0.0, 0.8, 60, 60, 70, 70], [0.0, 0.7, 40, 40, 50, 50]]],
            [[TRUTH, [0.0, 40, 40, 50, 50]]],
            5 / 6,
        ),
    ],
)
def test_by_hand(told: Truths, truths: Truths, expected: float) -> None:
    assert point(told, truths) == pytest.approx(expected)


@given(st.integers(0, 1 << 30), st.integers(1, 12), st.floats(0, 1), st.floats(0, 6))
def test_it_is_what_the_definition_says(seed: int, samples: int, share: float, near: float) -> None:
    rng = np.random.default_rng(seed)
    truths = true_boxes(samples, rng)
    told = boxes(truths, rng, found=share, near=near)
    assert point(told, truths) == pytest.approx(plain_mean(told, truths))


@given(st.integers(0, 1 << 30))
def test_a_resample_is_the_same_as_a_dataset_with_repeated_samples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = true_boxes(8, rng)
    told = boxes(truths, rng, found=0.7, near=3)
    counts = rng.multinomial(8, np.full(8, 1 / 8))
    at = np.repeat(np.arange(8), counts)
    again = mean_precision(curves(told, truths), counts[None, :].astype(float))[0]
    assert again == pytest.approx(plain_mean([told[i] for i in at], [truths[i] for i in at]))


def of(told: Truths, truths: Truths) -> Answers:
    made = detectors(samples=2)
    event = made.events[0].event
    clean = {**event["sets"][0], "boxes": told, "samples": len(told)}
    return answers({**event, "sets": [clean]}, None, truths)  # type: ignore[typeddict-item, list-item]


def test_the_interval_is_of_the_resamples_and_paired() -> None:
    rng = np.random.default_rng(8)
    truths = true_boxes(60, rng)
    good, bad = (boxes(truths, np.random.default_rng(1), found=f, near=1) for f in (0.9, 0.6))
    ours, theirs = detected(of(bad, truths)), detected(of(good, truths))
    assert not isinstance(ours, str) and not isinstance(theirs, str)
    lost = drop(ours, theirs)
    assert lost.value == pytest.approx(plain_mean(good, truths) - plain_mean(bad, truths))
    first = next(weights(60))[0].astype(int)
    at = np.repeat(np.arange(60), first)
    repeated = plain_mean([bad[i] for i in at], [truths[i] for i in at])
    assert ours.again[0] == pytest.approx(repeated)
    expected = np.quantile(theirs.again - ours.again, [0.025, 0.975])
    assert lost.interval == pytest.approx(tuple(expected))
    assert lost.interval[0] > 0
    assert share(ours).interval == pytest.approx(tuple(np.quantile(ours.again, [0.025, 0.975])))


def test_unchanged_boxes_still_leave_room() -> None:
    truths = true_boxes(60, np.random.default_rng(8))
    whole = detected(of([[[b[0], 0.9, *b[1:]] for b in own] for own in truths], truths))
    assert share(whole).value == 1
    assert share(whole).interval == pytest.approx((1 - unseen(60), 1))
    assert drop(whole, whole).interval == pytest.approx((-unseen(60), unseen(60)))


def test_no_boxes_have_a_reason() -> None:
    assert detected(answers(None, None)) == "the study has no dataset with boxes"
    assert detected(answers(None, None, [[TRUTH]])) == "its evaluation did not come back"
    assert detected(of([[], []], [[TRUTH]])) == "2 answers for 1 samples with boxes"
    assert detected(of([[]], [[]])) == "the dataset holds no box at all"
    missing = drop("gone", "gone too")
    assert missing.reason == "gone"
