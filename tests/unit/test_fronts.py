"""The Pareto fronts of a report: what is on them, how surely, and what is no axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from run_builder import RunBuilder, cell, realistic

from agents import wire
from harness.devices import load_profile, prices
from reports.document import build
from reports.fronts import NO_PRICE, SAME_PRICE
from reports.layout import Section
from reports.sections import front as front_section
from reports.selection.pareto import chances, front

PRICE = {"value": 80.0, "of": "board with 8 GiB", "as_of": "2023-10"}


def study(times: dict[str, float], right: dict[str, float], **launches: Any) -> RunBuilder:
    made = RunBuilder(launches=launches.pop("launches", 8), drift=0.01)
    for variant in times:
        made.add_cell(cell(variant))
        made.add_artifact(variant, 1000)
        if variant in right:
            made.add_evaluation(cell(variant), right[variant])
    made.add_group("g", {cell(variant)["id"]: ms for variant, ms in times.items()}, **launches)
    return made


def points(document: dict[str, Any], at: int = 0) -> dict[str, dict[str, Any]]:
    return {point["variant"]: point for point in document["fronts"][at]["points"]}


def section(document: dict[str, Any]) -> Section:
    return front_section.section(document)


def test_a_front_for_each_batch_over_variants_and_runtimes() -> None:
    found = build(realistic())["fronts"]
    assert [(each["device"], each["batch"], len(each["points"])) for each in found] == [
        ("pi5", 1, 8),
        ("pi5", 8, 8),
    ]
    assert found[0]["axes"] == ["latency_p50_ms", "accuracy_top1", "peak_rss_mib"]


def test_what_another_beats_in_all_is_behind_it_and_rarely_on_it() -> None:
    right = {"dense": 0.95, "int8": 0.94, "pruned": 0.50}
    document = build(study({"dense": 4.0, "int8": 1.0, "pruned": 4.4}, right).build())
    found = points(document)
    assert [found[name]["on_front"] for name in right] == [True, True, False]
    assert found["int8"]["p_front"] > 0.99 and found["pruned"]["p_front"] < 0.01
    assert 0.1 < found["dense"]["p_front"] < 1, "its accuracy is not told apart from int8's"
    told = section(document)
    [chart] = told.charts
    [drawn] = chart.draw()["datasets"].values()
    filled = {point["kind"] for point in drawn if point["front"] == "on the front"}
    assert filled == {"dense", "int8"}
    assert all(p["x_low"] < p["x"] < p["x_high"] and p["y_low"] < p["y"] for p in drawn)
    assert [row[2] for row in told.tables[0].rows] == ["yes", "yes", "no"]


def test_without_a_dataset_it_is_time_against_memory() -> None:
    document = build(study({"dense": 4.0, "int8": 1.0}, {}).build())
    [found] = document["fronts"]
    assert found["axes"] == ["latency_p50_ms", "peak_rss_mib"]
    assert set(found["no_axis"]) == {"accuracy_top1", "energy_mj", "price_usd"}
    assert "peak memory against p50" in section(document).charts[0].caption


def test_energy_and_price_are_null_with_a_reason_or_as_the_profile_says() -> None:
    run = study({"dense": 4.0, "int8": 1.0}, {}).build()
    [found] = build(run)["fronts"]
    assert found["no_axis"]["energy_mj"] == "no power sensor was read"
    assert found["no_axis"]["price_usd"] == SAME_PRICE
    assert found["price_usd"] == {"value": None, "reason": NO_PRICE}
    priced = build(run, {"pi5": PRICE})
    assert priced["fronts"][0]["price_usd"] == PRICE
    assert "80.0 USD for the board with 8 GiB, 2023-10" in " ".join(section(priced).words)


def test_the_price_of_a_device_is_its_profiles() -> None:
    run = realistic(launches=1, batches=(1,))
    [price] = prices(run).values()
    assert price == {key: getattr(load_profile("raspberry-pi-5").price_usd, key) for key in price}
    unknown = replace(run, devices=[replace(run.devices[0], profile="of-another-lab")])
    assert prices(unknown) == {}


def test_one_launch_gives_a_front_but_no_probability() -> None:
    document = build(study({"dense": 4.0, "int8": 1.0}, {}, launches=1).build())
    found = points(document)
    assert found["int8"]["on_front"] is True and found["int8"]["p_front"] is None
    assert "no interval" in found["int8"]["reason"]
    assert "P not known" in section(document).points[0][1]


def test_what_lacks_a_value_is_nowhere_and_says_why() -> None:
    document = build(study({"dense": 4.0, "int8": 1.0}, {"dense": 0.9}).build())
    lost = points(document)["int8"]
    assert lost["on_front"] is None and lost["p_front"] is None
    assert lost["reason"].startswith("accuracy_top1: ")
    assert points(document)["dense"]["on_front"] is True
    assert not section(document).charts, "one point is no picture"


def test_runtimes_are_held_by_the_clock_around_the_call() -> None:
    """A runtime that times itself does not win by what its own clock leaves out."""
    made = RunBuilder(launches=8, drift=0.01)
    overheads = {"onnxruntime": None, "openvino": 500_000}
    for runtime, overhead in overheads.items():
        made.add_cell(cell("dense", runtime))
        made.add_group(runtime, {cell("dense", runtime)["id"]: 1.0}, call_overhead_ns=overhead)
    document = build(made.build())
    own, other = document["fronts"][0]["points"]
    gained = other["values"]["latency_p50_ms"]["value"] - own["values"]["latency_p50_ms"]["value"]
    assert gained == pytest.approx(0.5, abs=0.1)
    assert (own["on_front"], other["on_front"]) == (True, False)
    assert other["p_front"] == 0


def test_of_several_scenarios_it_is_of_the_first_with_a_time() -> None:
    made = RunBuilder(launches=4)
    for scenario in (wire.OFFLINE, wire.COLD_START, wire.SINGLE_STREAM):
        made.study.setdefault("scenarios", []).append(
            {"name": scenario, "streams": 2, "requests": 4}
        )
        for variant in ("dense", "int8"):
            made.add_cell(cell(variant, scenario=scenario))
        ids = [cell(variant, scenario=scenario)["id"] for variant in ("dense", "int8")]
        made.add_group(scenario, {ids[0]: 2.0, ids[1]: 1.0})
    assert [each["scenario"] for each in build(made.build())["fronts"]] == [wire.SINGLE_STREAM]


def test_a_recommendation_behind_the_front_is_explained() -> None:
    made = study({"dense": 4.0, "same": 3.97}, {"dense": 0.9, "same": 0.91})
    made.study["targets"] = [{"metric": "accuracy_top1", "min": 0.5}]
    made.study["variants"] = {"dense": {}, "same": {"from": "dense"}}
    made.add_artifact("dense", 500)
    document = build(made.build())
    [shipped] = [row["variant"] for row in document["recommendations"]]
    behind = [point for point in document["fronts"][0]["points"] if point["variant"] == shipped]
    told = [text for _, text in section(document).points if "is recommended though" in text]
    assert bool(told) == (behind[0]["on_front"] is False)
    assert shipped == "dense" and told, "the smaller file of two that are not told apart"


def test_no_front_is_said() -> None:
    assert not build(RunBuilder().build())["fronts"]
    told = section(build(RunBuilder().build()))
    assert "there is no front" in told.words[0] and not told.charts


@pytest.mark.parametrize("seed", range(3))
def test_chances_are_those_of_a_front_in_each_draw(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, 4, (3, 7, 50)).astype(float)
    draws[1, 2, :10] = np.nan
    able = rng.random((7, 50)) > 0.2
    one_by_one = np.zeros(7)
    for at in range(50):
        here = np.flatnonzero(able[:, at])
        one_by_one[here] += front(draws[:, here, at].T)
    assert chances(draws, able) == pytest.approx(one_by_one / 50)
