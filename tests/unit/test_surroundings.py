"""What differs around two runs, and what each difference takes from their comparison."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reports.sessions.environment import Difference, differences
from tests.unit.run_builder import SCENARIOS, conditions
from tests.unit.session_builder import FACTS, session


def found(**second: Any) -> list[Difference]:
    return differences(session(1), session(2, **second))


def told(all_of_them: list[Difference]) -> list[tuple[str, str | None]]:
    return [(each.fact, each.forbids) for each in all_of_them]


def test_the_same_board_in_the_same_state_differs_in_nothing() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("facts", "fact"),
    [
        ({"kernel": "6.12.1"}, "kernel"),
        ({"clocks": {**FACTS["clocks"], "scaling_governor": "ondemand"}}, "clock governor"),
        ({"clocks": {**FACTS["clocks"], "scaling_max_freq": "1500000"}}, "highest clock, kHz"),
        ({"cpu_model": "Cortex-A72"}, "processor"),
        ({"cpu_flags": ["fp"]}, "instruction sets"),
        ({"cpus": 2}, "processors"),
        ({"memory_kib": 4_000_000}, "memory"),
        ({"python": "3.13.0"}, "Python"),
        ({"agent_sha256": "b" * 64}, "edgeproof's agent"),
    ],
)
def test_what_moves_times_forbids_comparing_them(facts: dict[str, Any], fact: str) -> None:
    assert told(found(facts=facts)) == [(fact, "times")]


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        # Cloned images share a machine id, so the serial number has the say.
        (
            {"serial": "a", "machine_id": "m"},
            {"serial": "b", "machine_id": "m"},
            [("board", "times")],
        ),
        ({"serial": "a", "machine_id": "m"}, {"serial": "a", "machine_id": "n"}, [("boot", None)]),
        (
            {"serial": None, "machine_id": "m"},
            {"serial": None, "machine_id": "n"},
            [("board", "times")],
        ),
        (
            {"serial": None, "machine_id": "m"},
            {"serial": None, "machine_id": "m"},
            [("boot", None)],
        ),
        # Many boards are called raspberrypi.
        (None, None, [("board", None)]),
    ],
)
def test_another_board_is_known_by_its_surest_mark(
    first: Any, second: Any, wanted: list[tuple[str, str | None]]
) -> None:
    one = session(1, facts={"identity": first})
    other = session(2, facts={"identity": second, "boot_id": "22222222-bbbb"})
    assert told(differences(one, other)) == wanted


def test_within_one_boot_it_is_the_same_board() -> None:
    other = {"serial": None, "machine_id": None}
    assert found(facts={"identity": other, "hostname": "renamed"}) == []


def test_without_any_mark_nobody_knows_which_board_it_was() -> None:
    bare = {"identity": None, "hostname": None, "boot_id": None}
    apart = differences(session(1, facts=bare), session(2, facts=bare))
    assert told(apart) == [("board", None)]
    assert apart[0].first == "not recorded"


def test_what_an_older_run_did_not_record_is_said_and_forbids_nothing() -> None:
    apart = differences(session(1, facts={"agent_sha256": None}), session(2))
    assert [(d.fact, d.first, d.forbids) for d in apart] == [
        ("edgeproof's agent", "not recorded", None)
    ]


def test_a_little_less_memory_is_the_kernels_own_doing() -> None:
    assert found(facts={"memory_kib": 7_950_000}) == []


def test_lists_tell_what_only_one_of_them_holds() -> None:
    [flags] = found(facts={"cpu_flags": ["fp", "asimd", "sve"]})
    assert (flags.first, flags.second) == ("nothing more", "sve")


def test_another_version_forbids_the_cells_of_its_runtime_alone() -> None:
    both = ("onnxruntime", "openvino")
    [apart] = differences(session(1, runtimes=both), session(2, runtimes=both[:1], version="1.32"))
    assert str(apart) == "pi5 onnxruntime: version 1.31 against 1.32"
    row = {"device": "pi5", "runtime": "onnxruntime", "scenario": "single-stream"}
    assert apart.about(row) and not apart.about(row | {"runtime": "openvino"})


def test_other_options_of_a_runtime_forbid_its_times() -> None:
    second = session(2)
    tuned: Any = [
        replace(r, cell={**r.cell, "options": {"allow_spinning": False}}) for r in second.cells
    ]
    [apart] = differences(session(1), replace(second, cells=tuned))
    assert str(apart) == "pi5 onnxruntime: options none against allow_spinning False"
    assert apart.forbids == "times"


def heated(celsius: float = 51.2, bits: int = 0, mhz: float = 2400.0) -> Any:
    around = conditions()
    for reading in (around["before"], around["after"]):
        reading["temperature"] = {"cpu-thermal": celsius}
        reading["throttling"] = {"get_throttled": bits}
        reading["clock"] = {"0": mhz}
    return around


@pytest.mark.parametrize(
    ("around", "wanted"),
    [
        (heated(celsius=58.0), []),
        (heated(celsius=70.0), [("temperature", "times")]),
        (heated(bits=0b100), [("launches throttled", "times")]),
        (heated(mhz=1800.0), [("clock", "times")]),
        (heated(mhz=2390.0), []),
    ],
)
def test_heat_forbids_times(around: Any, wanted: list[tuple[str, str | None]]) -> None:
    apart = differences(session(1, conditions=heated()), session(2, conditions=around))
    assert told(apart) == wanted


def test_throttled_launches_are_counted() -> None:
    [apart] = differences(session(1), session(2, conditions=heated(bits=0b100)))
    assert (apart.first, apart.second) == ("none", "32 of 32")


def test_another_dataset_forbids_accuracy() -> None:
    apart = differences(session(1), replace(session(2), dataset="e" * 64))
    assert told(apart) == [("dataset", "accuracy")]


def test_another_effort_is_said() -> None:
    other = session(2)
    thorough = {**other.study, "measure": {"effort": "thorough"}}
    [apart] = differences(session(1), replace(other, study=thorough))
    assert (apart.fact, apart.first, apart.second, apart.forbids) == (
        ("effort", "quick", "thorough", None)
    )


def test_other_parameters_forbid_the_times_of_that_scenario() -> None:
    first, second = (session(n, scenario="sustained", launches=2) for n in (1, 2))
    longer = [{**s, "minutes": 9} if s["name"] == "sustained" else s for s in SCENARIOS]
    one = replace(first, study={**first.study, "scenarios": SCENARIOS})
    [apart] = differences(one, replace(second, study={**second.study, "scenarios": longer}))
    assert str(apart) == "sustained: parameters minutes 3 against minutes 9"
    assert apart.forbids == "times"


def test_what_forbids_comes_first() -> None:
    apart = found(facts={"boot_id": "22222222-bbbb", "kernel": "6.12.1"})
    assert told(apart) == [("kernel", "times"), ("boot", None)]


def test_a_device_that_was_never_reached_is_no_other_board() -> None:
    lost = session(2)
    gone = [replace(lost.devices[0], facts={}, status="failed", reason="unreachable")]
    assert differences(session(1), replace(lost, devices=gone, launches=[])) == []
