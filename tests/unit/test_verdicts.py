"""Verdicts of a whole run: sequential, corrected for their number, and open until decided."""

from __future__ import annotations

from typing import Any

import pytest

from reports.document import build
from reports.sequential import STANDARD
from reports.verdicts import is_decided
from tests.unit.run_builder import SCENARIOS, RunBuilder, cell, every_scenario

SLOW = cell("slow")
DENSE = cell("dense")


def study(gates: list[dict[str, Any]], effort: str = "standard") -> dict[str, Any]:
    return {"name": "s", "baseline": "dense", "gates": gates, "measure": {"effort": effort}}


def run(slowdown: float, launches: int, gates: list[dict[str, Any]], drift: float = 0.05) -> Any:
    """A group of the baseline and one variant that is slower by a factor."""
    made = RunBuilder(launches=launches, drift=drift, study=study(gates))
    made.add_cell(DENSE)
    made.add_cell(SLOW)
    made.add_group("g", {DENSE["id"]: 2.0, SLOW["id"]: 2.0 * slowdown})
    return made.build()


RATIO = {"metric": "latency_p50_ratio", "max": 1.03}


@pytest.mark.parametrize(("slowdown", "word"), [(1.0, "pass"), (1.2, "fail"), (0.5, "pass")])
def test_a_clear_ratio_is_decided_at_the_first_look(slowdown: float, word: str) -> None:
    made = run(slowdown, STANDARD[0] + 1, [RATIO])
    assert is_decided(made, "pi5", "g")
    [verdict] = build(made)["verdicts"]
    assert verdict["verdict"] == word
    assert f"{STANDARD[0]} launches" in verdict["reason"]


def test_before_the_first_look_nothing_is_decided() -> None:
    made = run(1.5, STANDARD[0] - 1, [RATIO])
    assert not is_decided(made, "pi5", "g")
    [verdict] = build(made)["verdicts"]
    assert verdict["verdict"] == "inconclusive"


def test_without_a_latency_gate_nothing_ends_early() -> None:
    assert not is_decided(run(1.5, 20, []), "pi5", "g")
    memory = [{"metric": "peak_rss_mib", "max": 1}]
    assert not is_decided(run(1.5, 20, memory), "pi5", "g")


def test_one_open_gate_keeps_the_group_going() -> None:
    amid_the_noise = {"metric": "latency_p50_ms", "max": 2.0}
    assert not is_decided(run(1.0, 10, [RATIO, amid_the_noise]), "pi5", "g")


def test_a_verdict_shows_what_it_rests_on() -> None:
    [verdict] = build(run(1.2, 20, [RATIO]))["verdicts"]
    low, high = verdict["ci"]
    assert low < verdict["value"] < high
    assert 1.15 < verdict["value"] < 1.25


def test_an_inconclusive_gate_says_what_would_decide() -> None:
    made = run(1.0, 20, [{"metric": "latency_p50_ms", "max": 2.0}])
    words = {row["variant"]: row for row in build(made)["verdicts"]}
    assert words["dense"]["verdict"] == "inconclusive"
    prescription = words["dense"]["prescription"]
    assert "this sample could see a change of" in prescription
    assert words["dense"]["reason"].endswith(prescription)


def test_other_groups_do_not_decide_for_this_one() -> None:
    made = run(1.2, 10, [RATIO])
    assert not is_decided(made, "pi5", "another")
    assert not is_decided(made, "nuc", "g")


def test_throughput_is_decided_at_looks_too() -> None:
    for gate, word in (
        ({"metric": "throughput_ips", "min": 300}, "pass"),
        ({"metric": "throughput_ips", "min": 900}, "fail"),
        ({"metric": "throughput_ratio", "min": 0.97}, "fail"),
        ({"metric": "throughput_ratio", "min": 0.5}, "pass"),
    ):
        made = run(1.2, STANDARD[0], [gate], drift=0.01)
        assert is_decided(made, "pi5", "g")
        found = {row["variant"]: row for row in build(made)["verdicts"]}
        assert found["slow"]["verdict"] == word, gate
        assert f"{STANDARD[0]} launches" in found["slow"]["reason"]


def test_groups_of_runtimes_take_all_their_launches_and_judge_nothing() -> None:
    made = every_scenario(launches=7)
    made.study = study([{"metric": "latency_p50_ms", "max": 10}], "quick") | {
        "scenarios": SCENARIOS
    }
    assert is_decided(made.build(), "pi5", "variant/single-stream")
    assert not is_decided(made.build(), "pi5", "runtime/dense")
    found = build(made.build())["verdicts"]
    single = [row for row in found if row["scenario"] == "single-stream"]
    assert {row["verdict"] for row in single} == {"pass"}  # though 40 ms in the group of runtimes


def test_a_sustained_load_is_judged_by_its_interval() -> None:
    made = every_scenario(launches=3)
    made.study |= {"gates": [{"metric": "latency_p50_ms", "max": 10, "scenario": "sustained"}]}
    assert not is_decided(made.build(), "pi5", "variant/sustained")
    assert {row["verdict"] for row in build(made.build())["verdicts"]} == {"pass"}


def test_a_ratio_is_not_asked_of_what_the_release_took_the_place_of() -> None:
    candidate, released = cell("candidate"), cell("released")
    document = study([RATIO]) | {"baseline": "released"}
    document["variants"] = {"released": {"from": "dense"}, "dense": {}, "candidate": {}}
    made = RunBuilder(launches=STANDARD[0] + 1, study=document)
    for each in (released, DENSE, candidate):
        made.add_cell(each)
    made.add_group("g", {released["id"]: 2.0, DENSE["id"]: 4.0, candidate["id"]: 2.0})
    [verdict] = build(made.build())["verdicts"]
    assert (verdict["variant"], verdict["verdict"]) == ("candidate", "pass")
