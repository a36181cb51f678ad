"""Corruptions and samples from elsewhere: recomputed from the made answers, and what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation_builder import (
    CORRUPTIONS,
    SEVERITIES,
    add_classifier,
    detectors,
    probabilities,
    robust_study,
    scored,
    unscored,
)
from run_builder import RunBuilder, cell, event
from scipy import stats

from reports import render
from reports.answers import Answers, answers, unpacked
from reports.document import build
from reports.ranking import area
from reports.robustness import ASKED_NONE, Robustness, error_ratio, rights, robustness
from reports.shares import paired_difference, score_share, unseen
from reports.strangers import strangers

TRIED = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
LABELS = [at % 12 for at in range(300)]


def answered(margin: float, tried: Any = TRIED, seed: int = 5, **how: Any) -> Answers:
    made = RunBuilder(labels=LABELS)
    add_classifier(made, cell("dense"), margin=margin, tried=tried, seed=seed, **how)
    return answers(made.events[0].event, LABELS)


def right(found: Answers, at: int, samples: int = 300) -> np.ndarray:
    packed = (found.event or {})["sets"][at]["classes"]  # type: ignore[typeddict-item]
    array = unpacked(packed)
    assert array is not None
    found_right: np.ndarray = array[:, 0] == np.array(LABELS[:samples])
    return found_right


def made(ours: Answers, theirs: Answers | str = "this is the baseline") -> Robustness:
    found = robustness(ours, theirs)
    assert isinstance(found, Robustness)
    return found


def test_each_set_is_held_against_clean_and_against_the_baseline() -> None:
    ours, theirs = answered(3.4, samples=200), answered(4.0, samples=200)
    found = made(ours, theirs).rows
    assert [(row["corruption"], row["severity"]) for row in found] == TRIED
    clean = right(ours, 0)[:200]
    for at, row in enumerate(found, 1):
        mine, base = right(ours, at, 200), right(theirs, at, 200)
        hits = int(mine.sum())
        assert (row["samples"], row["top1"]) == (200, hits / 200)
        assert row["ci"] == pytest.approx(score_share(hits, 200).interval)
        beta = stats.beta(hits + 0.5, 200 - hits + 0.5)
        assert row["credible"] == pytest.approx([beta.ppf(0.025), beta.ppf(0.975)])
        for name, other in (("clean_drop", clean), ("top1_drop", base)):
            counts = int((other & ~mine).sum()), int((mine & ~other).sum())
            expected = paired_difference(*counts, 200)
            assert row[name] == pytest.approx(expected.value)
            assert row[f"{name}_ci"] == pytest.approx(expected.interval)


def test_means_are_over_severities_then_corruptions() -> None:
    ours, theirs = answered(3.4), answered(4.0)
    found = made(ours, theirs)
    mine = np.array([right(ours, at) for at in range(1, 31)]).reshape(6, 5, 300)
    base = np.array([right(theirs, at) for at in range(1, 31)]).reshape(6, 5, 300)
    values = {name: each.value for name, each in found.values.items()}
    assert values["top1"] == pytest.approx(mine.mean())
    assert values["clean_drop"] == pytest.approx(right(ours, 0).mean() - mine.mean())
    assert values["top1_drop"] == pytest.approx(base.mean() - mine.mean())
    ratios = (1 - mine).mean(axis=(1, 2)) / (1 - base).mean(axis=(1, 2))
    assert values["mce"] == pytest.approx(ratios.mean())
    assert found.sets == 30
    samples = mine.mean(axis=(0, 1))
    expected = stats.ttest_1samp(samples, 0).confidence_interval()
    assert found.values["top1"].interval == pytest.approx((expected.low, expected.high))


def test_a_mean_of_corruptions_with_fewer_severities_counts_each_corruption_alike() -> None:
    ours = answered(3.4, [("blur", 5), ("noise", 1), ("noise", 2)])
    hits = [right(ours, at).mean() for at in (1, 2, 3)]
    expected = (hits[0] + (hits[1] + hits[2]) / 2) / 2
    assert made(ours).values["top1"].value == pytest.approx(expected)


def test_the_mean_covers_though_sets_share_their_samples() -> None:
    """Ten sets of the same 200 samples: as if they were 2000, an interval would be too narrow."""
    rng, held, naive, trials = np.random.default_rng(3), 0, 0, 200
    labels = [0] * 200
    for _ in range(trials):
        ease = rng.uniform(0.4, 1, 200)
        sets = []
        for at in range(10):
            chances = np.where(rng.random(200) < ease, 0.9, 0.2)
            both = np.stack([chances, 1 - chances], axis=1)
            sets.append(scored(both, labels, f"c{at}", "corruption", 1))
        found = answers(event(cell("dense"), [[0]] * 200, sets=sets), labels)
        low, high = made(found).values["top1"].interval or (1, 1)
        held += low <= 0.7 <= high
        hits = sum(int(each.sum()) for each in rights(found).values())
        narrow = score_share(hits, 2000).interval or (1, 1)
        naive += narrow[0] <= 0.7 <= narrow[1]
    assert held / trials >= 0.92
    assert naive < held


def test_the_relative_error_covers() -> None:
    """True errors 0.3 and 0.2 under one corruption, 0.2 and 0.2 under another: mCE 1.25."""
    rng, held, trials = np.random.default_rng(9), 0, 300
    for _ in range(trials):
        rolls = rng.random((2, 400))
        mine = {("a", 1): rolls[0] > 0.3, ("b", 1): rolls[1] > 0.2}
        base = {("a", 1): rolls[0] > 0.2, ("b", 1): rng.random(400) > 0.2}
        low, high = error_ratio(mine, base).interval or (9, 9)
        held += low <= 1.25 <= high
    assert held / trials >= 0.93
    same = error_ratio(base, base)
    errors = [1 - each.mean() for each in base.values()]
    least = unseen(400) * np.mean([1 / error for error in errors])
    assert same.value == 1 and same.interval == pytest.approx((1 - least, 1 + least))


def test_an_unfailing_baseline_has_no_relative_error() -> None:
    mine, base = {("a", 1): np.zeros(9, bool)}, {("a", 1): np.ones(9, bool)}
    assert error_ratio(mine, base).reason == "the baseline makes no error under a"


def test_a_set_without_answers_has_a_reason_and_leaves_no_mean() -> None:
    ours = answered(3.4)
    assert ours.event is not None
    sets = list(ours.event["sets"])
    sets[1] = unscored("noise", "corruption", 1, samples=300, reason="out of memory")
    lost = answers({**ours.event, "sets": sets}, LABELS)
    found = made(lost, ours)
    assert found.sets == 29
    assert (found.rows[0]["top1"], found.rows[0]["reason"]) == (None, "out of memory")
    for name in ("top1", "clean_drop", "top1_drop", "mce"):
        assert found.values[name].reason == "1 of 30 sets have no answers"
    other = made(ours, lost)
    assert other.rows[0]["drop_reason"] == "the baseline has no answers to this set"
    assert other.values["mce"].reason == "the baseline has no answers to noise 1"
    assert other.values["top1"].value is not None


def test_without_corruptions_or_a_baseline_there_is_a_reason() -> None:
    plain = answered(3.4, [])
    assert robustness(plain, plain) == ASKED_NONE
    assert robustness(answers(None, LABELS), plain) == "its evaluation did not come back"
    found = made(answered(3.4)).values
    assert found["top1_drop"].reason == found["mce"].reason == "this is the baseline"


def test_a_row_of_nan_is_wrong_and_not_in_the_calibration() -> None:
    labels = [0] * 10
    chances = probabilities(labels, np.random.default_rng(1), margin=9.0)
    chances[:4] = np.nan
    sets = [scored(chances, labels, "noise", "corruption", 1)]
    [row] = made(answers(event(cell("dense"), [[0]] * 10, sets=sets), labels)).rows
    assert row["top1"] == 0.6
    assert row["confidence"] == pytest.approx(chances[4:].max(1).mean())


def test_samples_from_elsewhere_are_told_by_confidence() -> None:
    found = answered(4.0, [], strange=["faces"])
    assert found.event is not None
    inside, outside = (unpacked(found.event["sets"][at]["classes"]) for at in (0, 1))  # type: ignore[arg-type]
    assert inside is not None and outside is not None
    [row] = strangers(found)
    expected = area(inside[:, 1], outside[:, 1])
    assert (row["name"], row["samples"]) == ("faces", 150)
    assert row["auroc"] == expected.value and row["auroc_ci"] == list(expected.interval or ())
    assert row["confidence_in"] == pytest.approx(inside[:, 1].mean())
    assert row["confidence_out"] == pytest.approx(outside[:, 1].mean())


def test_a_stranger_without_answers_has_a_reason() -> None:
    ours = answered(4.0, [])
    assert ours.event is not None
    lost = unscored("faces", "ood", reason="its inputs do not fit")
    found = answers({**ours.event, "sets": [*ours.event["sets"], lost]}, LABELS)
    [row] = strangers(found)
    assert row["auroc"] is None and row["reason"] == "its inputs do not fit"


def test_boxes_under_corruption_have_values_without_intervals() -> None:
    document = build(detectors().build())
    small = document["evaluations"][1]["corruptions"][0]
    assert small["map50"] == pytest.approx(document["results"][1]["accuracy"]["map50"])
    assert small["map50_drop"] == pytest.approx(document["results"][1]["accuracy"]["map50_drop"])
    assert small["top1"] is None and small["drop_reason"]


def test_the_section_shows_what_the_document_holds() -> None:
    document = build(robust_study(samples=240).build())
    text = render.markdown(document)
    assert "Robustness" in text and "Calibration" in text
    for row in document["results"]:
        assert f"{row['robustness']['top1']:.1%}" in text
        assert f"{row['calibration']['ece']:.1%}" in text
    for each in document["evaluations"]:
        assert all(f"{item['top1']:.1%}" in text for item in each["corruptions"])
        assert f"{each['out_of_distribution'][0]['auroc']:.1%}" in text
    assert "Wilson, frequentist" in text and "Jeffreys, Bayesian" in text


def test_the_page_draws_it() -> None:
    page = render.html(build(robust_study(samples=120).build()))
    assert page.count("Top-1 against the severity of each corruption") >= 2
    assert page.count("Reliability: accuracy against confidence") >= 2


def test_a_run_without_any_of_it_says_so() -> None:
    made = RunBuilder(launches=2)
    made.add_cell(cell("dense"))
    made.add_evaluation(cell("dense"), 0.9)
    made.add_group("g", {cell("dense")["id"]: 2.0})
    assert "No evaluation gives probabilities." in render.markdown(build(made.build()))
