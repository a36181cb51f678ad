"""Selection from whole runs: what is said of boards that never existed, at prices made up."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from selection_builder import BOARDS, PRICES, session

from reports.forms import to_html, to_markdown, to_terminal
from reports.gates import METRICS, Limit
from reports.run import Run
from reports.selection import page
from reports.selection.candidates import Session
from reports.selection.document import build
from reports.selection.wanted import ENERGY, HIGHER, NAMES, PRICE, WATTS, Declared, Wanted

QUICK = settings(max_examples=20, deadline=None)
DRAWS = 400
OWN = {name: name for name in BOARDS}
DECLARED = {name: Declared(price, "made up") for name, price in PRICES.items()}


@pytest.fixture(scope="module")
def one() -> Session:
    """Three boards, eight launches of one session."""
    return Session.of(session())


@pytest.fixture(scope="module")
def four() -> list[Session]:
    """The same boards in four sessions that differ by 3%."""
    return [
        Session.of(session(f"kws-{at}", seed=20 + at, launches=3, between=0.03)) for at in range(4)
    ]


def wanted(*limits: tuple[str, str, float], **changes: Any) -> Wanted:
    whole: dict[str, Any] = {
        "limits": [Limit(*each) for each in limits],  # type: ignore[arg-type]
        "objective": {"latency_p95_ms": 1.0},
        "prices": {"always": DECLARED},
    }
    return Wanted(**whole | changes)


def row(document: Any, hardware: str, variant: str) -> Any:
    return next(
        each
        for each in document["candidates"]
        if (each["hardware"], each["variant"]) == (hardware, variant)
    )


def test_the_fastest_within_the_price_is_chosen(one: Session) -> None:
    asked = wanted(("latency_p95_ms", "max", 33), ("price_usd", "max", 150))
    found = build([one], OWN, asked)
    assert found["outcome"] == "chosen"
    assert (found["choice"]["hardware"], found["choice"]["variant"]) == ("pi5", "int8")
    assert row(found, "pi5", "dense")["feasible"] == "no"
    assert row(found, "nuc", "int8")["p_feasible"] == 0
    assert (found["choice"]["level"], found["choice"]["units"]) == ("launch", 8)


def test_its_values_are_those_of_the_report(one: Session) -> None:
    found = build([one], OWN, wanted(("peak_rss_mib", "max", 350)))
    for each in one.rows:
        told = row(found, each["device"], each["variant"])["values"]["latency_p95_ms"]
        assert told["value"] == each["latency_ms"]["p95"]
        assert told["ci"] == each["latency_ms"]["ci"]["p95"]


def timed_by_itself(run: Run, runtime: str, overhead_ns: int) -> Run:
    """The run where a runtime's samples are by its own clock, without what a call adds."""
    of = {each.cell["id"]: each.cell["runtime"] for each in run.cells}

    def native(record: Any) -> Any:
        if of[record.launch["cell"]] != runtime:
            return record
        blocks = [[ns - overhead_ns for ns in block] for block in record.launch["blocks"]]
        launch = {**record.launch, "blocks": blocks, "call_overhead_ns": overhead_ns}
        return replace(record, launch=launch)

    return replace(run, launches=[native(record) for record in run.launches])


def test_runtimes_are_told_apart_by_the_clock_around_the_call() -> None:
    """A runtime that times itself leaves out what its call costs; a user waits for that too."""
    board = {"nuc": BOARDS["nuc"]}
    run = session(boards=board, runtimes=("onnxruntime", "openvino"), variants=("dense", "int8"))
    asked = wanted(
        ("latency_p95_ms", "max", 33.0),
        ("throughput_ips", "min", 1.0),
        ("latency_p50_ratio", "max", 2.0),
    )
    whole = build([Session.of(run)], {"nuc": "nuc"}, asked, DRAWS)
    native = Session.of(timed_by_itself(run, "openvino", 2_000_000))
    found = build([native], {"nuc": "nuc"}, asked, DRAWS)
    for one, other in zip(whole["candidates"], found["candidates"], strict=True):
        for metric in ("latency_p95_ms", "throughput_ips"):
            assert other["values"][metric]["value"] == pytest.approx(one["values"][metric]["value"])
            assert other["values"][metric]["ci"] == pytest.approx(one["values"][metric]["ci"])
        assert other["p_best"] == pytest.approx(one["p_best"])
    ratios = {
        row["runtime"]: row["values"]["latency_p50_ratio"]["value"]
        for row in found["candidates"]
        if row["variant"] == "int8"
    }
    assert ratios["openvino"] < 0.25 < 0.38 < ratios["onnxruntime"], "of one runtime by its own"
    told = " ".join(dict(page.sections(found))["method"].words)
    assert "clock around the call" in told


