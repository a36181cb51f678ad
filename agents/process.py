"""The supervisor's handle on one worker process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from agents import proc

# What is kept of the end of a log.
LOG_BYTES, LOG_LINES, LOG_COLUMNS = 32 * 1024, 40, 500
ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-_])")  # colours and cursor movements
CRASH = "Fatal Python error"  # how faulthandler begins, after the last words of what crashed
# With less memory than this left a board would swap or kill.
SPARE_KIB = 64 * 1024
# No process fills memory faster than this.
FILL_KIB_S = 4 * 1024 * 1024
SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.01, 1.0
# How long a worker may take to tell where it hangs, and to end.
STACK_S, END_S = 0.3, 10.0


class WorkerError(Exception):
    """A worker that cannot go on; `status` is failed or unsupported, the message is the reason.

    `log` is the end of what the worker and its runtime printed.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.log: List[str] = []


class OutOfMemoryError(WorkerError):
    """A worker that was ended because it left the device hardly any memory."""


class Process:
    """A worker process that runs only while it is spoken to.

    The others of its group are stopped: thread pools of runtimes spin for a while after an
    inference and would take the next worker's cores.
    """

    def __init__(self, command: List[str], environment: Dict[str, str], log: str) -> None:
        self.log = log
        self.answered_ns = 0
        with open(log, "wb") as errors:
            self.spawned_ns = time.perf_counter_ns()
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        self.buffer = bytearray()

    def ask(self, request: Dict[str, Any], timeout: float) -> Any:
        """Wake the worker, send a message, wait for the answer, and stop the worker again.

        Raises WorkerError when it reports an error, dies, or says nothing for `timeout` seconds.
        """
        try:
            return self.exchange(request, timeout)
        except WorkerError as error:
            error.log = self.log_tail()
            raise

    def exchange(self, request: Dict[str, Any], timeout: float) -> Any:
        """Do as `ask` says; its errors have no log yet."""
        self.signal(signal.SIGCONT)
        try:
            assert self.child.stdin is not None
            self.child.stdin.write(json.dumps(request).encode("utf-8") + b"\n")
            self.child.stdin.flush()
            reply = json.loads(self.read_line(timeout, request["do"]))
        except BrokenPipeError:
            raise WorkerError("failed", self.cause_of_death(request["do"])) from None
        self.rest()
        if "error" in reply:
            raise WorkerError(reply["error"]["status"], reply["error"]["reason"])
        return reply["ok"]

    def rest(self) -> None:
        """Stop the worker, and wait until it has: a signal takes effect when its target next runs.

        On a busy core that may be a while, in which it would share the next worker's time.
        """
        self.signal(signal.SIGSTOP)
        if self.child.returncode is None:
            os.waitid(os.P_PID, self.child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def read_line(self, timeout: float, doing: str) -> bytes:
        """Read one line of the worker's answers, and look now and then how the worker is."""
        assert self.child.stdout is not None
        descriptor = self.child.stdout.fileno()
        deadline = time.monotonic() + timeout
        free_kib = proc.free_kib()
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                self.tell_where()
                raise WorkerError(
                    "failed", "hung: no answer to {} in {:.0f} s".format(doing, timeout)
                )
            if select.select([descriptor], [], [], min(left, next_look_s(free_kib)))[0]:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    raise WorkerError("failed", self.cause_of_death(doing))
                self.buffer += data
            else:
                free_kib = self.look(doing)
        self.answered_ns = time.perf_counter_ns()
        line, _, rest = bytes(self.buffer).partition(b"\n")
        self.buffer = bytearray(rest)
        return line

    def look(self, doing: str) -> int:
        """Return the memory that the device has left, KiB; raises WorkerError if it is too little.

        Also when the worker is gone while a process that it started still holds the pipe.
        """
        if self.ended(0.0) is not None:
            raise WorkerError("failed", self.cause_of_death(doing))
        free_kib = proc.free_kib()
        if free_kib < SPARE_KIB:
            held = "{:.0f} MiB resident in {}".format(self.rss_kib() / 1024, doing)
            left = "the device had {:.0f} MiB left".format(free_kib / 1024)
            raise OutOfMemoryError("failed", "out of memory: ended at {}: {}".format(held, left))
        return free_kib

    def ended(self, seconds: float) -> Optional[int]:
        """Exit status, or minus the signal, of a worker that ends in so many seconds; else null.

        It is left a zombie, so that its process group cannot become another's.
        """
        deadline = time.monotonic() + seconds
        while self.child.returncode is None:
            found = os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)
        return self.child.returncode

    def cause_of_death(self, doing: str) -> str:
        """Say how the worker ended, with the last words of its log."""
        code = self.ended(END_S)
        if code is None:
            return "the process closed its pipe in {} and went on".format(doing)
        how = "exit status {}".format(code)
        if code < 0:
            how = "killed by {}".format(signal.Signals(-code).name)
            if -code == signal.SIGKILL:
                how += " (out of memory?)"
        words = last_words(self.log_tail())
        return "the process died in {}: {}{}".format(doing, how, "; log: " + words if words else "")

    def tell_where(self) -> None:
        """Have a worker that hangs write into its log what it is doing."""
        self.signal(signal.SIGUSR1)
        time.sleep(STACK_S)

    def log_tail(self) -> List[str]:
        """The end of what the worker and its runtime printed."""
        with open(self.log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
        lines = [printable(line) for line in text.splitlines()]
        # Of a traceback's marks under the code nothing can be learned.
        said = [line[:LOG_COLUMNS] for line in lines if line.strip(" ^~")]
        return said[-LOG_LINES:]

    def rss_kib(self) -> int:
        """Resident memory of the worker now; 0 once it is gone."""
        try:
            return proc.status_kib("VmRSS", str(self.child.pid))
        except (OSError, KeyError):
            return 0

    def signal(self, number: int) -> None:
        """Send a signal to the worker alone; one that has ended does not mind."""
        if self.child.returncode is None:
            os.kill(self.child.pid, number)

    def close(self) -> None:
        """End the worker and what it has started; its model has nothing worth an orderly exit."""
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            # A process that waits for a driver cannot be killed, and is not worth the others.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(END_S)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a message that a dead worker missed
                    pipe.close()


def next_look_s(free_kib: int) -> float:
    """Seconds in which no process can take the memory that is left but for the spare."""
    return max(SHORTEST_LOOK_S, min(LONGEST_LOOK_S, (free_kib - SPARE_KIB) / FILL_KIB_S))


def printable(line: str) -> str:
    """A line of a log without colours and control characters."""
    plain = ESCAPES.sub("", line)
    return "".join(c if c.isprintable() else " " for c in plain).rstrip()


def last_words(log: List[str]) -> str:
    """The last line before a crash was noted; empty when there is none."""
    crashes = [at for at, line in enumerate(log) if line.startswith(CRASH)]
    said = log[: crashes[-1]] if crashes else log
    return said[-1] if said else ""


def command(runtime_path: str) -> List[str]:
    """Command line of a worker: this very agent, in an interpreter of its own.

    A runtime that was brought along does not see the site packages of the board; one that is the
    board's own (an empty path) needs them.
    """
    isolation = ["-S"] if runtime_path else []
    return [sys.executable, *isolation, sys.argv[0], "worker"]


def environment(runtime_path: str) -> Dict[str, str]:
    """Environment of a worker: its runtime's folder, and no thread pool of numpy's own."""
    variables = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    variables.pop("PYTHONPATH", None)
    if runtime_path:
        variables["PYTHONPATH"] = runtime_path
    return variables
