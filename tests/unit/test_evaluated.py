"""What evaluations add to the document: values with reasons, details, and flags."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pytest
from evaluation_builder import (
    add_classifier,
    detectors,
    packed,
    probabilities,
    robust_study,
    scored,
    segmenters,
    two_classes,
)
from run_builder import RunBuilder, cell, event
from test_report_document import check_reasons

from reports import render
from reports.answers import answers, classes_of, unpacked
from reports.document import build
from reports.run import CellRecord, EvaluationRecord, Run

ALL = (robust_study, two_classes, detectors, segmenters)


@pytest.mark.parametrize("builder", ALL)
def test_every_null_has_a_reason_and_every_form_can_show_it(builder: Any) -> None:
    document = build(builder(samples=60).build())
    check_reasons(document)
    render.markdown(document)
    assert "accuracy.top1_drop" in render.csv(document)
    for each in document["evaluations"]:
        assert all(row["reason"] or row["ci"] or "map50" in row for row in each["corruptions"])


def test_an_array_comes_back_as_it_was_packed() -> None:
    made = np.random.default_rng(0).normal(size=(7, 5))
    assert unpacked(packed(made)) == pytest.approx(made, abs=1e-6)
    broken = packed(made)
    assert unpacked({**broken, "shape": [8, 5]}) is None
    assert unpacked({**broken, "shape": [6, 5]}) is None
    assert unpacked({**broken, "data": "no base64!"}) is None
    assert unpacked({**broken, "data": broken["data"][:40]}) is None


def test_a_set_of_another_shape_is_damaged() -> None:
    made = scored(probabilities([0, 1], np.random.default_rng(0)), [0, 1])
    made["classes"] = packed(np.zeros((3, 5)))
    assert classes_of(made) == "its packed answers are damaged"


def test_agreement_counts_right_and_wrong_alike() -> None:
    made = RunBuilder(launches=2, labels=[0, 1, 2, 3, 4, 5])
    for variant, best in {"dense": [0, 1, 2, 9, 9, 9], "int8": [0, 1, 9, 9, 8, 9]}.items():
        made.add_cell(cell(variant))
        made.add_evaluation(cell(variant), 1.0, top=[[cls] for cls in best])
    found = build(made.build())["results"][1]["accuracy"]
    assert found["agreement"] == pytest.approx(4 / 6)
    assert (found["top1_lost"], found["top1_gained"]) == (1, 0)
    assert found["ci"]["agreement"][0] < 4 / 6 < found["ci"]["agreement"][1]


def test_samples_without_finite_scores_agree_with_nothing() -> None:
    made = RunBuilder(launches=2, labels=[0, 1, 2])
    for variant in ("dense", "int8"):
        made.add_cell(cell(variant))
        made.add_evaluation(cell(variant), 1.0, top=[[0], [], [2]], nonfinite=1)
    row = build(made.build())["results"][1]
    assert row["accuracy"]["agreement"] == pytest.approx(2 / 3)
    assert row["accuracy"]["top1"] == pytest.approx(2 / 3)


def test_agreement_needs_no_labels() -> None:
    found = answers(event(cell("dense"), [[1], [2]]), None)
    assert found.best is not None and found.best.tolist() == [1, 2]
    assert found.right == {} and found.reasons["top1"] == "the study has no labelled dataset"


def test_the_baseline_and_a_cell_that_cannot_run_say_why() -> None:
    made = two_classes()
    made.add_cell(cell("small", "litert"), "unsupported", "no tflite file of this variant")
    document = build(made.build())
    dense, _, lost = document["results"]
    for key in ("top1_drop", "agreement", "auc_drop", "recall_loss_worst"):
        assert dense["reasons"][f"accuracy.{key}"] == "this is the baseline"
    for path in ("accuracy.auc", "accuracy.recall_worst", "calibration", "robustness"):
        assert lost["reasons"][path] == "no tflite file of this variant"
    check_reasons(document)
    assert [each["variant"] for each in document["evaluations"]] == ["dense", "small"]


def test_cells_of_one_evaluation_say_the_same_and_are_listed_once() -> None:
    made = two_classes()
    made.add_cell(cell("small", batch=8))
    document = build(made.build())
    first, second = document["results"][1:]
    for key in ("accuracy", "calibration", "robustness", "evaluation"):
        assert first[key] == second[key]
    assert len(document["evaluations"]) == 2


def flags_of(made: Run) -> list[list[str]]:
    return [row["flags"] for row in build(made)["results"]]


def with_inputs(*digests: str | None) -> Run:
    """The same cell on a device for each digest."""
    made = two_classes()
    run = made.build()
    cells, events = [], []
    for at, digest in enumerate(digests):
        for record in made.cells:
            cells.append(CellRecord(f"board{at}", record.cell, "ok"))
        for one in made.events:
            told = {**one.event, "inputs_sha256": digest}
            events.append(EvaluationRecord(f"board{at}", told))  # type: ignore[arg-type]
    return Run(**{**vars(run), "cells": cells, "evaluations": events, "launches": [], "groups": []})


def test_other_inputs_on_one_device_are_flagged_with_the_names() -> None:
    told = "preprocessing differs: inputs are aaaaaaaa on board0 (onnxruntime) but bbbbbbbb on "
    for found in flags_of(with_inputs("a" * 64, "b" * 64)):
        assert found == [told + "board1 (onnxruntime)"]
    assert flags_of(with_inputs("a" * 64, "a" * 64, None)) == [[]] * 6


def test_scores_read_in_another_way_than_the_baselines_are_flagged() -> None:
    made = RunBuilder(labels=[0, 1] * 20)
    for variant, scores in {"dense": "logits", "int8": "probabilities", "same": "logits"}.items():
        made.add_cell(cell(variant))
        add_classifier(made, cell(variant), margin=2.0)
        made.events[-1].event["scores"] = scores  # type: ignore[typeddict-item]
    dense, int8, same = flags_of(made.build())
    assert int8 == [
        "scores were read as probabilities, the baseline's as logits: give dataset.scores"
    ]
    assert dense == same == []


@pytest.mark.parametrize(
    ("builder", "shown", "absent"),
    [
        (two_classes, ("AUC", "largest loss"), ("mAP@0.5", "mIoU")),
        (detectors, ("mAP@0.5", "mAP@0.5 drop"), ("AUC", "mIoU", "largest loss")),
        (segmenters, ("mIoU", "mIoU drop"), ("AUC", "mAP@0.5")),
    ],
)
def test_the_table_has_the_columns_that_there_are_values_for(
    builder: Any, shown: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    text = html.unescape(render.markdown(build(builder(samples=60).build())))
    heads = [line for line in text.splitlines() if line.startswith("| variant")]
    accuracy = " ".join(line for line in heads if "top-1" in line or "lowest recall" in line)
    assert all(f"| {name} |" in accuracy for name in shown)
    assert not any(f"| {name} |" in accuracy for name in absent)
