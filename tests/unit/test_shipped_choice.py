"""What a report says to ship: of which scenario, by which verdicts, among which runtimes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from run_builder import RunBuilder, blocks, cell, cell_launch

from reports import render
from reports.document import build
from reports.run import GroupRecord
from reports.sections import curves as curves_section
from reports.sections import summary

SERVER = {"name": "server", "streams": 2, "seconds": 2.0, "target_p99_ms": 20.0}
OFFLINE = {"name": "offline", "streams": 2, "requests": 16}
SINGLE = {"name": "single-stream"}
MIB = 2**20


def study_of(
    times: dict[str, float], *scenarios: dict[str, Any], launches: int = 10, **study: Any
) -> RunBuilder:
    """Variants of dense, each measured in every scenario, all right in 90% of the samples."""
    made = RunBuilder(launches=launches, drift=0.02)
    made.study |= {"scenarios": list(scenarios) or [SINGLE]} | study
    made.study.setdefault("variants", {v: {"from": "dense"} for v in times} | {"dense": {}})
    for scenario in made.study["scenarios"]:
        mine = {v: cell(v, scenario=scenario["name"]) for v in times}
        for each in mine.values():
            made.add_cell(each)
        group = {each["id"]: times[v] for v, each in mine.items()}
        made.add_group(f"variant/{scenario['name']}", group)
    for variant in times:
        made.add_artifact(variant, MIB if variant == "dense" else MIB // 4)
        made.add_evaluation(cell(variant), 0.9)
    return made


def recommended(made: RunBuilder) -> dict[str, Any]:
    [found] = build(made.build())["recommendations"]
    return dict(found)


DROP = [{"metric": "accuracy_top1_drop", "max": 0.05}]


def test_a_server_listed_first_does_not_hide_the_ratio_of_times() -> None:
    made = study_of({"dense": 4.0, "int8": 1.5}, SERVER, SINGLE, targets=DROP)
    found = recommended(made)
    assert (found["variant"], found["scenario"]) == ("int8", "single-stream")
    words = curves_section.section(build(made.build())).words
    assert "Curves and recommendations are of the scenario single-stream." in words


def test_a_server_alone_recommends_nothing_and_says_why() -> None:
    found = recommended(study_of({"dense": 4.0, "int8": 1.5}, SERVER, targets=DROP))
    assert (found["variant"], found["proven"]) == (None, False)
    assert found["reason"].startswith("the server scenario has no ratio of times")


@pytest.mark.parametrize("scenario", ["offline", "single-stream"])
def test_an_accuracy_target_of_another_scenario_is_asked_all_the_same(scenario: str) -> None:
    prune = {"from": "dense", "prune": {"method": "magnitude", "sparsity": 0.9}}
    targets = [{"metric": "accuracy_top1_drop", "max": 0.02, "scenario": scenario}]
    variants = {"dense": {}, "pruned": prune}
    made = study_of(
        {"dense": 4.0, "pruned": 1.5}, SINGLE, OFFLINE, targets=targets, variants=variants
    )
    made.artifacts["sha-pruned"] = replace(made.artifacts["sha-pruned"], sparsity=0.9)
    made.events.pop()
    made.add_evaluation(cell("pruned"), 0.1)
    document = build(made.build())
    [curve] = document["curves"]
    assert [point["accuracy"] for point in curve["points"]] == ["pass", "fail"]
    assert (curve["holds_until"], curve["misses_at"]) == (0.0, 0.9)
    assert document["recommendations"][0]["variant"] == "dense"


def test_a_difference_that_is_called_the_same_does_not_pick_the_larger_file() -> None:
    made = study_of({"dense": 4.0, "fat": 3.975}, launches=20, targets=DROP)
    made.artifacts["sha-fat"] = replace(made.artifacts["sha-fat"], compressed_bytes=8 * MIB)
    document = build(made.build())
    [p50] = [c for c in document["comparisons"] if c["metric"] == "latency_p50_ratio"]
    assert p50["finding"] == "same" and p50["ci"][1] < 1
    assert document["recommendations"][0]["variant"] == "dense"


def test_prunings_on_top_of_each_other_begin_at_the_dense_network() -> None:
    def magnitude(share: float) -> dict[str, Any]:
        return {"from": "slim", "prune": {"method": "magnitude", "sparsity": share}}

    variants = {
        "dense": {},
        "slim": {"from": "dense", "prune": {"method": "channels", "sparsity": 0.3}},
        "half": magnitude(0.5),
        "most": magnitude(0.9),
    }
    made = study_of(dict.fromkeys(variants, 4.0), variants=variants)
    for variant, share in {"slim": 0.3, "half": 0.5, "most": 0.9}.items():
        sha = f"sha-{variant}"
        made.artifacts[sha] = replace(made.artifacts[sha], sparsity=share)
    kinds = {curve["kind"]: curve["points"] for curve in build(made.build())["curves"]}
    both = kinds["channels + magnitude"]
    assert [point["variant"] for point in both] == ["dense", "half", "most"]


def test_a_gate_that_passes_is_a_target_that_is_met() -> None:
    made = study_of({"dense": 4.0, "same": 4.0}, gates=[{"metric": "latency_p50_ratio", "max": 1}])
    made.study["measure"] = {"effort": "standard"}
    document = build(made.build())
    assert [v["verdict"] for v in document["verdicts"]] == ["pass"]
    [found] = document["recommendations"]
    assert (found["variant"], found["proven"]) == ("same", True)  # of the two the smaller


def test_what_only_a_waiver_lets_pass_is_no_target_met() -> None:
    gate = {"metric": "latency_p50_ms", "max": 3}
    waiver = gate | {"max": 9, "variant": "same", "expires": "2099-01-01"}
    waiver |= {"reason": "known", "issue": None}
    made = study_of({"dense": 2.0, "same": 6.0}, gates=[gate], waivers=[waiver])
    document = build(made.build())
    assert {v["verdict"] for v in document["verdicts"]} == {"pass"}
    assert document["recommendations"][0]["candidates"][1]["missed"] == ["latency_p50_ms <= 3"]


def runtimes(times: dict[str, float | None], **changes: dict[str, Any]) -> RunBuilder:
    """One variant in several runtimes; without a time one of them does not run."""
    made = RunBuilder(launches=10, drift=0.02)
    cells = [cell("dense", runtime) for runtime in times]
    for each in cells:
        made.add_cell(each)
        ms = times[each["runtime"]]
        if ms is None:
            made.add_evaluation(each, 0.9, status="failed", reason="no operator X")
        else:
            made.add_group(f"variant/{each['runtime']}", {each["id"]: ms})
            made.add_evaluation(each, 0.9)
    ids = [each["id"] for each in cells]
    group: Any = {"id": "runtime/dense", "kind": "runtime", "baseline": ids[0], "cells": ids}
    made.groups.append(GroupRecord("pi5", group | {"launches": 10}))
    for ordinal in range(10):
        for each in cells:
            ms = times[each["runtime"]]
            if ms is not None:
                more = changes.get(each["runtime"], {})
                launch = cell_launch(each["id"], blocks(ms, made.rng), **more)
                made.add_launch("runtime/dense", ordinal, launch)
    made.add_artifact("dense", 1000)
    return made


@pytest.mark.parametrize("failed", ["litert", "onnxruntime"])
def test_a_runtime_that_failed_is_no_contender(failed: str) -> None:
    times = {"litert": 4.0, "onnxruntime": 4.0, "openvino": 2.0}
    [found] = build(runtimes(times | {failed: None}).build())["fastest_runtimes"]
    assert (found["runtime"], found["between"]) == ("openvino", [])


def test_one_runtime_alone_is_not_called_the_fastest() -> None:
    times = {"litert": None, "onnxruntime": 4.0, "openvino": None}
    assert build(runtimes(times).build())["fastest_runtimes"] == []


def test_runtimes_are_compared_by_one_clock() -> None:
    """Both take 0.306 ms around the call, of which one does not count 6 us as its own."""
    made = runtimes({"onnxruntime": 0.306, "openvino": 0.3}, openvino={"call_overhead_ns": 6000})
    document = build(made.build())
    rows = {c["metric"]: c for c in document["comparisons"]}
    for metric in ("latency_p50_ratio", "throughput_ratio"):
        assert rows[metric]["ratio"] == pytest.approx(1, abs=0.01)
        assert rows[metric]["finding"] == "same"
        assert rows[metric]["clock"] == "around the call"
    [found] = document["fastest_runtimes"]
    assert found["between"] == ["onnxruntime", "openvino"]
    assert "Runtimes are compared by the clock around the call from Python" in render.markdown(
        document
    )


def test_variants_of_one_runtime_are_compared_by_its_own_clock() -> None:
    made = study_of({"dense": 0.3, "int8": 0.2})
    for record in made.records:
        record.launch["call_overhead_ns"] = 6000
    rows = {c["metric"]: c for c in build(made.build())["comparisons"]}
    assert rows["latency_p50_ratio"]["ratio"] == pytest.approx(0.2 / 0.3, rel=0.01)
    assert rows["latency_p50_ratio"]["clock"].startswith("the runtime's own")


def test_every_variant_is_said_only_of_every_variant() -> None:
    made = study_of({"dense": 4.0, "a": 4.0, "b": 4.0})
    for variant in ("dense", "a"):
        made.add_cell(cell(variant, "openvino"))
        times = {cell(variant)["id"]: 4.0, cell(variant, "openvino")["id"]: 2.0}
        made.add_group(f"runtime/{variant}", times, kind="runtime")
    words = " ".join(summary.section(build(made.build())).words)
    assert "Fastest runtime: openvino, for dense, a." in words
