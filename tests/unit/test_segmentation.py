"""Mean intersection over union: by hand and under resampling."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_builder import segmenters

from reports.answers import answers
from reports.document import build
from reports.resampling import drop, share, weights
from reports.segmentation import counts, mean_overlap, point, segmented
from reports.shares import unseen


def test_pixels_are_summed_over_the_samples_before_they_are_divided() -> None:
    pixels = [[[0, 90, 5, 5], [1, 0, 0, 10]], [[0, 10, 0, 10], [1, 30, 10, 0]]]
    assert point(pixels) == pytest.approx((100 / 120 + 30 / 50) / 2)


def test_a_class_that_is_only_claimed_is_no_class_of_the_truth() -> None:
    assert point([[[0, 80, 0, 20], [7, 0, 20, 0]]]) == pytest.approx(0.8)
    assert point([[[7, 0, 20, 0]]]) is None
    assert point([[]]) is None


def test_a_resample_repeats_samples() -> None:
    made = segmenters(samples=30)
    pixels = made.events[0].event["sets"][0]["pixels"] or []
    found = segmented(answers(made.events[0].event, None))
    assert not isinstance(found, str)
    drawn = next(weights(30))
    repeated = [pixels[at] for at in np.repeat(np.arange(30), drawn[3].astype(int))]
    assert found.again[3] == pytest.approx(point(repeated))
    assert mean_overlap(*counts(pixels), np.ones((1, 30)))[0] == pytest.approx(found.value)


def test_the_drop_is_paired() -> None:
    dense, small = (
        segmented(answers(record.event, None)) for record in segmenters(samples=80).events
    )
    assert not isinstance(dense, str) and not isinstance(small, str)
    lost = drop(small, dense)
    assert lost.value == pytest.approx(dense.value - small.value)
    assert lost.interval is not None and share(small).interval is not None
    assert 0 < lost.interval[0] < dense.value - small.value < lost.interval[1]
    same = drop(dense, dense)
    assert same.interval == pytest.approx((-unseen(80), unseen(80)))


def test_a_row_has_it_and_says_why_there_is_no_top1() -> None:
    row = build(segmenters(samples=30).build())["results"][1]
    assert row["accuracy"]["miou"] is not None and row["accuracy"]["samples"] == 30
    assert row["reasons"]["accuracy.top1"] == "the study has no labelled dataset"
    assert row["reasons"]["accuracy.map50"] == "the study has no dataset with boxes"
