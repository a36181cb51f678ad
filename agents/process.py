"""The supervisor's handle on one worker process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List

LOG_TAIL = 1500


class WorkerError(Exception):
    """A worker that cannot go on; `status` is failed or unsupported, the message is the reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


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
        """Read one line of the worker's answers."""
        assert self.child.stdout is not None
        descriptor = self.child.stdout.fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise WorkerError(
                    "failed", "hung: no answer to {} in {:.0f} s".format(doing, timeout)
                )
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise WorkerError("failed", self.cause_of_death(doing))
            self.buffer += data
        self.answered_ns = time.perf_counter_ns()
        line, _, rest = bytes(self.buffer).partition(b"\n")
        self.buffer = bytearray(rest)
        return line

    def cause_of_death(self, doing: str) -> str:
        """Say how the worker ended, with the last lines of its log."""
        code = self.child.wait()
        how = "exit status {}".format(code)
        if code < 0:
            how = "killed by {}".format(signal.Signals(-code).name)
            if -code == signal.SIGKILL:
                how += " (out of memory?)"
        tail = self.log_tail()
        return "the process died in {}: {}{}".format(doing, how, "; log: " + tail if tail else "")

    def log_tail(self) -> str:
        """The end of what the worker and its runtime printed."""
        with open(self.log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL))
            return file.read().decode("utf-8", "replace").strip()

    def rss_kib(self) -> int:
        """Resident memory of the worker now; 0 once it is gone."""
        from agents import proc

        try:
            return proc.status_kib("VmRSS", str(self.child.pid))
        except (OSError, KeyError):
            return 0

    def signal(self, number: int) -> None:
        """Send a signal to the worker alone, if it still lives."""
        if self.child.poll() is None:
            os.kill(self.child.pid, number)

    def close(self) -> None:
        """End the worker; its model has nothing worth an orderly exit."""
        self.signal(signal.SIGKILL)
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a message that a dead worker missed
                    pipe.close()


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
