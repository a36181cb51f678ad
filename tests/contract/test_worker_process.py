"""What becomes of a real worker process: killed, hung, stopped, orphaned, out of memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agents import launch, process, wire
from agents.process import Process, WorkerError
from tests.contract.networks import Network
from tests.contract.workshop import BLOCKS, TIMING, Workshop

RUNTIME = "onnxruntime"
# Blocks that last: something is to happen in the middle of them.
LONG: wire.Timing = {**TIMING, "block_ns": 20_000_000_000}
ANSWER_S = 60.0


@pytest.fixture(scope="module")
def cell(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> wire.Cell:
    path = Network().save(tmp_path_factory.mktemp("models"), "onnx")
    return workshop.cell(path, RUNTIME)


@pytest.fixture
def started(workshop: Workshop, cell: wire.Cell) -> Iterator[tuple[Process, dict[str, Any]]]:
    """A worker that has been asked nothing, and the request that loads its cell."""
    worker, request = workshop.worker(cell)
    with closing(worker):
        yield worker, request


@pytest.fixture
def worker(started: tuple[Process, dict[str, Any]]) -> Process:
    """A worker that is loaded and warm."""
    process, request = started
    process.ask(request, ANSWER_S)
    process.ask({"do": "warmup", "timing": TIMING}, ANSWER_S)
    return process


def state(pid: int) -> str:
    """State of a process as the kernel has it: R running, S sleeping, T stopped, Z zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def later(worker: Process, number: int) -> threading.Thread:
    """Send a signal from outside once the worker is at work."""

    def send() -> None:
        eventually(lambda: state(worker.child.pid) == "R")
        time.sleep(0.05)
        os.kill(worker.child.pid, number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_worker_that_is_killed_in_a_block_is_a_reason(worker: Process) -> None:
    killer = later(worker, signal.SIGKILL)
    with pytest.raises(WorkerError, match="died in block: killed by SIGKILL") as died:
        worker.ask({"do": "block", "timing": LONG}, ANSWER_S)
    killer.join()
    assert died.value.status == "failed"
    with pytest.raises(WorkerError, match="died in finish: killed by SIGKILL"):
        worker.ask({"do": "finish"}, ANSWER_S)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_names_its_signal(
    started: tuple[Process, dict[str, Any]], number: signal.Signals
) -> None:
    worker, request = started
    later(worker, number).join()
    with pytest.raises(WorkerError, match=f"killed by {number.name}"):
        worker.ask(request, ANSWER_S)


def test_a_worker_that_hangs_is_not_waited_for(worker: Process) -> None:
    stopper = later(worker, signal.SIGSTOP)
    begin = time.monotonic()
    with pytest.raises(WorkerError, match="hung: no answer to block in 1 s") as hung:
        worker.ask({"do": "block", "timing": LONG}, 1.0)
    stopper.join()
    assert hung.value.status == "failed"
    assert 0.9 < time.monotonic() - begin < 3
    worker.close()
    assert state(worker.child.pid) == "gone"


def test_a_worker_rests_between_messages(worker: Process) -> None:
    assert eventually(lambda: state(worker.child.pid) == "T")
    before = cpu_ticks(worker.child.pid)
    time.sleep(0.2)
    assert cpu_ticks(worker.child.pid) == before
    samples = worker.ask({"do": "block", "timing": TIMING}, ANSWER_S)
    assert min(samples) > 0
    assert eventually(lambda: state(worker.child.pid) == "T")


def cpu_ticks(pid: int) -> int:
    """Clock ticks that a process and its threads have computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_the_others_are_stopped_while_one_is_active(
    workshop: Workshop, cell: wire.Cell, worker: Process
) -> None:
    other, request = workshop.worker(cell)
    with closing(other):
        other.ask(request, ANSWER_S)
        asking = threading.Thread(
            target=worker.ask, args=({"do": "block", "timing": short(0.5)}, ANSWER_S)
        )
        asking.start()
        pid = worker.child.pid
        assert eventually(lambda: state(pid) == "R")
        seen = {state(other.child.pid) for _ in range(50)}
        asking.join()
    assert seen == {"T"}


def test_a_worker_has_stopped_when_its_answer_is_there(worker: Process) -> None:
    for _ in range(50):
        worker.ask({"do": "block", "timing": short(0.001)}, ANSWER_S)
        assert state(worker.child.pid) == "T"


def short(seconds: float) -> wire.Timing:
    """Blocks of so many seconds."""
    return {**TIMING, "block_ns": int(seconds * 1e9)}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_worker_runs_on_the_cpus_it_reports(
    workshop: Workshop, cell: wire.Cell, threads: int
) -> None:
    asked: wire.Cell = {**cell, "threads": threads, "id": f"pinned-{threads}"}
    worker, request = workshop.worker(asked)
    with closing(worker):
        worker.ask(request, ANSWER_S)
        assert len(request["cpus"]) == threads
        for task in Path(f"/proc/{worker.child.pid}/task").iterdir():
            assert os.sched_getaffinity(int(task.name)) == set(request["cpus"])


def test_memory_is_asked_of_a_worker_and_of_a_dead_one(worker: Process) -> None:
    assert worker.rss_kib() > 10 * 1024
    worker.close()
    assert worker.rss_kib() == 0


def fake_runtime(folder: Path, behaviour: str) -> str:
    """A folder with a package in place of the real runtime; returns it."""
    package = folder / "fake"
    package.mkdir()
    (package / "numpy.py").write_text("")
    (package / f"{RUNTIME}.py").write_text(behaviour)
    return str(package)


def ask_fake(workshop: Workshop, cell: wire.Cell, folder: Path, behaviour: str) -> Any:
    """What loading a cell in a made-up runtime leads to, and the log of its worker."""
    path = fake_runtime(folder, behaviour)
    _, request = closed(workshop.worker(cell))
    log = folder / "log"
    with workshop.supervising():
        worker = Process(process.command(path), process.environment(path), str(log))
    with closing(worker):
        try:
            return worker.ask(request, ANSWER_S), log.read_text()
        except WorkerError as failure:
            return failure, log.read_text()


def closed(started: tuple[Process, dict[str, Any]]) -> tuple[Process, dict[str, Any]]:
    """End a worker of which only the request is wanted."""
    started[0].close()
    return started


PRINTS = """
import os, sys
print('{"ok": "not an answer"}', flush=True)
os.write(1, b'{"ok": "from native code"}\\n')
os.system("echo from a child")
raise RuntimeError("after printing")
"""


def test_what_a_runtime_prints_is_no_answer(
    workshop: Workshop, cell: wire.Cell, tmp_path: Path
) -> None:
    failure, log = ask_fake(workshop, cell, tmp_path, PRINTS)
    assert isinstance(failure, WorkerError), failure
    assert str(failure) == "RuntimeError: after printing"
    for said in ("not an answer", "from native code", "from a child"):
        assert said in log


CHATTY = """
import os, sys
print('{"ok": "not an answer"}', flush=True)
os.write(1, b"no line end")
del sys.path[sys.path.index(os.path.dirname(__file__))], sys.modules[__name__]
import onnxruntime
"""


def test_a_chatty_runtime_still_measures(
    workshop: Workshop, cell: wire.Cell, tmp_path: Path
) -> None:
    # It prints, and then makes room for the real one behind it.
    (tmp_path / f"{RUNTIME}.py").write_text(CHATTY)
    path = f"{tmp_path}{os.pathsep}{workshop.runtime(RUNTIME)}"
    job = workshop.job([cell], runtimes={RUNTIME: {"path": path}})
    with workshop.supervising():
        record = launch.run(workshop.bench(job), job["groups"][0], 0, {})["cells"][0]
    assert (record["status"], record["reason"]) == ("ok", None)
    (log,) = (workshop.root / "jobs" / job["run"] / "logs").iterdir()
    assert log.read_text() == '{"ok": "not an answer"}\nno line end'


def test_the_last_words_of_a_dead_worker_are_in_the_reason(
    workshop: Workshop, cell: wire.Cell, tmp_path: Path
) -> None:
    dies = "import os, sys\nprint('the licence has expired', flush=True)\nos._exit(3)\n"
    failure, _ = ask_fake(workshop, cell, tmp_path, dies)
    assert "died in load: exit status 3; log: the licence has expired" in str(failure)


HUNGRY = """
import resource
# Address space, not the machine's memory, is what runs out here.
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
held = []
while True:
    held.append(bytearray(1 << 26))
"""


def test_memory_without_end_is_a_reason(
    workshop: Workshop, cell: wire.Cell, tmp_path: Path
) -> None:
    failure, _ = ask_fake(workshop, cell, tmp_path, HUNGRY)
    assert isinstance(failure, WorkerError)
    assert (failure.status, str(failure)) == ("failed", "out of memory")


def test_a_worker_volunteers_when_memory_runs_out(worker: Process) -> None:
    score = Path(f"/proc/{worker.child.pid}/oom_score_adj").read_text()
    assert int(score) == 1000


def test_a_worker_that_dies_fails_its_cell_and_no_other(
    workshop: Workshop, cell: wire.Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim: wire.Cell = {**cell, "id": "victim"}
    warm = launch.Arm.warm

    def warm_then_die(arm: launch.Arm) -> None:
        warm(arm)
        if arm.cell["id"] == "victim" and arm.worker:
            os.kill(arm.worker.child.pid, signal.SIGKILL)
            eventually(lambda: arm.worker is not None and arm.worker.child.poll() is not None)

    monkeypatch.setattr(launch.Arm, "warm", warm_then_die)
    dead, living = workshop.launch(victim, cell)["cells"]
    assert dead["status"] == "failed"
    assert "died in block: killed by SIGKILL" in (dead["reason"] or "")
    assert (dead["blocks"], dead["memory"]) == ([], None)
    assert living["status"] == "ok"
    assert len(living["blocks"]) == BLOCKS


SUPERVISOR = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from agents import process
from agents.process import Process
request = json.loads(sys.stdin.readline())
sys.argv[0] = sys.argv[1]
command, variables = process.command(sys.argv[2]), process.environment(sys.argv[2])
workers = [Process(command, variables, sys.argv[3] + str(at)) for at in range(2)]
for worker in workers:
    worker.ask(request, 60.0)
print(*(worker.child.pid for worker in workers), flush=True)
time.sleep(60)
"""


def test_stopped_workers_die_with_their_supervisor(
    workshop: Workshop, cell: wire.Cell, tmp_path: Path
) -> None:
    _, request = closed(workshop.worker(cell))
    arguments = [str(workshop.agent), workshop.runtime(RUNTIME), str(tmp_path / "log")]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdin and supervisor.stdout
    supervisor.stdin.write(json.dumps(request) + "\n")
    supervisor.stdin.flush()
    pids = [int(word) for word in supervisor.stdout.readline().split()]
    assert len(pids) == 2
    assert eventually(lambda: {state(pid) for pid in pids} == {"T"})
    supervisor.kill()
    supervisor.communicate()
    # Whoever adopts them may not reap them at once.
    assert eventually(lambda: {state(pid) for pid in pids} <= {"gone", "Z"})
