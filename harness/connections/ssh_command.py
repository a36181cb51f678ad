"""One command in one channel: its outputs, its exit status, and its end when we want it."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import paramiko

CHUNK = 1 << 18
START_S = 10.0
# The shell says which process the command is, so that it can be ended: a channel that closes
# leaves it running, and an sshd passes signals on to ordinary users' commands only.
SAY_PID = 'echo "edgeproof-pid $$" >&2; exec "$@"'
PID = re.compile(rb"^edgeproof-pid (\d+)\n", re.MULTILINE)
HEAD_BYTES = 1 << 16
END = 'kill -s TERM -- "-$1" 2>/dev/null || kill -s TERM "$1"'


class RemoteCommand:
    """A started command; `complain` is called with what it writes to stderr, from a thread."""

    def __init__(
        self,
        transport: paramiko.Transport,
        command: Sequence[str],
        complain: Callable[[bytes], None],
    ) -> None:
        self._transport = transport
        self._complain = complain
        self._pid: bytes | None = None
        self._head_read = threading.Event()
        self._channel = _start(transport, SAY_PID, command)
        # A thread, because stderr shares a window with stdout: unread, it would block both.
        self._reader = threading.Thread(target=self._read_stderr, name="stderr", daemon=True)
        self._reader.start()

    def chunks(self, patience: Callable[[], float]) -> Iterator[bytes]:
        """What arrives on stdout; TimeoutError when nothing does for as long as patience says."""
        while True:
            self._channel.settimeout(max(0.001, patience()))
            data = self._channel.recv(CHUNK)
            if not data:
                return
            yield data

    def status(self, patience: Callable[[], float]) -> int:
        """The exit status once stderr has ended too; -1 when killed or when the link broke."""
        self._reader.join(max(0.0, patience()))
        if not self._channel.status_event.wait(max(0.0, patience())):
            raise TimeoutError
        return self._channel.recv_exit_status()

    def end(self) -> None:
        """End the command's process group, if it still runs, and close the channel."""
        if not self._channel.exit_status_ready() and self._head_read.wait(START_S) and self._pid:
            with suppress(paramiko.SSHException, EOFError, OSError):
                killer = _start(self._transport, END, [self._pid.decode()])
                killer.status_event.wait(START_S)
                killer.close()
        # On a link that has just broken this fails too, and would hide what broke it.
        with suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.close()

    def _read_stderr(self) -> None:
        head = b""
        for data in self._stderr():
            if self._head_read.is_set():
                self._complain(data)
                continue
            head += data
            if found := PID.search(head):
                self._pid = found[1]
                head = head[: found.start()] + head[found.end() :]
            if found or len(head) > HEAD_BYTES:
                self._complain(head)
                self._head_read.set()
        if not self._head_read.is_set():
            self._complain(head)
            self._head_read.set()

    def _stderr(self) -> Iterator[bytes]:
        while True:
            try:
                data = self._channel.recv_stderr(CHUNK)
            except TimeoutError:
                # Set for stdout; this thread waits until the channel closes.
                continue
            if not data:
                return
            yield data


def _start(
    transport: paramiko.Transport, script: str, arguments: Sequence[str]
) -> paramiko.Channel:
    """Start a script with arguments, whatever the login shell is, and with nothing on its stdin."""
    channel = transport.open_session(timeout=START_S)
    channel.exec_command(shlex.join(["exec", "sh", "-c", script, "sh", *arguments]))
    channel.shutdown_write()
    return channel
