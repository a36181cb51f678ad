"""Calibration: by hand, against direct formulas, and what its interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_builder import best_five, probabilities, scored
from run_builder import cell, event

from reports.answers import Answers, answers
from reports.calibration import (
    LEAST_PROBABILITY,
    Calibration,
    by_chance,
    calibration,
    expected_error,
    in_bins,
)

LABELS = [at % 12 for at in range(600)]


def answered(chances: np.ndarray, labels: list[int] = LABELS) -> Answers:
    made = event(cell("dense"), best_five(chances), sets=[scored(chances, labels)])
    return answers(made, labels)


def calibrated(chances: np.ndarray, labels: list[int] = LABELS) -> Calibration:
    found = calibration(answered(chances, labels))
    assert isinstance(found, Calibration)
    return found


def test_the_error_is_the_mean_gap_of_the_bins() -> None:
    # ]0.6, 0.667]: 2 samples, 1 right, confidence 0.65; ]0.933, 1]: 3 samples, all right, 0.96.
    confidence = np.array([0.64, 0.66, 0.95, 0.96, 0.97])
    right = np.array([True, False, True, True, True])
    found = expected_error(in_bins(confidence, right))
    assert found.value == pytest.approx(2 / 5 * 0.15 + 3 / 5 * 0.04)


def test_a_bin_holds_its_upper_end() -> None:
    binned = in_bins(np.array([1 / 15, 1 / 15 + 1e-9, 1.0]), np.ones(3, bool))
    assert np.flatnonzero(binned.samples).tolist() == [0, 1, 14]


def test_scores_are_those_of_the_probabilities() -> None:
    chances = probabilities(LABELS, np.random.default_rng(1))
    found = calibrated(chances)
    truth = np.eye(12)[LABELS]
    assert found.values["brier"].value == pytest.approx(((chances - truth) ** 2).sum(1).mean())
    log = np.log(chances[np.arange(600), LABELS])
    assert found.values["log_likelihood"].value == pytest.approx(log.mean(), rel=1e-5)
    entropy = -(chances * np.log(chances)).sum(1).mean()
    assert found.values["entropy"].value == pytest.approx(entropy, rel=1e-5)
    assert found.values["confidence"].value == pytest.approx(chances.max(1).mean())
    assert (found.clipped, found.excluded) == (0, 0)
    assert sum(row["samples"] for row in found.bins) == 600
    gap = sum(row["samples"] * abs(row["accuracy"] - row["confidence"]) for row in found.bins)
    assert gap / 600 == pytest.approx(found.values["ece"].value)


def test_a_certain_and_wrong_answer_is_clipped_and_counted() -> None:
    chances = np.eye(12)[LABELS]
    chances[0] = np.eye(12)[3]
    found = calibrated(chances)
    least = np.log(LEAST_PROBABILITY) / 600
    assert found.clipped == 1
    assert found.values["log_likelihood"].value == pytest.approx(least)


def test_samples_without_finite_scores_are_left_out_and_counted() -> None:
    chances = probabilities(LABELS, np.random.default_rng(1))
    chances[5:8] = np.nan
    found = calibrated(chances)
    assert found.excluded == 3
    assert sum(row["samples"] for row in found.bins) == 597


def test_what_chance_gives_a_calibrated_model() -> None:
    rng, errors = np.random.default_rng(4), []
    confidence = rng.beta(8, 1.2, 400)
    for _ in range(300):
        binned = in_bins(confidence, rng.random(400) < confidence)
        errors.append(expected_error(binned).value)
    assert by_chance(binned) == pytest.approx(np.mean(errors), rel=0.1)


@pytest.mark.parametrize("samples", [100, 1000])
@pytest.mark.parametrize("gap", [0.0, 0.03, 0.1])
def test_the_interval_holds_the_error_of_endless_samples(samples: int, gap: float) -> None:
    """Also of a calibrated model, where the bootstrap's never does."""
    rng, held, trials = np.random.default_rng(7), 0, 200
    whole = rng.beta(8, 1.2, 400_000)
    which = np.clip(np.ceil(whole * 15).astype(int) - 1, 0, 14)
    off = np.clip(whole - gap, 0, 1) - whole
    true = np.abs(np.bincount(which, off, 15)).sum() / whole.size
    for _ in range(trials):
        confidence = rng.beta(8, 1.2, samples)
        right = rng.random(samples) < np.clip(confidence - gap, 0, 1)
        low, high = expected_error(in_bins(confidence, right)).interval or (1, 1)
        held += low - 1e-9 <= true <= high
    assert held / trials >= 0.93


def test_no_probabilities_have_a_reason() -> None:
    no_labels = answers(event(cell("dense"), [[1]]), None)
    assert calibration(no_labels) == "its probabilities did not come back"
    lost = scored(np.full((2, 3), np.nan), [0, 1])
    found = answers(event(cell("dense"), [[], []], sets=[lost]), [0, 1])
    assert calibration(found) == "no sample has finite probabilities"
    broken = scored(probabilities([0, 1], np.random.default_rng(0)), [0, 1])
    broken["classes"] = {"shape": [2, 5], "data": "AAAA"}
    found = answers(event(cell("dense"), [[0], [1]], sets=[broken]), [0, 1])
    assert calibration(found) == "its packed answers are damaged"
