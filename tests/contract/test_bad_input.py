"""Models that break: in real runtimes, each a reason with the log's last lines, none the others."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import launch, proc, process, wire
from agents.process import OutOfMemoryError, Process, WorkerError
from harness import provision
from harness.artifact import Unresolvable, inspect, resolve_inputs
from tests.contract import bad_models, test_supervisor
from tests.contract.test_worker_process import closed, eventually, fake_runtime, state
from tests.contract.workshop import TIMING, Workshop

RUNTIME = "onnxruntime"
RUNTIMES = ("onnxruntime", "openvino")
# Long enough to import a runtime on a busy machine.
HUNG_S = 10.0
LIMIT_KIB = 300 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def good(workshop: Workshop, folder: Path) -> wire.Cell:
    return workshop.cell(bad_models.good(folder), RUNTIME)


def failed(event: wire.EvaluationEvent) -> tuple[str, str]:
    """Reason and log of a failure, in one piece each."""
    assert event["status"] == "failed", event["reason"]
    return event["reason"] or "", "\n".join(event["log"])


def test_bad_models_in_a_job_harm_no_other(
    workshop: Workshop, folder: Path, good: wire.Cell
) -> None:
    bad = {
        "endless": workshop.cell(bad_models.endless(folder), RUNTIME),
        "huge": workshop.cell(bad_models.huge(folder), RUNTIME),
        "foreign": workshop.cell(bad_models.foreign(folder), RUNTIME),
        "crashing": workshop.cell(bad_models.crashing(folder), "ncnn"),
        "gpu": workshop.cell(bad_models.good(folder), "openvino:gpu"),
    }
    timing = {**TIMING, "answer_timeout_s": HUNG_S}
    job = test_supervisor.job(workshop, [*bad.values(), good], 2, timing=timing)
    events = test_supervisor.run(workshop, job)
    found = {event["cell"]: event for event in events if event["kind"] == "evaluation"}
    told = {name: found[cell["id"]] for name, cell in bad.items()}
    reason, log = failed(told["endless"])
    assert reason == "hung: no answer to load in 10 s"
    assert "in timed" in log, "it tells where"
    reason, log = failed(told["huge"])
    assert "17592186044416" in reason and "17592186044416" in log
    reason, log = failed(told["crashing"])
    assert reason == "the process died in load: killed by SIGSEGV"
    assert "Segmentation fault" in log and "in infer" in log
    assert {told[name]["status"] for name in ("foreign", "gpu")} == {"unsupported"}
    assert "Frobnicate" in told["foreign"]["reason"]
    assert "Frobnicate" in told["foreign"]["log"][-1]
    assert "sees no GPU here" in told["gpu"]["reason"]
    assert (found[good["id"]]["status"], found[good["id"]]["log"]) == ("ok", [])
    launches = [event for event in events if event["kind"] == "launch"]
    measured = [(each["cell"], each["status"]) for one in launches for each in one["cells"]]
    assert measured == [(good["id"], "ok")] * 2
    assert events[-1]["reason"] == "done"


def test_a_crash_in_a_launch_brings_its_log(
    workshop: Workshop, folder: Path, good: wire.Cell
) -> None:
    dead, living = workshop.launch(workshop.cell(bad_models.crashing(folder), "ncnn"), good)[
        "cells"
    ]
    assert (dead["status"], dead["blocks"]) == ("failed", [])
    assert "Segmentation fault" in dead["log"][0]
    assert (living["status"], living["log"]) == ("ok", [])
    assert living["blocks"]


def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the machine has a little memory only."""
    monkeypatch.setattr(process, "SPARE_KIB", proc.free_kib() - LIMIT_KIB)


