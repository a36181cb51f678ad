"""The JSON document: its contract, and a reason for everything that is null."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from run_builder import (
    RunBuilder,
    blocks,
    cell,
    cell_launch,
    conditions,
    every_scenario,
    realistic,
)

from agents import wire
from reports import render
from reports.document import build, plain
from reports.run import CellRecord, DeviceRecord, Run

TOP_KEYS = {"schema", "run", "study", "started", "finished", "devices", "results"}
TOP_KEYS |= {"comparisons", "verdicts"}
RESULT_KEYS = {
    "device",
    "variant",
    "runtime",
    "precision_requested",
    "precision_executed",
    "batch",
    "threads",
    "scenario",
    "status",
    "reason",
    "launches",
    "samples",
    "latency_ms",
    "throughput_ips",
    "peak_rss_mib",
    "weights_mib",
    "activations_mib",
    "load_ms",
    "first_inference_ms",
    "file_bytes",
    "compressed_bytes",
    "sparsity",
    "accuracy",
    "energy_mj",
    "flags",
}
COMPARISON_KEYS = {
    "device",
    "kind",
    "runtime",
    "batch",
    "threads",
    "scenario",
    "baseline",
    "candidate",
    "metric",
    "ratio",
    "ci",
    "launches",
    "seconds",
}
VERDICT_KEYS = {"gate", "device", "variant", "runtime", "value", "ci", "limit", "verdict", "reason"}


def nulls(value: Any, path: str = "") -> Iterator[str]:
    """The dotted paths of all nulls in a row."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ("reasons", "reason"):
                yield from nulls(item, f"{path}.{key}" if path else key)
    elif value is None:
        yield path


def check_reasons(document: Mapping[str, Any]) -> None:
    for row in document["results"]:
        for path in nulls(row):
            assert row["reasons"].get(path), f"{row['cell']}: {path} is null without a reason"
        assert set(row["reasons"]) == set(nulls(row)), row["cell"]
        assert (row["status"] == "ok") == (row["reason"] is None)
    for row in document["comparisons"]:
        assert (row["ratio"] is not None and row["ci"] is not None) or row["reason"]
    assert all(verdict["reason"] for verdict in document["verdicts"])


def one(made: RunBuilder, which: int = 0) -> dict[str, Any]:
    document = build(made.build())
    check_reasons(document)
    return dict(document["results"][which])


def dense_run(launches: int = 6, **changes: Any) -> RunBuilder:
    made = RunBuilder(launches=launches)
    made.add_cell(cell("dense"))
    made.add_artifact("dense", 1000)
    made.add_group("g", {cell("dense")["id"]: 2.0}, **changes)
    return made


def test_the_contract_holds() -> None:
    document = build(realistic())
    assert document["schema"] == "edgeproof.report/1"
    assert set(document) >= TOP_KEYS
    assert all(set(row) >= RESULT_KEYS for row in document["results"])
    assert all(set(row) >= COMPARISON_KEYS for row in document["comparisons"])
    assert all(set(row) >= VERDICT_KEYS for row in document["verdicts"])
    for row in document["results"]:
        assert set(row["latency_ms"]) == {"p50", "p95", "p99", "mean", "min", "ci"}
        assert set(row["accuracy"]) >= {"top1", "top5", "samples", "ci"}
        assert row["status"] in {"ok", "failed", "unsupported", "invalid"}
    assert {row["kind"] for row in document["comparisons"]} == {"variant", "runtime"}
    check_reasons(document)


def test_every_null_of_every_scenario_has_a_reason() -> None:
    made = every_scenario(launches=2)
    for scenario in wire.SCENARIOS:
        made.add_cell(cell("broken", scenario=scenario), "unsupported", "no such operator")
    document = build(made.build())
    check_reasons(document)
    render.markdown(document)


def test_throttled_launches_are_invalid() -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"))
    hot = conditions()
    hot["after"]["throttling"]["get_throttled"] = 4
    launch = cell_launch(cell("dense")["id"], blocks(1.0, made.rng))
    made.add_launch("g", 0, launch, around=hot)
    row = one(made)
    assert (row["status"], row["reason"], row["launches"]) == (
        "invalid",
        "throttled (throttled)",
        0,
    )
    made.add_launch("g", 1, launch)
    assert (one(made)["status"], one(made)["launches"]) == ("ok", 1)


def test_the_document_is_the_same_whatever_order_the_launches_came_in() -> None:
    run = realistic(batches=(1,))
    turned = Run(**{**vars(run), "launches": list(reversed(run.launches))})
    documents = [build(run), build(turned)]
    # To it the order is what the device's clock is held against.
    assert all(document.pop("thermal") for document in documents)
    assert documents[0] == documents[1]


