"""Candidate against baseline: matching of launches, ratios, findings."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import RunBuilder, blocks, cell, cell_launch

from reports.comparison import comparisons, finding
from reports.index import index
from reports.run import Run


def two_variants(launches: int = 8, ratio: float = 0.5, **changes: Any) -> RunBuilder:
    made = RunBuilder(launches=launches)
    dense, int8 = cell("dense"), cell("int8")
    made.add_cell(dense)
    made.add_cell(int8)
    made.add_group("g", {dense["id"]: 4.0, int8["id"]: 4.0 * ratio}, **changes)
    return made


def compare(run: Run) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in comparisons(index(run))}


def test_a_faster_candidate_has_a_ratio_below_one() -> None:
    found = compare(two_variants().build())
    p50, p95 = found["latency_p50_ratio"], found["latency_p95_ratio"]
    assert p50["ratio"] == pytest.approx(0.5, rel=0.02)
    assert p95["ratio"] == pytest.approx(0.5, rel=0.05)
    assert p50["ci"][0] < 0.5 < p50["ci"][1]
    assert (p50["baseline"], p50["candidate"], p50["finding"]) == ("dense", "int8", "faster")
    assert (p50["launches"], p50["seconds"]) == (8, 16.0)


def test_few_launches_leave_p95_without_an_interval() -> None:
    found = compare(two_variants(launches=5).build())
    assert found["latency_p50_ratio"]["ci"] is not None
    assert found["latency_p95_ratio"]["ratio"] is not None
    assert found["latency_p95_ratio"]["ci"] is None
    assert found["latency_p95_ratio"]["reason"] == "5 launches; this interval needs 6"
    assert found["latency_p95_ratio"]["finding"] == "undecided"


def test_only_launches_in_which_both_are_ok_count() -> None:
    made = two_variants(launches=7)
    failed = cell_launch(cell("int8")["id"], [], status="failed", reason="killed")
    made.records[1] = dataclasses.replace(made.records[1], launch=failed)
    made.add_launch("g", 99, cell_launch(cell("int8")["id"], blocks(1.0, made.rng)))
    found = compare(made.build())["latency_p50_ratio"]
    assert found["launches"] == 6
    assert found["seconds"] == 12.0


def test_a_launch_that_arrived_twice_counts_once() -> None:
    made = two_variants(launches=3)
    made.records += made.records
    assert compare(made.build())["latency_p50_ratio"]["launches"] == 3


def test_launches_match_by_ordinal_whatever_their_order() -> None:
    forth = two_variants()
    back = two_variants()
    back.records.reverse()
    assert compare(forth.build()) == compare(back.build())


def test_launches_of_another_group_do_not_count() -> None:
    made = two_variants()
    made.add_launch("other", 100, cell_launch(cell("dense")["id"], blocks(1, made.rng)))
    made.add_launch("other", 100, cell_launch(cell("int8")["id"], blocks(9, made.rng)))
    assert compare(made.build())["latency_p50_ratio"]["launches"] == 8


def test_runtimes_are_compared_by_the_same_code() -> None:
    made = RunBuilder()
    ort, openvino = cell("int8", "onnxruntime"), cell("int8", "openvino")
    made.add_cell(ort)
    made.add_cell(openvino)
    made.add_group("r", {ort["id"]: 2.0, openvino["id"]: 3.0}, kind="runtime")
    found = compare(made.build())["latency_p50_ratio"]
    assert (found["kind"], found["baseline"], found["candidate"]) == (
        "runtime",
        "onnxruntime",
        "openvino",
    )
    assert found["finding"] == "slower"


def test_a_group_without_a_baseline_compares_nothing() -> None:
    made = two_variants()
    made.groups[0].group["baseline"] = None
    assert comparisons(index(made.build())) == []


def test_a_candidate_that_cannot_run_keeps_its_reason() -> None:
    made = RunBuilder()
    dense, int8 = cell("dense"), cell("int8")
    made.add_cell(dense)
    made.add_cell(int8, "unsupported", "no file for this runtime")
    made.add_group("g", {dense["id"]: 4.0})
    made.groups[0].group["cells"].append(int8["id"])
    found = compare(made.build())["latency_p50_ratio"]
    assert (found["ratio"], found["ci"], found["launches"]) == (None, None, 0)
    assert "no file for this runtime" in found["reason"]


def test_swapping_the_sides_inverts_the_ratio() -> None:
    made = two_variants()
    forth = compare(made.build())
    made.groups[0].group["baseline"] = cell("int8")["id"]
    back = compare(made.build())
    for metric, row in forth.items():
        assert row["ratio"] == pytest.approx(1 / back[metric]["ratio"])
        assert row["ci"][0] == pytest.approx(1 / back[metric]["ci"][1])


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((0.90, 0.98), "faster"),
        ((0.96, 0.98), "faster"),
        ((0.96, 0.995), "same"),
        ((1.02, 1.30), "slower"),
        ((0.96, 1.04), "same"),
        ((0.80, 1.20), "undecided"),
        ((0.90, 1.00), "undecided"),
        (None, "undecided"),
    ],
)
def test_findings(interval: tuple[float, float] | None, word: str) -> None:
    assert finding(interval) == word


@given(st.floats(0.1, 10), st.floats(0, 2))
def test_an_interval_around_one_is_never_a_difference(ratio: float, spread: float) -> None:
    low, high = ratio / (1 + spread), ratio * (1 + spread)
    if low <= 1 <= high:
        assert finding((low, high)) in {"same", "undecided"}


def test_identical_models_are_seldom_called_different() -> None:
    words = []
    for seed in range(40):
        made = RunBuilder(seed=seed, launches=6)
        made.add_cell(cell("dense"))
        made.add_cell(cell("twin"))
        made.add_group("g", {cell("dense")["id"]: 3.0, cell("twin")["id"]: 3.0})
        words.append(compare(made.build())["latency_p50_ratio"]["finding"])
    assert words.count("same") >= 38