def test_several_sessions_are_the_units_of_one_board(four: list[Session]) -> None:
    found = build(four, OWN, wanted())
    assert {each["level"] for each in found["candidates"]} == {"session"}
    assert {each["units"] for each in found["candidates"]} == {4}
    told = page.sections(found)[0][1].words
    assert any("about this board (nuc), not about its kind" in words for words in told)


def test_several_boards_of_a_kind_are_units_before_sessions() -> None:
    boards = {f"pi5-{at}": (40.0 + at, "raspberry-pi-5") for at in range(3)}
    sessions = [Session.of(session(f"kws-{at}", seed=at, boards=boards)) for at in range(2)]
    found = build(sessions, dict.fromkeys(boards, "raspberry-pi-5"), wanted())
    assert found["choice"]["level"] == "board"
    assert found["choice"]["units"] == 3
    assert found["choice"]["devices"] == sorted(boards)
    assert "this kind of board" in " ".join(page.sections(found)[0][1].words)


def test_a_board_on_which_it_failed_is_no_unit_and_a_caution() -> None:
    boards = {f"pi5-{at}": (40.0, "raspberry-pi-5") for at in range(3)}
    run = session(boards=boards, variants=("dense", "int8"))
    cells = [
        replace(each, status="failed", reason="out of memory")
        if (each.device, each.cell["variant"]) == ("pi5-2", "int8")
        else each
        for each in run.cells
    ]
    launches = [
        each
        for each in run.launches
        if (each.device, each.launch["cell"].split("/")[0]) != ("pi5-2", "int8")
    ]
    broken = Session.of(replace(run, cells=cells, launches=launches))
    found = build([broken], dict.fromkeys(boards, "raspberry-pi-5"), wanted())
    told = row(found, "raspberry-pi-5", "int8")
    assert told["devices"] == ["pi5-0", "pi5-1"]
    assert told["cautions"] == ["ran on 2 of 3 boards: pi5-0, pi5-1"]
    assert [each["reason"] for each in found["left_out"]] == ["failed: out of memory"]


def test_one_launch_is_never_sure_and_says_what_it_takes() -> None:
    found = build([Session.of(session(launches=1))], OWN, wanted(("latency_p95_ms", "max", 1000)))
    assert found["outcome"] == "unknown"
    for each in found["candidates"]:
        assert each["p_feasible"] is None
        assert each["feasible"] == "undecided"
        assert "interval" in each["limits"][0]["reason"]
    assert found["next"][0]["others"] == len(found["candidates"]) - 1


def test_an_objective_without_an_interval_is_what_to_measure_next() -> None:
    asked = wanted(("accuracy_top1_drop", "max", 0.03), objective={"throughput_ips": 1.0})
    found = build([Session.of(session(launches=1))], OWN, asked)
    assert found["outcome"] == "unknown"
    assert found["next"][0]["action"].startswith("measure throughput_ips: no interval")


def test_what_was_not_measured_is_null_with_a_reason(one: Session) -> None:
    asked = wanted((ENERGY, "max", 20), ("latency_p95_ms", "max", 30))
    found = build([one], OWN, asked)
    told = row(found, "orin", "int8")
    assert told["values"][ENERGY] == {
        "value": None,
        "ci": None,
        "reason": "no power sensor was read",
    }
    assert told["p_feasible"] is None
    assert told["p_feasible_at_most"] == 1
    assert row(found, "pi5", "dense")["p_feasible"] == 0  # its latency alone rules it out
    assert found["outcome"] == "provisional"
    assert found["next"][0]["action"] == "measure energy_mj: no power sensor was read"


