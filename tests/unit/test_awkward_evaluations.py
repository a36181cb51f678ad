"""Evaluations that are not as a classifier's: foreign JSON, odd labels, other heads, lost sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluation_builder import detectors, packed, probabilities, robust_study, scored, segmenters
from run_builder import RunBuilder, cell

from reports import render
from reports.document import build
from reports.row_builder import RowBuilder
from reports.sections import accuracy as accuracy_section
from reports.sections import robustness as robustness_section


def table(section: Any, caption: str) -> list[dict[str, str]]:
    """The rows of the table whose caption begins so."""
    [found] = [each for each in section.tables if each.caption.startswith(caption)]
    names = [column.name for column in found.columns]
    return [dict(zip(names, row, strict=True)) for row in found.rows]


@pytest.mark.parametrize(
    "foreign",
    [
        {"quantize": "int8", "widened": True, "parent": "x"},
        {"prune": "yes", "widened": True},
        {"schema": "other/1", "quantize": ["int8"], "sparsity": 0.4},
    ],
)
def test_foreign_json_beside_a_model_says_nothing(foreign: dict[str, Any]) -> None:
    made = RunBuilder(launches=2)
    made.add_cell(cell("dense"))
    made.add_artifact("dense", 1000)
    made.artifacts["sha-dense"] = replace(made.artifacts["sha-dense"], provenance=foreign)
    layer = {"name": "c", "operator": "Conv", "kernel": None, "provider": "CPU"}
    layers = [layer | {"precision": "fp32", "ns": 1}]
    made.add_evaluation(cell("dense"), 0.9, executed={"layers": layers})
    made.add_group("g", {cell("dense")["id"]: 2.0})
    [row] = build(made.build())["results"]
    assert not any("INT8" in flag or "fewer bits" in flag for flag in row["flags"])


def test_a_label_beyond_the_classes_of_the_model_is_a_reason() -> None:
    made = robust_study(samples=100)
    labels = made.labels or []
    chances = probabilities(labels, np.random.default_rng(0), classes=12)
    label = chances[np.arange(100), labels]
    label[3] = np.nan
    rows = [chances.argmax(1), chances.max(1), label, (chances**2).sum(1), np.ones(100)]
    made.events[0].event["sets"][0] = scored(chances, labels) | {  # type: ignore[typeddict-item]
        "classes": packed(np.stack(rows, axis=1))
    }
    document = build(made.build())
    row = document["results"][0]
    assert row["calibration"]["ece"] is not None
    for name in ("brier", "log_likelihood"):
        assert row["calibration"][name] is None
        reason = row["reasons"][f"calibration.{name}"]
        assert reason == "1 labels are beyond the classes of the model"
    assert "1 labels are beyond the classes of the model" in render.markdown(document)


def test_a_number_that_is_not_finite_is_null_with_a_reason() -> None:
    made = RowBuilder({})
    made.put("a.value", float("nan"))
    made.put("a.ci", [0.0, float("inf")], "too wide")
    made.put("b", np.float64(1.5))
    assert made.row == {"a": {"value": None, "ci": None}, "b": 1.5}
    assert made.reasons == {"a.value": "it is not a finite number", "a.ci": "too wide"}


def test_a_mean_without_all_its_sets_is_none() -> None:
    made = robust_study(samples=200)
    for one in made.events[1].event["sets"]:
        if one["kind"] == "corruption" and one["severity"] >= 4:
            one["classes"], one["reason"] = None, "board time ended"
    dense, int8, *_ = build(made.build())["results"]
    assert dense["robustness"]["top1"] is not None
    for name in ("top1", "clean_drop", "top1_drop", "mce"):
        assert int8["robustness"][name] is None
        assert int8["reasons"][f"robustness.{name}"] == "12 of 30 sets have no answers"


@pytest.mark.parametrize(("builder", "name"), [(detectors, "mAP@0.5"), (segmenters, "mIoU")])
def test_other_heads_say_why_they_have_no_value(builder: Any, name: str) -> None:
    made = builder()
    event = made.events[1].event
    whole = event["sets"][0]
    event["sets"][0] = whole | {"boxes": None, "pixels": None, "reason": "an odd head"}
    document = build(made.build())
    row = document["results"][1]
    assert row["accuracy"]["samples"] is None
    assert row["reasons"]["accuracy.samples"] == "an odd head"
    first, second = table(accuracy_section.section(document), "Right answers")
    assert first[name] and not first["note"]
    assert (second[name], second["note"]) == ("", "an odd head")
    event |= {"status": "failed", "reason": "out of memory"}
    document = build(made.build())
    second = table(accuracy_section.section(document), "Right answers")[1]
    assert second["note"] == "the evaluation failed: out of memory"
    assert document["results"][1]["reasons"]["accuracy.samples"] == second["note"]


def test_a_classifier_whose_output_cannot_be_read_says_so() -> None:
    made = robust_study(samples=60)
    event = made.events[1].event
    for one in event["sets"]:
        one |= {"classes": None, "reason": "output 0 has shape [1, 3, 4]"}
    event["top"] = None
    document = build(made.build())
    row = document["results"][1]
    assert row["status"] == "ok"
    for name in ("top1", "top1_drop", "agreement"):
        assert row["accuracy"][name] is None
        assert row["reasons"][f"accuracy.{name}"] == "output 0 has shape [1, 3, 4]"
    assert render.markdown(document)


def test_boxes_under_corruption_are_in_the_table() -> None:
    document = build(detectors().build())
    item = document["evaluations"][1]["corruptions"][0]
    found = table(robustness_section.section(document), "Every corrupted set")[1]
    assert found["mAP@0.5"] == f"{item['map50']:.1%}"
    assert found["mAP@0.5 drop"] == f"{item['map50_drop']:.1%}"
    assert "top-1" not in found
    reason = document["results"][1]["reasons"]["robustness.top1"]
    assert reason == "of boxes and pixels each set has a value, but no mean"
