"""Verdicts of a whole run: sequential, corrected for their number, and open until decided."""

from __future__ import annotations

from typing import Any

import pytest

from reports.document import build
from reports.verdicts import is_decided
from tests.unit.run_builder import RunBuilder, cell

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
    made = run(slowdown, 10, [RATIO])
    assert is_decided(made, "pi5", "g")
    [verdict] = build(made)["verdicts"]
    assert verdict["verdict"] == word
    assert "10 launches" in verdict["reason"]


def test_before_the_first_look_nothing_is_decided() -> None:
    made = run(1.5, 9, [RATIO])
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
    assert "this sample could see a change of" in words["dense"]["reason"]


def test_other_groups_do_not_decide_for_this_one() -> None:
    made = run(1.2, 10, [RATIO])
    assert not is_decided(made, "pi5", "another")
    assert not is_decided(made, "nuc", "g")
