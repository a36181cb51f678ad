"""Verdicts: pass, fail, inconclusive, and never a pass without evidence."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation_builder import detectors, segmenters, two_classes
from hypothesis import given
from hypothesis import strategies as st
from run_builder import RunBuilder, cell, cell_launch, every_scenario, realistic

from agents import wire
from reports.document import build
from reports.estimate import Estimate
from reports.gates import METRICS, Limit, judge, limits, overall
from reports.run import Run

MAX = Limit("latency_p50_ms", "max", 10.0)
MIN = Limit("throughput_ips", "min", 10.0)


@pytest.mark.parametrize(
    ("interval", "at_most", "at_least"),
    [
        ((8.0, 9.0), "pass", "fail"),
        ((8.0, 10.0), "pass", "inconclusive"),
        ((9.0, 11.0), "inconclusive", "inconclusive"),
        ((10.0, 11.0), "inconclusive", "pass"),
        ((11.0, 12.0), "fail", "pass"),
    ],
)
def test_the_whole_interval_decides(
    interval: tuple[float, float], at_most: str, at_least: str
) -> None:
    estimate = Estimate(sum(interval) / 2, interval)
    assert judge(estimate, MAX)[0] == at_most
    assert judge(estimate, MIN)[0] == at_least


def test_a_noisy_metric_never_passes_without_an_interval() -> None:
    outcome, reason = judge(Estimate(1.0, None, "1 launch; an interval needs 2"), MAX)
    assert outcome == "inconclusive" and "an interval needs 2" in reason


def test_a_size_needs_no_interval() -> None:
    assert judge(Estimate(10.0), MAX, noisy=False)[0] == "pass"
    assert judge(Estimate(10.1), MAX, noisy=False)[0] == "fail"


@pytest.mark.parametrize("noisy", [True, False])
def test_a_null_is_inconclusive_with_its_own_reason(noisy: bool) -> None:
    missing = Estimate.missing("20 samples; p95 needs 72")
    assert judge(missing, MAX, noisy) == ("inconclusive", "20 samples; p95 needs 72")


@given(st.floats(0.1, 100), st.floats(0, 1), st.floats(0.01, 10))
def test_moving_a_limit_never_turns_pass_into_fail_at_once(
    value: float, spread: float, limit: float
) -> None:
    estimate = Estimate(value, (value * (1 - spread), value * (1 + spread)))
    rank = {"fail": 0, "inconclusive": 1, "pass": 2}
    tight = judge(estimate, Limit("latency_p50_ms", "max", limit))[0]
    loose = judge(estimate, Limit("latency_p50_ms", "max", limit * 2))[0]
    assert rank[tight] <= rank[loose]
    opposite = judge(estimate, Limit("throughput_ips", "min", limit))[0]
    assert {tight, opposite} != {"fail"}


def test_every_gate_bound_becomes_a_limit() -> None:
    found = limits([{"metric": "load_ms", "max": 3, "min": None}, {"metric": "sparsity", "min": 0}])
    assert [str(limit) for limit in found] == ["load_ms <= 3", "sparsity >= 0"]
    [only] = limits([{"metric": "load_ms", "max": 3, "scenario": "offline"}])
    assert str(only) == "load_ms <= 3 in offline"


def test_overall_is_the_worst() -> None:
    def of(*words: str) -> str:
        return overall([{"verdict": word} for word in words])

    assert of() == "pass"
    assert of("pass", "pass") == "pass"
    assert of("pass", "inconclusive") == "inconclusive"
    assert of("inconclusive", "fail", "pass") == "fail"


def judged(run: Any) -> list[dict[str, Any]]:
    return list(build(run)["verdicts"])


def measuring(name: str) -> Run:
    """A run in which every cell that can be measured has a metric."""
    if name.startswith("accuracy_map50"):
        return detectors().build()
    if name.startswith("accuracy_miou"):
        return segmenters().build()
    if name.startswith(("accuracy_auc", "calibration")):
        return two_classes().build()
    usual = wire.SINGLE_STREAM in METRICS[name].scenarios
    return realistic(batches=(1,)) if usual else every_scenario().build()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_judged_on_a_real_row(name: str) -> None:
    run = measuring(name)
    run.study["gates"] = [{"metric": name, "max": 1e12}]  # type: ignore[index]
    found = judged(run)
    good = [v for v in found if v["runtime"] != "litert"]
    assert good and {v["verdict"] for v in good} == {"pass"}
    assert all(v["value"] is not None for v in good)
    assert all((v["ci"] is not None) == METRICS[name].noisy for v in good)


def test_the_baseline_is_not_held_against_itself() -> None:
    run = realistic(batches=(1,))
    run.study["gates"] = [  # type: ignore[index]
        {"metric": "latency_p50_ratio", "max": 1},
        {"metric": "accuracy_top1_drop", "max": 1},
        {"metric": "latency_p50_ms", "max": 1e9},
    ]
    found = judged(run)
    assert {v["metric"] for v in found if v["variant"] == "dense"} == {"latency_p50_ms"}


def test_a_cell_without_a_result_is_inconclusive_even_for_its_file_size() -> None:
    run = realistic(batches=(1,))
    run.study["gates"] = [{"metric": "file_mib", "max": 1e9}]  # type: ignore[index]
    [lost] = [v for v in judged(run) if v["runtime"] == "litert"]
    assert lost["verdict"] == "inconclusive"
    assert lost["reason"] == "unsupported: no tflite file of this variant"


def test_a_gate_that_finds_nothing_to_judge_is_inconclusive() -> None:
    made = RunBuilder()
    made.study["gates"] = [{"metric": "latency_p50_ratio", "max": 1}]
    made.add_cell(cell("dense"))
    made.add_group("g", {cell("dense")["id"]: 1.0})
    [only] = judged(made.build())
    assert only["verdict"] == "inconclusive" and only["device"] == "pi5"


@pytest.mark.parametrize(
    ("gate", "asked"),
    [
        (
            {"metric": "latency_p50_ms"},
            ["single-stream", "multi-stream", "cold-start", "sustained"],
        ),
        ({"metric": "latency_p50_ms", "scenario": "cold-start"}, ["cold-start"]),
        ({"metric": "throughput_ips", "scenario": "offline"}, ["offline"]),
        ({"metric": "server_rate_ips"}, ["server"]),
        ({"metric": "peak_rss_mib"}, list(wire.SCENARIOS)),
        ({"metric": "throughput_ips", "scenario": "server"}, [None]),
    ],
)
def test_a_gate_is_asked_only_where_its_metric_is_measured(
    gate: dict[str, Any], asked: list[str | None]
) -> None:
    made = every_scenario(launches=1)
    made.study["gates"] = [gate | {"max": 1e9}]
    found = judged(made.build())
    assert list(dict.fromkeys(verdict["scenario"] for verdict in found)) == asked


@pytest.mark.parametrize(("least", "word"), [(190, "pass"), (210, "fail")])
def test_the_rate_that_a_server_holds_can_be_a_gate(least: float, word: str) -> None:
    made = every_scenario(launches=3)
    made.study["gates"] = [{"metric": "server_rate_ips", "min": least}]
    verdicts = {row["variant"]: row["verdict"] for row in judged(made.build())}
    assert verdicts == {"dense": word, "int8": "pass"}


def test_one_launch_is_inconclusive() -> None:
    made = RunBuilder(launches=1)
    made.study["gates"] = [{"metric": "latency_p50_ms", "max": 1000}]
    made.add_cell(cell("dense"))
    made.add_group("g", {cell("dense")["id"]: 1.0})
    [only] = judged(made.build())
    assert only["verdict"] == "inconclusive"


def test_verdicts_flip_with_the_model() -> None:
    words = {}
    for name, ms in {"quick": 2.0, "slow": 4.0, "close": 3.0}.items():
        made = RunBuilder(launches=7)
        made.study["gates"] = [{"metric": "latency_p50_ms", "max": 3.0}]
        made.add_cell(cell("dense"))
        made.add_group("g", {cell("dense")["id"]: ms})
        [only] = judged(made.build())
        words[name] = only["verdict"]
    assert words == {"quick": "pass", "slow": "fail", "close": "inconclusive"}


def test_a_failed_launch_among_good_ones_does_not_hide_the_rest() -> None:
    made = RunBuilder(launches=7)
    made.study["gates"] = [{"metric": "latency_p50_ms", "max": 3.0}]
    made.add_cell(cell("dense"))
    made.add_group("g", {cell("dense")["id"]: 1.0})
    made.add_launch("g", 7, cell_launch(cell("dense")["id"], [], status="failed", reason="oom"))
    [only] = judged(made.build())
    assert only["verdict"] == "pass"
