"""Whole jobs: the supervisor runs as a device runs it, on this Python and on the oldest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import probes, wire
from tests.contract.networks import Network
from tests.contract.test_oldest_python import oldest_python
from tests.contract.workshop import TIMING, Workshop, spec

RUNTIME = "onnxruntime"
END_S = 60.0
KINDS = ("floor", "evaluation", "launch", "set")
Event = dict[str, Any]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module", params=["this", "oldest"])
def device(
    request: pytest.FixtureRequest, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """A device with this Python, and one with the oldest that the agent runs on."""
    if request.param == "this":
        yield workshop
        return
    found = oldest_python()
    if found is None or found[0] == sys.version_info[:2]:
        pytest.skip("no Python older than this one, from 3.8 up, is on this machine")
    with closing(Workshop(tmp_path_factory.mktemp("oldest") / "root", found[1])) as made:
        yield made


def cells(device: Workshop, network: Network, folder: Path) -> list[wire.Cell]:
    """Two variants of one shape."""
    nets = [network, Network(seed=network.seed + 1)]
    return [device.cell(net.save(folder, "onnx"), RUNTIME) for net in nets]


def job(device: Workshop, members: list[wire.Cell], launches: int, **changes: Any) -> Path:
    """Lay out a job of one group; returns its folder."""
    made = device.job(members, **changes)
    made["groups"][0]["launches"] = launches
    return Path(device.bench(made).folder)


def start(device: Workshop, folder: Path) -> subprocess.Popen[bytes]:
    """Start the supervisor of a job."""
    command = [device.python, str(device.agent), "supervise", str(folder)]
    with (folder / "supervisor.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd="/")


@contextmanager
def supervisor(device: Workshop, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the supervisor of a job; it does not outlive the test."""
    child = start(device, folder)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def run(device: Workshop, folder: Path) -> list[Event]:
    """Do a job to its end; returns its journal."""
    with supervisor(device, folder) as child:
        status = child.wait(END_S)
    assert status == 0, (folder / "supervisor.log").read_text()
    return journal(folder)


def journal(folder: Path) -> list[Event]:
    """The whole lines of a journal, without the announcements."""
    path = folder / "journal.jsonl"
    text = path.read_text() if path.exists() else ""
    events = [json.loads(line) for line in text.split("\n")[:-1]]
    return [event for event in events if event["kind"] != "doing"]


def of_kind(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["kind"] == kind]


def wait_for(folder: Path, condition: Callable[[list[Event]], bool]) -> None:
    """Return when a journal fulfils a condition."""
    deadline = time.monotonic() + END_S
    while not condition(journal(folder)):
        assert time.monotonic() < deadline, (folder / "supervisor.log").read_text()
        time.sleep(0.01)


def launched(count: int) -> Callable[[list[Event]], bool]:
    """Whether so many launches are in a journal."""
    return lambda events: len(of_kind(events, "launch")) >= count


def test_a_job_is_done_and_its_journal_complete(
    device: Workshop, network: Network, tmp_path: Path
) -> None:
    members = cells(device, network, tmp_path)
    dataset = device.dataset(np.zeros(20, "int64"), x=network.samples)
    folder = job(device, members, 2, dataset=dataset)
    events = run(device, folder)
    kinds = [event["kind"] for event in events]
    assert kinds == ["floor", *["evaluation"] * 2, *["launch"] * 2, "finished"]
    check_floor(events[0])
    assert [event["ordinal"] for event in of_kind(events, "launch")] == [0, 1]
    assert events[-1]["reason"] == "done"
    best = np.argsort(-network.reference, axis=1)[:, :5].tolist()
    first, second = of_kind(events, "evaluation")
    assert first["top"] == best != second["top"]
    executed = first["executed"]
    assert executed["precision"] == "fp32"
    # The runtime that was brought for this Python, and not one that this machine has too.
    brought = Path(device.runtime(RUNTIME)) / f"{RUNTIME}-{executed['runtime_version']}.dist-info"
    assert brought.is_dir()
    for event in of_kind(events, "launch"):
        check_conditions(event["conditions"])
        assert [record["cell"] for record in event["cells"]] == [cell["id"] for cell in members]
        for record in event["cells"]:
            assert (record["status"], record["reason"]) == ("ok", None)
            assert len(record["blocks"]) == 2
            assert record["memory"]["peak_kib"] >= record["memory"]["anon_kib"] > 0
    spent = sum(event["seconds"] for event in events[:-1])
    assert events[-1]["elapsed_s"] == pytest.approx(spent)
    # Done is done: another start measures nothing, and says so under its own attempt's name.
    assert run(device, folder) == [*events, events[-1]]