def test_an_upper_limit_of_watts_proves_that_it_fits_but_never_that_it_does_not(
    one: Session,
) -> None:
    watts = {name: Declared(25.0, "its profile", at_most=True) for name in BOARDS}
    within = build([one], OWN, wanted((WATTS, "max", 30), watts=watts))
    beyond = build([one], OWN, wanted((WATTS, "max", 20), watts=watts))
    assert within["choice"]["p_feasible"] == 1
    assert beyond["choice"]["p_feasible"] is None
    assert "at most 25" in beyond["choice"]["limits"][0]["reason"]


def test_nothing_meets_it_and_the_nearest_misses_say_by_how_much(one: Session) -> None:
    found = build([one], OWN, wanted(("latency_p95_ms", "max", 3.5), ("price_usd", "max", 399)))
    assert (found["outcome"], found["choice"]) == ("none", None)
    assert [each["hardware"] for each in found["nearest"]] == ["nuc", "orin", "pi5"]
    orin = found["nearest"][1]
    assert [miss["metric"] for miss in orin["misses"]] == ["latency_p95_ms"]
    value = orin["misses"][0]["value"]
    assert orin["misses"][0]["beyond"] == pytest.approx(value / 3.5 - 1)
    assert orin["misses"][0]["absolute"] == pytest.approx(value - 3.5)
    words = page.sections(found)[0][1]
    assert words.words[0].startswith("NOTHING MEETS IT: no board meets this")
    assert "misses latency_p95_ms <= 3.5 by" in words.points[1][1]


def test_the_price_at_which_the_choice_turns_is_where_it_does(one: Session) -> None:
    objective = {"latency_p95_ms": 1.0, "price_usd": 1.0}
    found = build([one], OWN, wanted(objective=objective))
    ours = found["choice"]["hardware"]
    turns = {each["hardware"]: each for each in found["turning_prices"]}
    assert turns[ours]["side"] == "above"
    for name, each in turns.items():
        at = each["turns_at_usd"]
        for factor in (0.97, 1.03):
            prices = {**DECLARED, name: Declared(at * factor, "made up")}
            again = build([one], OWN, wanted(objective=objective, prices={"always": prices}))
            mine = again["choice"]["hardware"] == name
            assert mine == (factor < 1), (name, factor)


def test_a_limit_on_the_price_is_where_the_choice_turns(one: Session) -> None:
    found = build([one], OWN, wanted(("price_usd", "max", 150)))
    turns = {each["hardware"]: each for each in found["turning_prices"]}
    assert turns["nuc"]["turns_at_usd"] == 150
    assert turns["nuc"]["reason"] == "the limit on the price"


def test_scenarios_of_prices_each_have_a_choice(one: Session) -> None:
    volume = {**DECLARED, "orin": Declared(100.0, "made up")}
    asked = wanted(("price_usd", "max", 150), prices={"list": DECLARED, "volume": volume})
    found = build([one], OWN, asked)
    assert [each["choice"]["hardware"] for each in found["scenarios"]] == ["pi5", "orin"]
    assert found["choice"]["hardware"] == "pi5"


def test_a_missing_price_is_said_and_not_assumed(one: Session) -> None:
    prices = {**DECLARED, "nuc": Declared(None, "no price is known")}
    found = build([one], OWN, wanted(("price_usd", "max", 500), prices={"always": prices}))
    assert row(found, "nuc", "int8")["p_feasible"] is None
    assert found["choice"]["hardware"] == "orin"
    assert found["outcome"] == "provisional"
    assert "say price_usd: no price is known" in [each["action"] for each in found["next"]]


def test_a_baseline_is_its_own_ratio_of_one_and_loses_nothing(one: Session) -> None:
    asked = wanted(("latency_p50_ratio", "max", 0.8), ("accuracy_top1_drop", "max", 0.05))
    found = build([one], OWN, asked)
    told = row(found, "pi5", "dense")
    assert told["values"]["latency_p50_ratio"]["value"] == 1
    assert told["values"]["accuracy_top1_drop"]["value"] == 0
    assert told["feasible"] == "no"
    assert row(found, "pi5", "int8")["p_feasible"] > 0.9