def test_memory_without_end_is_ended_before_the_device_has_none(
    workshop: Workshop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = workshop.cell(bad_models.hungry(folder), RUNTIME)
    short_of_memory(monkeypatch)
    began = time.monotonic()
    reason, _ = failed(workshop.evaluate(cell))
    assert reason.startswith("out of memory: ended at ")
    held = float(reason.split("ended at ")[1].split(" MiB")[0])
    assert LIMIT_KIB / 2 < 1024 * held < 4 * LIMIT_KIB
    assert time.monotonic() - began < 30


def test_memory_is_looked_at_the_sooner_the_less_there_is() -> None:
    for free_gib in (1, 2, 64):
        free_kib = free_gib * 1024**2
        filled = process.FILL_KIB_S * process.next_look_s(free_kib)
        assert filled <= free_kib - process.SPARE_KIB
    assert process.next_look_s(0) == process.SHORTEST_LOOK_S
    assert process.next_look_s(1024**3) == process.LONGEST_LOOK_S


def test_who_starves_beside_others_is_measured_alone(
    workshop: Workshop, good: wire.Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: wire.Cell = {**good, "id": "other"}
    ask = Process.ask

    def starve(worker: Process, request: dict[str, Any], timeout: float) -> Any:
        """Memory is short when a worker is asked to warm up while another is alive."""
        others = [arm for arm in arms if arm.worker not in (worker, None)]
        if request["do"] == "warmup" and others:
            raise OutOfMemoryError("failed", "out of memory")
        return ask(worker, request, timeout)

    arms: list[launch.Arm] = []
    opened = launch.Arm.open

    def noted(arm: launch.Arm, purpose: str) -> None:
        arms.append(arm)
        opened(arm, purpose)

    monkeypatch.setattr(launch.Arm, "open", noted)
    monkeypatch.setattr(Process, "ask", starve)
    event = workshop.launch(good, other)
    assert event["interleaved"] is False
    assert [(each["status"], each["reason"]) for each in event["cells"]] == [("ok", None)] * 2
    assert all(each["blocks"] for each in event["cells"])


# Native code that takes part in nothing: the agent's pipes are closed, and it goes on.
CLOSES = "import os, time\nos.closerange(0, 256)\ntime.sleep(100)\n"
# A process of its own holds the pipe when the worker is gone.
FORKS = "import os, time\nif os.fork() == 0:\n    time.sleep(100)\nos._exit(7)\n"
# What it started goes on when it has failed.
SPAWNS = """
import subprocess, sys
child = subprocess.Popen(["sleep", "100"])
print(child.pid, flush=True)
raise RuntimeError("its own fault")
"""


def ended(
    workshop: Workshop, cell: wire.Cell, folder: Path, behaviour: str
) -> tuple[WorkerError, float]:
    """How loading fails in a made-up runtime, and how many seconds it took until all had ended."""
    path = fake_runtime(folder, behaviour)
    _, request = closed(workshop.worker(cell))
    with workshop.supervising():
        worker = Process(process.command(path), process.environment(path), str(folder / "log"))
    began = time.monotonic()
    with closing(worker), pytest.raises(WorkerError) as failure:
        worker.ask(request, 60.0)
    return failure.value, time.monotonic() - began


def test_a_worker_that_closes_its_pipe_and_goes_on_is_ended(
    workshop: Workshop, good: wire.Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "END_S", 1.0)
    failure, seconds = ended(workshop, good, tmp_path, CLOSES)
    assert failure.reason == "the process closed its pipe in load and went on"
    assert seconds < 10


def test_a_child_that_holds_the_pipe_hides_no_death(
    workshop: Workshop, good: wire.Cell, tmp_path: Path
) -> None:
    failure, seconds = ended(workshop, good, tmp_path, FORKS)
    assert failure.reason == "the process died in load: exit status 7"
    assert seconds < 10


def test_what_a_worker_has_started_ends_with_it(
    workshop: Workshop, good: wire.Cell, tmp_path: Path
) -> None:
    failure, _ = ended(workshop, good, tmp_path, SPAWNS)
    assert failure.reason == "RuntimeError: its own fault"
    child = int(failure.log[0])
    assert eventually(lambda: state(child) in ("gone", "Z"))


SPEAKS = r"""
import os, sys
for at in range(100):
    os.write(2, b"\x1b[31mline %d\x1b[0m\x07 " % at + b"long " * 100 + b"\n")
os.write(2, b"half\rhalf again\r\n\n\xff\xfe\n")
os._exit(1)
"""


def test_the_end_of_a_log_is_short_and_clean(
    workshop: Workshop, good: wire.Cell, tmp_path: Path
) -> None:
    failure, _ = ended(workshop, good, tmp_path, SPEAKS)
    assert len(failure.log) == process.LOG_LINES
    assert failure.log[-3:] == ["half", "half again", "\N{REPLACEMENT CHARACTER}" * 2]
    assert failure.log[0].startswith("line 63  long long")
    assert {len(line) for line in failure.log[:-3]} == {process.LOG_COLUMNS}
    assert all(line.isprintable() for line in failure.log)
    assert len(failure.reason) < 400


def test_a_version_that_does_not_fit_is_told(workshop: Workshop, good: wire.Cell) -> None:
    # The wheel was made for NumPy 1, and says in its metadata that any later will do.
    archive = provision.archive("tflite", ("tflite-runtime", "numpy>=2"), workshop.target)
    folder = workshop.root / "runtimes" / "clash"
    with tarfile.open(archive.path) as tar:
        tar.extractall(folder, filter="data")
    network = test_supervisor.Network().save(workshop.root, "tflite")
    cell = workshop.cell(network, "tflite")
    event = workshop.evaluate(cell, runtimes={"tflite": {"path": str(folder)}})
    reason, log = failed(event)
    assert "because of ImportError: numpy" in reason
    assert "support NumPy 2" in log


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_token_ids_and_masks_of_a_given_length_are_fed(
    workshop: Workshop, folder: Path, runtime: str
) -> None:
    path = bad_models.tokens(folder)
    with pytest.raises(Unresolvable, match="input 'ids' has free dimension 1"):
        workshop.cell(path, runtime)
    shapes = {"ids": [None, 16], "mask": [None, 16]}
    inputs = resolve_inputs(inspect(path, "onnx"), 2, shapes)
    cell = workshop.cell(path, runtime, batch=2, inputs=inputs)
    ids = np.arange(32).reshape(2, 16)
    mask = ids % 3 > 0
    (scores,), _ = workshop.outputs(cell, ids=ids, mask=mask)
    table = np.random.default_rng(6).standard_normal((100, bad_models.FEATURES))
    expected = (table[ids] * mask[..., None]).mean(axis=1) @ bad_models.WEIGHTS
    assert np.abs(scores - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (bad_models.image, "input 'x' has free dimension 2; give its whole shape"),
        (bad_models.strings, "input 'x' is of type string, which cannot be fed"),
    ],
)
def test_what_cannot_be_fed_is_known_before(
    folder: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(Unresolvable, match=said):
        resolve_inputs(inspect(make(folder), "onnx"), 1, {})


def test_a_slow_model_may_take_its_time_to_warm_up(
    workshop: Workshop, good: wire.Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of ten inferences, which the warm-up takes at least, may last longer than usual."""
    asked: dict[str, float] = {}
    ask = Process.ask

    def noted(worker: Process, request: dict[str, Any], timeout: float) -> Any:
        asked[request["do"]] = timeout
        answer = ask(worker, request, timeout)
        if request["do"] == "load":
            answer["first_ns"] = 30_000_000_000
        return answer

    monkeypatch.setattr(Process, "ask", noted)
    record = workshop.launch(good)["cells"][0]
    assert record["status"] == "ok"
    assert asked["load"] == TIMING["answer_timeout_s"]
    assert asked["warmup"] >= TIMING["answer_timeout_s"] + 10 * 30


def test_a_target_that_compiles_has_longer_to_load(workshop: Workshop, good: wire.Cell) -> None:
    bench = workshop.bench(workshop.job([good]))
    compiled: wire.Cell = {**good, "runtime": "torch:compiled", "target": "compiled"}
    assert bench.load_timeout(good) == TIMING["answer_timeout_s"]
    assert bench.load_timeout(compiled) == TIMING["compile_timeout_s"]
