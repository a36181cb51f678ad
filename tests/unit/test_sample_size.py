"""How many samples a gate takes: never said of one that could pass, and enough when prescribed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from evaluation_builder import add_classifier, detectors, two_classes
from hypothesis import given
from hypothesis import strategies as st
from run_builder import RunBuilder, answers, cell

from reports.document import build
from reports.estimate import Estimate
from reports.gates import METRICS, Limit, judge
from reports.sample_size import DROPS, SHARES, prescribe, undecidable
from reports.shares import paired_difference, score_share


@given(st.integers(1, 20_000), st.floats(-0.05, 0.3))
def test_unchanged_answers_pass_a_drop_gate_unless_the_dataset_is_too_small(
    samples: int, most: float
) -> None:
    limit = Limit("accuracy_top1_drop", "max", most)
    passes = judge(paired_difference(0, 0, samples), limit)[0] == "pass"
    assert passes == (undecidable(limit, samples) is None)


@given(st.integers(1, 20_000), st.floats(0.7, 1))
def test_right_answers_pass_a_share_gate_unless_the_dataset_is_too_small(
    samples: int, least: float
) -> None:
    limit = Limit("accuracy_top1", "min", least)
    passes = judge(score_share(samples, samples), limit)[0] == "pass"
    assert passes == (undecidable(limit, samples) is None)


def test_the_number_that_is_named_is_enough_and_no_more() -> None:
    limit = Limit("accuracy_map50_drop", "max", 0.02)
    told = undecidable(limit, 100)
    assert told is not None
    enough = int(re.findall(r"([\d,]+) samples can", told)[0].replace(",", ""))
    assert undecidable(limit, enough) is None and undecidable(limit, enough - 1) is not None
    exact = undecidable(Limit("accuracy_top1_drop", "max", 0.0), 10_000)
    assert exact is not None and "only one that is proven better can" in exact


@pytest.mark.parametrize("name", sorted(set(METRICS) - DROPS - SHARES))
def test_nothing_is_said_of_other_metrics(name: str) -> None:
    assert undecidable(Limit(name, "max", 0.001), 3) is None
    assert undecidable(Limit(name, "min", 0.999), 3) is None


def test_nothing_is_said_of_a_bound_the_other_way() -> None:
    assert undecidable(Limit("accuracy_top1_drop", "min", 0.001), 3) is None
    assert undecidable(Limit("accuracy_top1", "max", 0.999), 3) is None


def row(samples: int, lost: int, gained: int) -> dict[str, Any]:
    return {"accuracy": {"samples": samples, "top1_lost": lost, "top1_gained": gained}}


def test_the_prescribed_number_decides_in_nine_of_ten() -> None:
    """200 samples, 3% lost and 1% gained, a gate at 5%: Nam's number, tried out."""
    limit, found = Limit("accuracy_top1_drop", "max", 0.05), paired_difference(6, 2, 200)
    assert judge(found, limit)[0] == "inconclusive"
    told = prescribe(found, limit, row(200, 6, 2))
    assert told is not None
    needed = int(re.findall(r"about ([\d,]+) samples", told)[0].replace(",", ""))
    rng, passed = np.random.default_rng(4), 0
    for _ in range(300):
        lost, gained, _ = rng.multinomial(needed, [0.03, 0.01, 0.96])
        passed += judge(paired_difference(int(lost), int(gained), needed), limit)[0] == "pass"
    assert 0.82 <= passed / 300 <= 0.97


def test_no_changed_answer_needs_what_tango_needs() -> None:
    limit = Limit("accuracy_top1_drop", "max", 0.01)
    told = prescribe(paired_difference(0, 0, 100), limit, row(100, 0, 0))
    assert told == "about 381 samples would decide, if the value is the true one"
    assert undecidable(limit, 381) is None and undecidable(limit, 380) is not None


def test_a_value_on_the_limit_has_no_number() -> None:
    found = paired_difference(10, 0, 200)
    told = prescribe(found, Limit("accuracy_top1_drop", "max", 0.05), row(200, 10, 0))
    assert told is not None and told.startswith("the value lies on the limit")


def test_other_metrics_get_no_number() -> None:
    assert prescribe(Estimate(1.0, (0.5, 2)), Limit("load_ms", "max", 1.2), row(9, 0, 0)) is None
    unknown = Estimate.missing("why")
    assert prescribe(unknown, Limit("accuracy_top1", "min", 0.9), row(9, 0, 0)) is None


def verdict(made: RunBuilder, **gate: Any) -> dict[str, Any]:
    made.study["gates"] = [gate]
    found: dict[str, Any] = build(made.build())["verdicts"][-1]
    return found


def test_an_inconclusive_gate_says_what_it_takes() -> None:
    made = RunBuilder(launches=2, labels=[at % 12 for at in range(200)])
    for variant, right in {"dense": 0.92, "int8": 0.90}.items():
        made.add_cell(cell(variant))
        made.add_artifact(variant, 1000)
        made.add_evaluation(cell(variant), right)
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("int8")["id"]: 2.0})
    found = verdict(made, metric="accuracy_top1_drop", max=0.03)
    assert found["verdict"] == "inconclusive"
    assert "samples would decide" in found["prescription"]
    assert found["prescription"] in found["reason"]
    sure = verdict(made, metric="accuracy_top1_drop", max=0.2)
    assert sure["verdict"] == "pass" and sure["prescription"] is None
    worst = verdict(made, metric="accuracy_recall_worst", min=0.8)
    assert worst["verdict"] == "inconclusive" and "samples of a class" in worst["prescription"]
    assert len(answers(made.labels or [], 0.5)) == 200


@pytest.mark.parametrize(
    ("builder", "gate", "expected"),
    [
        (two_classes, {"metric": "accuracy_auc", "min": 0.8}, "pass"),
        (two_classes, {"metric": "accuracy_auc_drop", "max": 0.01}, "fail"),
        (two_classes, {"metric": "accuracy_agreement", "min": 0.99}, "fail"),
        (two_classes, {"metric": "accuracy_recall_loss_worst", "max": 0.01}, "fail"),
        (two_classes, {"metric": "accuracy_recall_loss_worst", "max": 0.3}, "pass"),
        (two_classes, {"metric": "calibration_ece", "max": 0.5}, "pass"),
        (detectors, {"metric": "accuracy_map50_drop", "max": 0.05}, "fail"),
        (detectors, {"metric": "accuracy_map50", "min": 0.5}, "pass"),
        (detectors, {"metric": "accuracy_top1", "min": 0.5}, "inconclusive"),
        (detectors, {"metric": "calibration_ece", "max": 0.5}, "inconclusive"),
        (detectors, {"metric": "accuracy_recall_worst", "min": 0.5}, "inconclusive"),
    ],
)
def test_every_kind_of_accuracy_can_be_a_gate(builder: Any, gate: Any, expected: str) -> None:
    found = verdict(builder(), **gate)
    assert (found["variant"], found["verdict"]) == ("small", expected)
    assert found["reason"]


def test_a_dataset_of_two_classes_has_no_top5_but_the_rest() -> None:
    made = RunBuilder(launches=2, labels=[0, 1] * 30)
    made.add_cell(cell("dense"))
    add_classifier(made, cell("dense"), margin=2.0)
    row = build(made.build())["results"][0]
    assert row["accuracy"]["top5"] is None and row["accuracy"]["auc"] is not None