def check_floor(floor: Event) -> None:
    """Measuring by itself costs little: limits for an idle call and for bare interpreters."""
    assert floor["reason"] is None
    assert len(floor["loop_ns"]) == 10_000
    assert 0 < np.median(floor["loop_ns"]) < 5_000
    assert 4 < floor["supervisor_kib"] / 1024 < 16
    assert 4 < floor["worker_kib"] / 1024 < 32
    assert 0 < floor["seconds"] < END_S


def check_conditions(conditions: dict[str, dict[str, Any]]) -> None:
    """Every probe was read before and after, and what counts up did not go down."""
    before, after = conditions["before"], conditions["after"]
    assert list(before) == list(after) == probes.names()
    for name in ("pressure", "steal"):
        assert before[name] is after[name] is None or before[name] <= after[name]


def test_after_a_power_cut_it_goes_on_where_the_journal_ends(
    device: Workshop, network: Network, tmp_path: Path
) -> None:
    folder = job(device, cells(device, network, tmp_path)[:1], 5)
    with supervisor(device, folder) as child:
        wait_for(folder, launched(2))
        child.send_signal(signal.SIGKILL)
    before = journal(folder)
    assert len(of_kind(before, "launch")) < 5, "it was not cut off in the middle"
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"kind":"launch","group":"group","ordinal":4,"sec')
    after = run(device, folder)
    assert after[: len(before)] == before
    assert [event["ordinal"] for event in of_kind(after, "launch")] == [0, 1, 2, 3, 4]
    assert len(of_kind(after, "evaluation")) == len(of_kind(after, "floor")) == 1
    assert after[-1]["reason"] == "done"


@pytest.fixture
def folder_of_one(workshop: Workshop, network: Network, tmp_path: Path) -> Callable[..., Path]:
    """Make jobs of one cell on this Python."""
    cell = cells(workshop, network, tmp_path)[0]

    def make(launches: int, **changes: Any) -> Path:
        return job(workshop, [cell], launches, **changes)

    return make


def test_a_stop_file_ends_it_after_what_is_under_way(
    workshop: Workshop, folder_of_one: Callable[..., Path]
) -> None:
    folder = folder_of_one(50, evaluations=[])
    with supervisor(workshop, folder) as child:
        wait_for(folder, launched(1))
        (folder / "stop").touch()
        there = len(of_kind(journal(folder), "launch"))
        assert child.wait(END_S) == 0
    events = journal(folder)
    assert events[-1]["kind"] == "finished" and events[-1]["reason"] == "stopped"
    launches = of_kind(events, "launch")
    assert there <= len(launches) <= there + 1
    assert all(event["cells"][0]["status"] == "ok" for event in launches)
    # Stopped is not done: without the file it goes on, and nothing is measured twice.
    (folder / "stop").unlink()
    job_file = folder / "job.json"
    shorter = json.loads(job_file.read_text())
    shorter["groups"][0]["launches"] = len(launches) + 1
    job_file.write_text(json.dumps(shorter))
    ordinals = [event["ordinal"] for event in of_kind(run(workshop, folder), "launch")]
    assert ordinals == list(range(len(launches) + 1))


def test_a_budget_ends_it(workshop: Workshop, folder_of_one: Callable[..., Path]) -> None:
    # The first step, the floor, is longer than the whole budget.
    events = run(workshop, folder_of_one(50, budget_s=0.01))
    assert [event["kind"] for event in events] == ["floor", "finished"]
    assert events[-1]["reason"] == "budget"
    assert events[-1]["elapsed_s"] >= 0.01


