"""What a self-test says: rates with exact bounds, what differs since, how reports tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from reports.document import build
from reports.run import Run, Selftest
from reports.sections import trust
from reports.selftest import bounds, breaks_promise, chance, sentences, summary
from tests.unit.selftest_builder import selftest, trial
from tests.unit.session_builder import FACTS, session


def kinds(found: Selftest) -> dict[str, Any]:
    return {row["kind"]: row for row in summary(found)["kinds"]}


@pytest.mark.parametrize(("count", "total"), [(0, 20), (1, 20), (7, 9), (20, 20), (3, 200)])
def test_bounds_are_those_of_clopper_and_pearson(count: int, total: int) -> None:
    low, high = bounds(count, total)
    for alternative, end in (("greater", low), ("less", high)):
        interval = stats.binomtest(count, total, alternative=alternative).proportion_ci(0.95)
        wanted = interval.low if alternative == "greater" else interval.high
        assert end == pytest.approx(wanted, abs=1e-9)
    assert chance(count, total, 0.01) == pytest.approx(
        stats.binomtest(count, total, 0.01, alternative="greater").pvalue
    )


def test_twenty_right_gates_leave_14_percent_possible() -> None:
    row = kinds(selftest())["same"]
    assert (row["gates"], row["fail"], row["wrong"]) == (20, 0, "fail")
    assert row["wrong_at_most"] == pytest.approx(1 - 0.05 ** (1 / 20))
    assert row["mean_seconds"] == 12.0
    told = " ".join(sentences(summary(selftest())))
    at_most = "at most 13.9%, with 95% confidence"
    assert f"20 gates on identical models gave 0 false failures ({at_most})." in told
    at_least = "at least 74.1%, with 95% confidence"
    assert f"10 rightly failed ({at_least}) and 0 wrongly passed (at most 25.9%)." in told


def test_a_slower_network_is_told_with_its_own_slowdown() -> None:
    row = kinds(selftest())["slow3"]
    low, high = row["slowdown_ci"]
    assert low < row["slowdown"] < high
    assert row["slowdown"] == pytest.approx(0.03, abs=0.003)
    assert (row["target"], row["layers"], row["slowdown_launches"]) == (0.03, 12, 14)
    assert (row["right"], row["right_share"], row["wrong"]) == ("fail", 1.0, "pass")


def test_a_pass_is_wrong_only_where_the_network_is_surely_too_slow() -> None:
    found = selftest({"slow3": ["pass", "fail"]}, slower={"slow3": 0.019, "slow5": 0.05})
    row = kinds(found)["slow3"]
    assert row["wrong"] is row["wrong_at_most"] is row["p_value"] is None
    assert row["reason"] == "it is not sure to be slower than 2.0%, up to which it may pass"
    assert row["reason"] in " ".join(sentences(summary(found)))
    assert breaks_promise(summary(found)) == []


@pytest.mark.parametrize(("false_failures", "broken"), [(0, []), (1, []), (2, []), (3, ["same"])])
def test_an_error_above_the_promise_must_be_proven(false_failures: int, broken: list[str]) -> None:
    said = {"same": ["fail"] * false_failures + ["pass"] * (20 - false_failures)}
    row = summary(selftest(said | {"slow5": ["fail"] * 10}))
    assert breaks_promise(row) == broken
    words = "More than the promised 1.0% of gates on identical models are proven to be wrong."
    assert (words in list(sentences(row))) is bool(broken)


def test_what_could_not_be_decided_is_no_error_and_is_told() -> None:
    found = selftest({"same": ["pass", "inconclusive", "inconclusive"]})
    row = kinds(found)["same"]
    assert (row["pass"], row["inconclusive"], row["wrong_share"]) == (1, 2, 0.0)
    assert "2 could not be decided" in " ".join(sentences(summary(found)))
    assert kinds(found)["slow3"]["reason"] == "no gate of this kind was decided"


def with_selftest(run: Run, found: Selftest) -> dict[str, Any]:
    device = build(replace(run, selftests=[found]))["devices"][0]
    shown: dict[str, Any] = device["selftest"]
    return shown


def here(**changes: Any) -> Selftest:
    """A self-test of the very board of `session`, in its state."""
    board = replace(session().devices[0], facts=FACTS)
    state = {"device": board, "runtime_version": "1.31", "effort": "quick"}
    return selftest(**({"started": "2026-01-01T08:00:00+00:00"} | state | changes))


def test_nothing_differs_on_a_board_in_the_same_state() -> None:
    shown = with_selftest(session(5), here())
    assert (shown["differences"], shown["same_board"], shown["compared"]) == ([], True, True)
    assert (shown["days_apart"], shown["before_run"]) == (4, True)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"facts": {"agent_sha256": "b" * 64}}, "edgeproof's agent"),
        ({"facts": {"kernel": "6.12.1"}}, "kernel"),
        ({"facts": {"clocks": {**FACTS["clocks"], "scaling_governor": "x"}}}, "clock governor"),
        ({"facts": {"identity": {"serial": "other", "machine_id": "m"}, "boot_id": "2"}}, "board"),
        ({"version": "1.32"}, "runtime"),
        ({"runtimes": ("openvino",)}, "runtime"),
    ],
)
def test_what_differs_since_is_told(changes: dict[str, Any], fact: str) -> None:
    shown = with_selftest(session(5, **changes), here())
    assert [each["fact"] for each in shown["differences"]] == [fact]
    assert shown["same_board"] is (fact != "board")


def test_another_effort_is_other_looks() -> None:
    [difference] = with_selftest(session(5), here(effort="standard"))["differences"]
    assert difference == {"fact": "effort", "selftest": "standard", "run": "quick"}


def test_a_device_that_was_not_reached_is_not_compared() -> None:
    run = session(5)
    lost = replace(run, devices=[replace(run.devices[0], facts={})], launches=[])
    shown = with_selftest(lost, here())
    assert (shown["compared"], shown["same_board"], shown["differences"]) == (False, None, [])


def told(run: Run, *found: Selftest) -> list[str]:
    section = trust.section(build(replace(run, selftests=found)))
    assert len(section.tables) == len(found)
    assert section.points[0][0] == "pi5"
    return [text for _, text in section.points]


def test_the_report_tells_rates_age_and_differences() -> None:
    rates, since = told(session(5, facts={"kernel": "6.12.1"}), here())
    assert rates.startswith("self-tested 2026-01-01, 4 days before this run (gates of max 1.01")
    assert "0 false failures (at most 13.9%, with 95% confidence)" in rates
    assert since == "kernel 6.6.31, now 6.12.1."
    rates, since = told(session(5), here(started="2026-01-09T10:00:00+00:00"))
    assert "4 days after this run" in rates
    assert since == "the same board, agent, governor, kernel and runtime."


def test_another_board_of_the_same_name_is_told_first() -> None:
    other = {"identity": {"serial": "other", "machine_id": "m"}, "boot_id": "2"}
    text = told(session(5, facts=other), here())[0]
    assert text.index("But that was another board, of the same name:") < text.index("20 gates")


def test_a_device_without_a_selftest_names_the_command() -> None:
    assert told(session()) == ["never self-tested: edgeproof selftest --device pi5"]


def test_an_interrupted_selftest_without_slower_gates_has_a_table() -> None:
    found = here(finished=None, trials=[trial("same", "pass")])
    [table] = trust.section(build(replace(session(), selftests=[found]))).tables
    assert [row[0] for row in table.rows] == ["identical", "12 layers more", "20 layers more"]
    assert [row[2] for row in table.rows] == ["1", "0", "0"]
