"""Candidate against baseline: matching of launches, ratios, findings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import RunBuilder, blocks, cell, cell_launch, every_scenario

from reports.comparison import comparisons, finding
from reports.index import index
from reports.run import GroupRecord, Run


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


@pytest.mark.parametrize("side", ["dense", "int8"])
def test_what_its_evaluation_found_unsupported_is_not_compared(side: str) -> None:
    made = RunBuilder()
    cells = {name: cell(name) for name in ("dense", "int8")}
    for one in cells.values():
        made.add_cell(one)
    made.add_group("g", {one["id"]: 4.0 for one in cells.values()})
    made.records = []
    made.add_evaluation(cells[side], 0.9, status="unsupported", reason="no such GPU")
    assert compare(made.build()) == {}


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


def test_a_pair_is_compared_in_the_metrics_of_its_scenario() -> None:
    times = {f"latency_{name}_ratio" for name in ("p50", "p95", "p99")}
    watched = {"latency_unpreempted_p50_ratio", "latency_unpreempted_p95_ratio"}
    found: dict[str, set[str]] = {}
    for row in comparisons(index(every_scenario(launches=2).build())):
        found.setdefault(row["scenario"], set()).add(row["metric"])
    assert found == {
        "single-stream": times | watched | {"throughput_ratio"},
        "multi-stream": times | watched | {"throughput_ratio"},
        "offline": {"throughput_ratio"},
        "cold-start": times,
        "sustained": times | {"throughput_ratio"},
    }


@pytest.mark.parametrize(("ratio", "word"), [(0.5, "faster"), (1.0, "same"), (2.0, "slower")])
def test_throughput_is_the_other_way_round(ratio: float, word: str) -> None:
    found = compare(two_variants(ratio=ratio).build())["throughput_ratio"]
    assert found["ratio"] == pytest.approx(1 / ratio, rel=0.02)
    assert found["ci"][0] < found["ratio"] < found["ci"][1]
    assert found["finding"] == word


@pytest.mark.parametrize("preempted", [True, False])
def test_the_unpreempted_ratio_leaves_out_what_the_machine_disturbed(preempted: bool) -> None:
    """Most samples of the candidate take four times as long: by preemption, or by themselves."""
    told = [[block, at, 1, None] for block in range(20) for at in range(4, 10)]
    noise = {"preempted": told if preempted else [], "run_delay_ns": None}
    made = two_variants(ratio=1.0, noise=noise)
    for record in made.records:
        if record.launch["cell"] == cell("int8")["id"]:
            for block in record.launch["blocks"]:
                block[4:] = [4 * sample for sample in block[4:]]
    found = compare(made.build())
    assert found["latency_p50_ratio"]["finding"] == "slower"
    word = "same" if preempted else "slower"
    assert found["latency_unpreempted_p50_ratio"]["finding"] == word


def test_uncounted_preemptions_are_the_reason() -> None:
    found = compare(two_variants(noise=None).build())["latency_unpreempted_p95_ratio"]
    assert (found["ratio"], found["reason"]) == (None, "preemptions were not counted")


def crowd(seed: int, identical: int, spread: float = 0.1) -> list[dict[str, Any]]:
    """Comparisons of a baseline with candidates that are all the same, in one metric."""
    made = RunBuilder(seed=seed)
    made.study["scenarios"] = [{"name": "offline", "requests": 1}]
    cells = [cell(f"v{at}", scenario="offline") for at in range(identical + 1)]
    for each in cells:
        made.add_cell(each)
    group: Any = {"id": "g", "kind": "variant", "baseline": cells[0]["id"], "launches": 7}
    made.groups.append(GroupRecord("pi5", group | {"cells": [each["id"] for each in cells]}))
    for ordinal in range(7):
        for each in cells:
            sample = int(1e6 * np.exp(spread * made.rng.standard_normal()))
            made.add_launch("g", ordinal, cell_launch(each["id"], [[sample, sample]]))
    return comparisons(index(made.build()))


def test_sixty_identical_candidates_are_rarely_called_different() -> None:
    """In at most 5% of the runs, though the intervals by themselves do so in most."""
    alone = together = 0
    for seed in range(140):
        rows = crowd(seed, 60)
        alone += any(low > 1.01 or high < 0.99 for low, high in (row["ci"] for row in rows))
        together += any(row["finding"] in ("faster", "slower") for row in rows)
    assert alone > 70
    assert together <= 7


def test_a_difference_that_a_crowd_explains_is_undecided_and_says_so() -> None:
    words = [row for seed in range(5) for row in crowd(seed, 60) if row["reason"]]
    assert words and {row["finding"] for row in words} == {"undecided"}
    for row in words:
        low, high = row["ci"]
        word = "faster" if low > 1 else "slower"
        assert low > 1.01 or high < 0.99
        assert row["reason"] == f"{word} by itself, but not among 60 comparisons"


def test_p_values_need_a_launch_and_name_the_direction() -> None:
    slower = compare(two_variants(ratio=2.0).build())
    for row in slower.values():
        assert row["p_slower"] < 0.01 and row["p_faster"] > 0.99, row["metric"]
    made = two_variants()
    made.records.clear()
    assert {row["p_slower"] for row in compare(made.build()).values()} == {None}