# --- the sets of robustness, after the launches

ROBUSTNESS: wire.Robustness = {
    "corruptions": ["noise", "contrast"],
    "severities": [1, 4],
    "samples": 20,
    "seed": 3,
    "ood": {},
}
ASKED = [("noise", 1), ("noise", 4), ("contrast", 1), ("contrast", 4)]


def robust(device: Workshop, network: Network, folder: Path, copies: int = 1) -> Any:
    """Two cells, and what a job says of their dataset: the network's samples, so many times."""
    samples = np.tile(network.samples, (copies, 1, 1, 1))
    dataset = device.dataset(np.zeros(len(samples), "int64"), x=samples)
    asked = {**ROBUSTNESS, "samples": len(samples)}
    return cells(device, network, folder), {"dataset": dataset, "robustness": asked}


def answered(events: list[Event]) -> list[tuple[str, str, int]]:
    """The sets that were run, in their order."""
    return [
        (event["evaluation"], event["scored"]["name"], event["scored"]["severity"])
        for event in of_kind(events, "set")
    ]


def all_of(members: list[wire.Cell]) -> list[tuple[str, str, int]]:
    return [(cell["evaluation"], *one) for cell in members for one in ASKED]


def sets(count: int) -> Callable[[list[Event]], bool]:
    """Whether so many sets are in a journal."""
    return lambda events: len(of_kind(events, "set")) >= count