def test_cells_of_a_scenario_that_measures_something_else_are_left_out(one: Session) -> None:
    found = build([one], OWN, wanted(("server_rate_ips", "min", 3)))
    assert found["candidates"] == []
    assert "single-stream does not measure server_rate_ips" in found["left_out"][0]["reason"]


@QUICK
@given(st.floats(2, 60), st.floats(0, 30))
def test_relaxing_a_limit_never_lowers_a_probability(limit: float, more: float) -> None:
    tight = build([ONE], OWN, wanted(("latency_p95_ms", "max", limit)), DRAWS)
    loose = build([ONE], OWN, wanted(("latency_p95_ms", "max", limit + more)), DRAWS)
    for before, after in zip(tight["candidates"], loose["candidates"], strict=True):
        assert 0 <= before["p_feasible"] <= after["p_feasible"] <= 1
        for name in ("p_best", "p_near", "p_front"):
            assert 0 <= before[name] <= 1


ONE = Session.of(session(launches=5, variants=("dense", "int8")))


def test_the_order_of_runs_and_devices_does_not_matter(four: list[Session]) -> None:
    asked = wanted(("latency_p95_ms", "max", 17.5), axes=("latency_p95_ms", PRICE))
    backwards = dict(reversed(OWN.items()))
    one, other = build(four, OWN, asked, DRAWS), build(four[::-1], backwards, asked, DRAWS)
    assert one["candidates"] == other["candidates"]
    assert one["next"] == other["next"]


def test_a_dominated_board_more_changes_nothing_for_the_others() -> None:
    """A board that is dearer and slower than another: same draws, same choice."""
    more = {**BOARDS, "old": (80.0, "intel-nuc-12-pro")}
    asked = wanted(prices={"always": {**DECLARED, "old": Declared(900.0, "made up")}})
    few = build([Session.of(session())], OWN, asked)
    many = build([Session.of(session(boards=more))], {**OWN, "old": "old"}, asked)
    assert many["choice"] == few["choice"]
    assert [e for e in many["candidates"] if e["hardware"] != "old"] == few["candidates"]


def forms_of(document: Any) -> tuple[str, str, str]:
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    sections = page.sections(document)
    to_terminal(sections, console)
    shown: str = console.file.getvalue()  # type: ignore[attr-defined]
    title = page.title(document)
    return shown, to_markdown(sections, title), to_html(sections, title, {})


def test_every_form_has_the_choice_the_reasons_and_no_nan(one: Session) -> None:
    asked = wanted(
        ("latency_p95_ms", "max", 33),
        (ENERGY, "max", 20),
        objective={"latency_p95_ms": 2.0, "price_usd": 1.0},
    )
    document = build([one], OWN, asked)
    json.dumps(document, allow_nan=False)
    texts = forms_of(document)
    assert "<svg" in texts[2]
    for text in texts[:2]:
        assert "nan" not in text.lower().replace("nano", "")
    for text in texts:
        assert "PROVISIONAL" in text
        assert "no power sensor was read" in text


def test_hostile_names_are_shown_as_text() -> None:
    name = "<script>alert(1)</script>\x1b[31m|"
    made: Run = session(boards={name: (40.0, "raspberry-pi-5")})
    found = build([Session.of(made)], {name: name}, wanted(("latency_p95_ms", "max", 17.5)))
    shown, markdown, html = forms_of(found)
    assert "\x1b" not in shown
    assert "<script>alert" not in html
    assert "<script>" not in markdown


def test_every_metric_has_a_direction() -> None:
    assert set(METRICS) >= HIGHER
    for name in NAMES:
        better = name in HIGHER
        words = METRICS[name].meaning if name in METRICS else ""
        lower = any(part in name for part in ("_ms", "_mib", "drop", "loss", "ece", "usd", "watts"))
        assert not (better and lower), (name, words)
