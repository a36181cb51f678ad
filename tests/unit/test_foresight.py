"""What is said before measuring: only what is sure, and with what it would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import wire
from harness.devices import Device
from harness.foresight import affordable, before
from harness.plan import plan
from harness.study import parse_study
from reports.run import CellRecord, DeviceRecord, GroupRecord, Run
from tests.unit.test_plan import artifact

P95 = {"metric": "latency_p95_ms", "max": 6}
P99 = {"metric": "latency_p99_ms", "max": 6}
RATIO = {"metric": "latency_p50_ratio", "max": 1.02}
ALONE = {"dense": {"model": "d.onnx"}}


def said(
    effort: str = "standard",
    budget: str = "10m",
    labels: list[int] | None = None,
    **changes: Any,
) -> list[str]:
    """What is said of a study of two variants in ONNX Runtime, unless changed."""
    document: dict[str, Any] = {
        "name": "test",
        "variants": {**ALONE, "small": {"model": {"onnx": "s.onnx", "tflite": "s.tflite"}}},
        "baseline": "dense",
        "runtimes": ["onnxruntime"],
        "measure": {"effort": effort, "budget": budget},
    }
    study = parse_study({**document, **changes}, Path())
    files = {
        (name, format): artifact(name, format)
        for name, variant in study.variants.items()
        for format in variant.model
    }
    planned = plan(study, Device(name="local", connection="local"), files)
    run = Run(
        id="test",
        study=study.document(),
        started="",
        finished=None,
        devices=[DeviceRecord("local", "generic", "running")],
        artifacts={},
        cells=[CellRecord("local", one.cell, one.status, one.reason) for one in planned.cells],
        groups=[GroupRecord("local", group) for group in planned.groups],
        launches=[],
        evaluations=[],
        labels=labels,
    )
    return before(run, study.measure.budget)


def test_a_p99_of_too_few_samples() -> None:
    assert said("quick", gates=[P99], variants=ALONE)[1:] == [
        "latency_p99_ms <= 6: p99 needs 100 samples a launch; this plan takes 90, unless an "
        "inference takes under 1.5 ms (effort quick): use effort: standard"
    ]
    assert said("standard", gates=[P99]) == []


def test_a_budget_that_a_network_of_5_ms_exceeds() -> None:
    # 9 launches of 2 cells before the last, each 50 + 20 x 10 inferences and at least 0.1 s.
    assert said(budget="10s", gates=[P99]) == [
        "latency_p99_ms <= 6: a budget of 10 s allows the 10 launches that it needs only if an "
        "inference takes under 2.2 ms"
    ]
    # However fast: 9 x 2 x (0.1 s + 20 x 15 ms).
    assert said(budget="7s", gates=[P99]) == [
        "latency_p99_ms <= 6: the last of the 10 launches that it needs begins after 7.2 s of "
        "measuring alone; the budget is 7 s"
    ]


def test_gates_that_share_the_error_need_more_launches() -> None:
    assert said("quick", gates=[P95]) == [
        "latency_p95_ms <= 6: among 2 gates it can pass but not fail: for that p95 needs 8 "
        "launches; its last look is at 7 (effort quick): use effort: standard"
    ]
    assert said("quick", gates=[P95], variants=ALONE)[1:] == []


def test_what_no_effort_can_decide() -> None:
    (line,) = said("quick", gates=[P95], scenarios=["cold-start"])
    assert line.endswith("this plan takes 4 (effort quick): no effort takes enough")


def test_long_scenarios_and_the_budget() -> None:
    slowed = {"metric": "sustained_ratio", "max": 1.1}
    load = {"name": "sustained", "minutes": 2}
    (line,) = said("quick", gates=[slowed], scenarios=[load])
    assert "an interval needs 2 launches; sustained takes 1" in line
    assert "use effort: standard" in line
    assert said(budget="4m1s", gates=[slowed], scenarios=[load]) == []
    (line,) = said(budget="4m", gates=[slowed], scenarios=[load])
    assert "the last of the 2 launches that it needs begins after 4 min" in line


def test_ratios_without_a_baseline() -> None:
    assert said(gates=[RATIO], variants=ALONE) == [
        "dense is the only variant, so there is nothing to compare it with; "
        "latency_p50_ratio cannot be judged"
    ]
    assert said(gates=[RATIO], runtimes=["onnxruntime", "litert"]) == [
        "no comparison with dense in litert: litert reads .tflite; dense has only .onnx; "
        "latency_p50_ratio cannot be judged"
    ]


def test_a_dataset_too_small_for_its_gates() -> None:
    drop = {"metric": "accuracy_top1_drop", "max": 0.01}
    assert said(gates=[drop], labels=[0, 1] * 100) == [
        "accuracy_top1_drop <= 0.01: with 200 samples a variant that answers every one like the "
        "baseline may still lose up to 1.88%, so it cannot pass; 381 samples can"
    ]
    assert said(gates=[drop], labels=[0, 1] * 200) == []
    assert said(gates=[drop]) == []
    # Of an area the smaller class counts.
    area = {"metric": "accuracy_auc_drop", "max": 0.01}
    (line,) = said(gates=[area], labels=[0] * 900 + [1] * 100)
    assert "with 100 samples" in line
    (line,) = said(gates=[{"metric": "accuracy_top1", "min": 0.99}], labels=[0, 1] * 100)
    assert "a model that is right in all of them is proven to reach only 98.12%" in line


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 5)), min_size=1, max_size=5),
    st.floats(0, 100),
)
def test_affordable_launches_come_round_by_round(
    asked: list[tuple[int, float]], budget_s: float
) -> None:
    """As the agent does it: a launch begins while budget is left, in the group that has fewest."""
    groups = [
        wire.Group(id=str(at), kind="variant", baseline=None, cells=["c"], launches=launches)
        for at, (launches, _) in enumerate(asked)
    ]
    seconds = {(str(at), 0): each for at, (_, each) in enumerate(asked)}
    first = sum(seconds.values())
    counts = affordable(groups, seconds, first, budget_s)
    spent, expected = first, {group["id"]: 1 for group in groups}
    for ordinal in range(1, 9):
        for group in groups:
            if ordinal < group["launches"] and spent < budget_s:
                expected[group["id"]] += 1
                spent += seconds[group["id"], 0]
    assert counts == expected


@pytest.mark.parametrize("spent_s", [0.0, 50.0])
def test_a_group_that_was_given_up_takes_no_launches(spent_s: float) -> None:
    group = wire.Group(id="g", kind="variant", baseline=None, cells=["c"], launches=20)
    assert affordable([group], {}, spent_s, 100.0) == {}