def test_sets_are_run_after_the_launches(
    device: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(device, network, tmp_path)
    events = run(device, job(device, members, 2, **asked))
    kinds = [event["kind"] for event in events]
    assert kinds == ["floor", *["evaluation"] * 2, *["launch"] * 2, *["set"] * 8, "finished"]
    assert events[-1]["reason"] == "done"
    assert answered(events) == all_of(members)
    for event in of_kind(events, "evaluation"):
        assert [one["reason"] for one in event["sets"]] == [None, *[wire.NOT_RUN] * 4]
        assert event["sets"][0]["seconds"] > 0
    for event in of_kind(events, "set"):
        scored = event["scored"]
        assert (scored["reason"], scored["classes"]["shape"]) == (None, [20, 5])
        assert 0 < scored["seconds"] <= event["seconds"]
    spent = sum(event["seconds"] for event in events[:-1])
    assert events[-1]["elapsed_s"] == pytest.approx(spent)


def test_launches_and_sets_have_the_budget_each(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(workshop, network, tmp_path, copies=100)
    events = run(workshop, job(workshop, members, 10_000, budget_s=2.0, **asked))
    assert events[-1]["reason"] == "budget"
    times = {kind: [event["seconds"] for event in of_kind(events, kind)] for kind in KINDS}
    measuring = [*times["floor"], *times["evaluation"], *times["launch"]]
    assert sum(measuring[:-1]) < 2.0 <= sum(measuring)
    # The sets begin though nothing is left for launches, and end before the budget does again.
    assert answered(events) == all_of(members)[: len(times["set"])]
    assert times["set"] and sum(times["set"][:-1]) < 2.0
    assert len(times["set"]) == 8 or sum(times["set"]) >= 2.0


def test_sets_that_the_budget_does_not_reach_are_left_with_a_reason(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(workshop, network, tmp_path)
    folder = job(workshop, members[:1], 1, budget_s=600.0, **asked)
    run_until(workshop, folder, sets(2))
    shorter = json.loads((folder / "job.json").read_text())
    shorter["budget_s"] = 1e-3
    (folder / "job.json").write_text(json.dumps(shorter))
    there = answered(journal(folder))
    events = run(workshop, folder)
    assert (answered(events), events[-1]["reason"]) == (there, "budget")
    (found,) = of_kind(events, "evaluation")
    assert [one["reason"] for one in found["sets"][1:]] == [wire.NOT_RUN] * 4


def test_launches_that_are_enough_cost_no_sets(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(workshop, network, tmp_path)
    folder = job(workshop, members, 50, **asked)
    (folder / wire.enough_file("group")).touch()
    events = run(workshop, folder)
    assert of_kind(events, "launch") == []
    assert answered(events) == all_of(members)


@pytest.mark.parametrize("done", [0, 3])
def test_a_power_cut_before_or_among_the_sets_repeats_none(
    workshop: Workshop, network: Network, tmp_path: Path, done: int
) -> None:
    members, asked = robust(workshop, network, tmp_path, copies=20)
    folder = job(workshop, members, 1, **asked)
    run_until(workshop, folder, sets(done) if done else launched(1))
    before = journal(folder)
    assert of_kind(before, "finished") == [], "it was not cut off in the middle"
    after = run(workshop, folder)
    assert after[: len(before)] == before
    assert answered(after) == all_of(members)
    assert len(of_kind(after, "evaluation")) == 2
    assert [event["kind"] for event in after].count("launch") == 1


def test_sets_that_the_host_has_stored_are_not_run_again(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(workshop, network, tmp_path)
    first, second = (cell["evaluation"] for cell in members)
    stored = {
        first: {"scores": "probabilities", "sets": [["noise", 1], ["contrast", 4]]},
        second: {"scores": "logits", "sets": ASKED},
    }
    done = {"done_evaluations": [first, second], "answered": stored}
    events = run(workshop, job(workshop, members, 1, done_launches=[["group", 0]], **asked, **done))
    assert [event["kind"] for event in events] == ["floor", "set", "set", "finished"]
    assert answered(events) == [(first, "noise", 4), (first, "contrast", 1)]
    # Read as the dataset was: as logits it would not be so certain of anything.
    again = run(workshop, job(workshop, members[:1], 0, **asked))
    assert of_kind(again, "evaluation")[0]["scores"] == "logits"
    assert events[1]["scored"]["classes"] != of_kind(again, "set")[1]["scored"]["classes"]


def test_a_model_that_failed_on_the_dataset_has_no_sets(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(workshop, network, tmp_path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08no model")
    bad = workshop.cell(broken, RUNTIME, inputs=[spec("x", "float32", [1, 8, 8, 1])])
    events = run(workshop, job(workshop, [bad, members[0]], 1, **asked))
    assert of_kind(events, "evaluation")[0]["sets"] == []
    assert answered(events) == all_of(members[:1])


def test_a_stop_among_the_sets_is_heard_within_seconds(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    members, asked = robust(workshop, network, tmp_path, copies=300)
    # The dataset itself is stored, so that only the sets are long.
    done = {member["evaluation"]: {"scores": "logits", "sets": []} for member in members}
    folder = job(workshop, members, 0, done_evaluations=list(done), answered=done, **asked)
    with supervisor(workshop, folder) as child:
        wait_for(folder, sets(1))
        (folder / wire.STOP_FILE).touch()
        began = time.monotonic()
        assert child.wait(END_S) == 0
        assert time.monotonic() - began < 2
    events = journal(folder)
    assert events[-1]["reason"] == "stopped"
    there = answered(events)
    (folder / wire.STOP_FILE).unlink()
    shorter = json.loads((folder / "job.json").read_text())
    shorter["robustness"]["samples"] = 20
    (folder / "job.json").write_text(json.dumps(shorter))
    assert answered(run(workshop, folder)) == all_of(members)
    assert there == all_of(members)[: len(there)]


def run_until(device: Workshop, folder: Path, condition: Callable[[list[Event]], bool]) -> None:
    """Start a job, and cut it off when its journal fulfils a condition."""
    with supervisor(device, folder) as child:
        wait_for(folder, condition)
        child.send_signal(signal.SIGKILL)


def test_what_the_host_has_stored_is_not_done_again(
    workshop: Workshop, folder_of_one: Callable[..., Path]
) -> None:
    folder = folder_of_one(3, evaluations=[], done_launches=[["group", 0], ["group", 2]])
    assert [event["ordinal"] for event in of_kind(run(workshop, folder), "launch")] == [1]


def test_two_jobs_take_turns(workshop: Workshop, folder_of_one: Callable[..., Path]) -> None:
    folders = [folder_of_one(2, evaluations=[]) for _ in range(2)]
    with supervisor(workshop, folders[0]) as first, supervisor(workshop, folders[1]) as second:
        assert first.wait(END_S) == second.wait(END_S) == 0
    times = [
        sorted((event["started"], event["seconds"]) for event in of_kind(journal(folder), "launch"))
        for folder in folders
    ]
    assert [len(one) for one in times] == [2, 2]
    earlier, later = sorted(times)
    assert earlier[-1][0] + earlier[-1][1] <= later[0][0] + 0.005


def test_both_live_while_one_waits_for_its_turn(
    workshop: Workshop, folder_of_one: Callable[..., Path]
) -> None:
    folders = [folder_of_one(50, evaluations=[]), folder_of_one(1, evaluations=[])]
    with supervisor(workshop, folders[0]) as first:
        wait_for(folders[0], launched(1))
        with supervisor(workshop, folders[1]) as second:
            # Known to the host as alive, it has measured nothing.
            wait_until(lambda: (folders[1] / "supervisor.json").exists())
            identity = json.loads((folders[1] / "supervisor.json").read_text())
            assert identity["pid"] == second.pid
            assert journal(folders[1]) == []
            # The lock goes with a process that is killed.
            first.send_signal(signal.SIGKILL)
            first.wait()
            assert second.wait(END_S) == 0
    assert launched(1)(journal(folders[1]))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cell_that_keeps_failing_is_given_up(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    good = cells(workshop, network, tmp_path)[0]
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08no model")
    inputs = [spec("x", "float32", [1, 8, 8, 1])]
    bad = workshop.cell(broken, RUNTIME, inputs=inputs)
    folder = job(workshop, [good, bad], 4, evaluations=[])
    launches = of_kind(run(workshop, folder), "launch")
    measured = [[record["cell"] for record in event["cells"]] for event in launches]
    assert measured == [[good["id"], bad["id"]]] * 2 + [[good["id"]]] * 2
    states = [[record["status"] for record in event["cells"]] for event in launches]
    assert states == [["ok", "failed"]] * 2 + [["ok"]] * 2
    assert all(event["cells"][1]["reason"] for event in launches[:2])


def test_a_cell_whose_evaluation_fails_is_never_launched(
    workshop: Workshop, network: Network, tmp_path: Path
) -> None:
    good = cells(workshop, network, tmp_path)[0]
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08no model")
    bad = workshop.cell(broken, RUNTIME, inputs=[spec("x", "float32", [1, 8, 8, 1])])
    events = run(workshop, job(workshop, [bad, good], 1))
    assert [event["status"] for event in of_kind(events, "evaluation")] == ["failed", "ok"]
    (launch,) = of_kind(events, "launch")
    assert [record["cell"] for record in launch["cells"]] == [good["id"]]


def test_a_job_of_dead_cells_ends_at_once(workshop: Workshop, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08no model")
    bad = workshop.cell(broken, RUNTIME, inputs=[spec("x", "float32", [1, 8, 8, 1])])
    events = run(workshop, job(workshop, [bad], 5))
    assert [event["kind"] for event in events] == ["floor", "evaluation", "finished"]
    assert events[-1]["reason"] == "done"


def test_a_floor_that_was_not_measured_has_a_reason(
    workshop: Workshop, folder_of_one: Callable[..., Path]
) -> None:
    timing = {**TIMING, "answer_timeout_s": 0.0}
    events = run(workshop, folder_of_one(1, evaluations=[], timing=timing))
    assert [event["kind"] for event in events] == ["floor", "launch", "finished"]
    floor = events[0]
    assert "hung" in floor["reason"]
    assert (floor["loop_ns"], floor["worker_kib"]) == ([], None)
    assert floor["supervisor_kib"] > 0


def test_no_process_of_a_job_is_left(
    workshop: Workshop, folder_of_one: Callable[..., Path]
) -> None:
    folder = folder_of_one(50, evaluations=[])
    with supervisor(workshop, folder) as child:
        wait_for(folder, launched(1))
        wait_until(lambda: bool(children(child.pid)))
        orphans = children(child.pid)
        child.kill()
        child.wait()
        wait_until(lambda: not any(is_running(pid) for pid in orphans))
    assert orphans


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie that waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