def test_one_row_a_cell_with_numbers_as_measured() -> None:
    row = one(dense_run())
    assert row["latency_ms"]["p50"] == pytest.approx(2.0, rel=0.1)
    assert row["throughput_ips"] == pytest.approx(1000 / row["latency_ms"]["mean"])
    assert (row["launches"], row["samples"]) == (6, 6 * 20 * 9)
    assert (row["peak_rss_mib"], row["load_ms"], row["first_inference_ms"]) == (64.0, 20.0, 4.0)
    assert (row["file_bytes"], row["compressed_bytes"], row["sparsity"]) == (1000, 500, 0.0)
    assert row["flags"] == []


def test_an_empty_run_has_a_document_too() -> None:
    document = build(RunBuilder().build())
    assert document["results"] == [] and document["overall"] is None


def test_a_percentile_without_samples_is_null() -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"))
    few = blocks(1.0, made.rng, count=3)
    made.add_launch("g", 0, cell_launch(cell("dense")["id"], few))
    row = one(made)
    assert row["latency_ms"]["p50"] is not None
    assert row["latency_ms"]["p95"] is None
    assert row["reasons"]["latency_ms.p95"] == "27 samples; p95 needs 72"


@pytest.mark.parametrize("status", ["failed", "unsupported", "invalid"])
def test_a_cell_that_was_never_to_run_keeps_its_reason(status: Any) -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"), status, "because")
    row = one(made)
    assert (row["status"], row["reason"]) == (status, "because")
    assert row["reasons"]["latency_ms.p50"] == "because"
    assert row["reasons"]["accuracy.top1"] == "because"


def test_one_good_launch_makes_a_cell_ok_with_a_flag() -> None:
    made = dense_run(launches=7)
    broken = cell_launch(cell("dense")["id"], [], status="failed", reason="killed: out of memory")
    made.add_launch("g", 7, broken)
    row = one(made)
    assert (row["status"], row["launches"]) == ("ok", 7)
    assert "1 of 8 launches failed: killed: out of memory" in row["flags"]


def test_without_a_good_launch_the_first_reason_counts() -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"))
    for ordinal, reason in enumerate(["segmentation fault", "timeout"]):
        broken = cell_launch(cell("dense")["id"], [], status="failed", reason=reason, memory=None)
        made.add_launch("g", ordinal, broken)
    row = one(made)
    assert (row["status"], row["reason"]) == ("failed", "segmentation fault")


def test_no_launch_has_the_budget_the_evaluation_or_the_device_as_its_reason() -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"))
    row = one(made)
    assert row["status"] == "invalid"
    assert row["reason"] == "the board-time budget ended before its first launch"
    made.add_evaluation(cell("dense"), 1.0, status="unsupported", reason="no such operator")
    row = one(made)
    assert (row["status"], row["reason"]) == ("unsupported", "no such operator")
    made.events.clear()
    made.devices = [DeviceRecord("pi5", "raspberry-pi-5", "failed", "unreachable")]
    row = one(made)
    assert (row["status"], row["reason"]) == ("failed", "the device failed: unreachable")
    made.devices = [DeviceRecord("pi5", "raspberry-pi-5", "running")]
    assert "still running" in one(made)["reason"]


def test_blocks_without_samples_are_invalid() -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"))
    made.add_launch("g", 0, cell_launch(cell("dense")["id"], [[5], [6]]))
    row = one(made)
    assert (row["status"], row["reason"]) == ("invalid", "its launches hold no samples")


def test_a_failed_evaluation_leaves_the_latency_alone() -> None:
    made = dense_run()
    made.add_evaluation(cell("dense"), 1.0, status="failed", reason="boom", top=None)
    row = one(made)
    assert row["status"] == "ok" and row["latency_ms"]["p50"] is not None
    assert row["accuracy"]["top1"] is None
    assert "boom" in row["reasons"]["accuracy.top1"]


def test_accuracy_and_its_drop_against_the_baseline() -> None:
    document = build(realistic(batches=(1,)))
    rows = {(row["variant"], row["runtime"]): row for row in document["results"]}
    dense, int8 = rows["dense", "openvino"], rows["int8", "openvino"]
    assert dense["accuracy"]["top1"] == pytest.approx(0.92)
    assert dense["reasons"]["accuracy.top1_drop"] == "this is the baseline"
    assert int8["accuracy"]["top1_drop"] == pytest.approx(0.005)
    low, high = int8["accuracy"]["ci"]["top1"]
    assert low < int8["accuracy"]["top1"] < high


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"warmup": {"iterations": 9, "steady": False, "ns": 1}}, "warm-up not steady in 6 of 6"),
        ({"executed": {"precision": "fp16"}}, "executed in fp16 though fp32 was requested"),
        ({"noise": {"preempted": [], "run_delay_ns": 40_000_000}}, "waited for a core during"),
    ],
)
def test_flags(changes: dict[str, Any], flag: str) -> None:
    [found] = one(dense_run(**changes))["flags"]
    assert flag in found


@pytest.mark.parametrize("told", ["int8", "float32", "fp32", "FP32", None, "u8"])
def test_integers_and_other_spellings_are_no_mismatch(told: str | None) -> None:
    assert one(dense_run(executed={"precision": told}))["flags"] == []


def test_few_launches_and_one_at_a_time_are_flagged() -> None:
    made = RunBuilder()
    made.add_cell(cell("dense"))
    launch = cell_launch(cell("dense")["id"], blocks(1.0, made.rng))
    made.add_launch("g", 0, launch, interleaved=False)
    flags = one(made)["flags"]
    assert flags[0].startswith("few launches: 1")
    assert flags[1].startswith("measured one at a time in 1 of 1 launches")


def test_missing_measurements_are_null_not_zero() -> None:
    row = one(dense_run(memory=None, load_ns=None, first_ns=None, executed={}, noise=None))
    for name in ("peak_rss_mib", "load_ms", "first_inference_ms", "precision_executed"):
        assert row[name] is None


def test_findings_say_what_pays_off() -> None:
    found = {row["variant"]: row for row in build(realistic())["findings"]}
    assert set(found) == {"int8", "pruned-70", "slim-40"}
    assert found["int8"]["pays_off"] == "yes"
    assert found["pruned-70"]["pays_off"] == "no"
    assert "no result in litert (no tflite file of this variant)" in found["int8"]["text"]
    assert "same in onnxruntime" in found["pruned-70"]["text"]
    assert "top-1 accuracy down 12.0 points" in found["pruned-70"]["text"]
    assert "accuracy_top1_drop <= 0.02" in found["pruned-70"]["gates_broken"]


def test_many_runtimes_without_a_result_are_named_without_their_reasons() -> None:
    made = RunBuilder()
    for runtime in ("onnxruntime", "ncnn", "torch", "executorch"):
        made.add_cell(cell("dense", runtime))
        made.add_cell(cell("int8", runtime), "unsupported", f"{runtime} reads other files")
    (found,) = build(made.build())["findings"]
    assert "; no result in executorch, ncnn, onnxruntime, torch; " in found["text"]
    assert found["without_result"][0]["reason"] == "executorch reads other files"


def test_findings_name_the_scenario_where_there_are_several() -> None:
    [found] = build(every_scenario().build())["findings"]
    assert found["pays_off"] == "partly"
    assert "faster in onnxruntime single-stream (0.37" in found["text"]
    assert "faster in onnxruntime offline (2.6" in found["text"]
    assert "times the throughput" in found["text"]
    assert "same in onnxruntime cold-start" in found["text"]


def test_two_devices_are_kept_apart() -> None:
    run = realistic(batches=(1,))
    other = [CellRecord("nuc", c.cell, c.status, c.reason) for c in run.cells]
    devices = [*run.devices, DeviceRecord("nuc", "intel-nuc", "failed", "unreachable")]
    document = build(Run(**{**vars(run), "cells": [*run.cells, *other], "devices": devices}))
    nuc = [row for row in document["results"] if row["device"] == "nuc"]
    assert nuc and all(row["status"] != "ok" for row in nuc)
    assert {v["verdict"] for v in document["verdicts"] if v["device"] == "nuc"} == {"inconclusive"}
    check_reasons(document)


def test_numbers_that_json_cannot_hold_become_null() -> None:
    made = plain({"a": float("nan"), "b": [np.float64("inf"), np.int64(3)], 4: (1.5, True, None)})
    assert made == {"a": None, "b": [None, 3], "4": [1.5, True, None]}


def test_json_is_stable_and_strict() -> None:
    document = build(realistic(batches=(1,)))
    text = render.json_text(document)
    assert text == render.json_text(build(realistic(batches=(1,))))
    assert json.loads(text, parse_constant=pytest.fail) == document
    assert list(json.loads(text))[:3] == ["schema", "run", "study"]


def test_a_slower_tail_is_told_beside_a_faster_median() -> None:
    made = RunBuilder(launches=8)
    made.add_cell(cell("dense"))
    made.add_cell(cell("jumpy"))
    made.add_group("g", {cell("dense")["id"]: 4.0, cell("jumpy")["id"]: 2.0})
    for record in made.records:
        if record.launch["cell"] == cell("jumpy")["id"]:
            for block in record.launch["blocks"]:
                block[-1] *= 5
    [found] = build(made.build())["findings"]
    assert found["pays_off"] == "yes"
    assert "but slower at p95 in onnxruntime" in found["text"]
