"""The connection to a device over SSH: one transport, a channel for each command and transfer."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from harness.connections import Completed
from harness.connections.lines import as_text, split_lines
from harness.connections.local import write_whole
from harness.connections.ssh_config import Target, read_config, resolve
from harness.connections.ssh_open import Dialer, Opened
from harness.connections.tail import Tail
from harness.errors import ConnectionLostError, DeviceError

CHUNK = 1 << 18
TRANSFER_SILENCE_S = 30.0
# Asking after a failure whether the device still answers must not hang on what failed.
PROBE_S = 10.0
# Bytes that a nearly full filesystem keeps for itself, or that a cut write left over.
SLACK = 1 << 16
# What a broken link looks like depends on where paramiko was when it broke.
FAULTS = (paramiko.SSHException, EOFError, OSError)


def connect(
    host: str,
    user: str | None,
    port: int | None,
    identity_file: str | None,
    *,
    config_file: Path | None = None,
    known_hosts: Path | None = None,
    timeout: float = 10.0,
) -> SshConnection:
    """Connect as ssh would, except that a host key nobody has checked is always refused."""
    config = read_config(config_file)
    target = resolve(
        config, host, user, port, identity_file, known_hosts=known_hosts, timeout=timeout
    )
    return SshConnection(Dialer(config, known_hosts).open(target), target)


class SshConnection:
    """A session with one device over one SSH transport; threads may share it."""

    def __init__(self, opened: Opened, target: Target) -> None:
        self._opened = opened
        self._transport = opened.transport
        self._where = str(target)

    def __str__(self) -> str:
        return self._where

    def run(self, command: Sequence[str], *, timeout: float = 60.0) -> Completed:
        deadline = time.monotonic() + timeout
        with self._session(command) as channel:
            stderr = bytearray()
            complaints = _drain_stderr(channel, stderr.extend)
            try:
                stdout = b"".join(_chunks(channel, lambda: deadline - time.monotonic()))
                complaints.join(max(0.0, deadline - time.monotonic()))
                status = self._status(channel, command, deadline - time.monotonic())
            except TimeoutError as error:
                _end(channel)
                if not self._answers():
                    raise self._lost(f"running `{shlex.join(command)}`") from error
                raise DeviceError(
                    f"`{shlex.join(command)}` did not end within {timeout:g} s", where=self._where
                ) from error
            return Completed(status, as_text(stdout), as_text(bytes(stderr)))

    @contextmanager
    def stream(self, command: Sequence[str], *, silence: float) -> Iterator[Iterator[str]]:
        with self._session(command) as channel:
            try:
                yield split_lines(self._followed(channel, command, silence))
            finally:
                _end(channel)

    def put(self, local: Path, remote: str) -> None:
        with local.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        part = f"{remote}.part"
        with self._sftp() as sftp:
            try:
                # confirm: paramiko forgets errors of its last writes, but not a size that is wrong.
                sftp.put(str(local), part, confirm=True)
                self._verify(part, digest)
                sftp.posix_rename(part, remote)
            except ConnectionLostError:
                raise
            except DeviceError:
                _discard(sftp, part)
                raise
            except FAULTS as error:
                self._put_failed(sftp, error, local, remote)
        # A rename is durable only when its folder is.
        self.run(["sync", posixpath.dirname(remote)])

    def get(self, remote: str, local: Path) -> None:
        with self._sftp() as sftp:
            try:
                source = sftp.open(remote, "rb")
                size = source.stat().st_size or 0
                source.prefetch(size)
            except FAULTS as error:
                self._fail(error, f"reading {remote}")
            write_whole(local, lambda target: self._fetch(source, size, target, remote))

    def close(self) -> None:
        self._opened.close()

    @contextmanager
    def _session(self, command: Sequence[str]) -> Iterator[paramiko.Channel]:
        """A channel in which the command has been started, with nothing on its stdin."""
        try:
            channel = self._transport.open_session(timeout=PROBE_S)
            # exec: without it, what a killed command looks like depends on the login shell.
            channel.exec_command(f"exec {shlex.join(command)}")
            channel.shutdown_write()
        except FAULTS as error:
            self._fail(error, f"starting `{shlex.join(command)}`")
        with channel:
            yield channel

    def _followed(
        self, channel: paramiko.Channel, command: Sequence[str], silence: float
    ) -> Iterator[bytes]:
        """The command's output as it comes; at its end, an error unless it succeeded."""
        complaints = Tail()
        reader = _drain_stderr(channel, complaints.add)
        try:
            yield from _chunks(channel, lambda: silence)
            reader.join(silence)
            status = self._status(channel, command, silence)
        except TimeoutError as error:
            raise ConnectionLostError(
                f"`{shlex.join(command)}` said nothing for {silence:g} s", where=self._where
            ) from error
        if status:
            raise DeviceError(complaints.failure(command, status), where=self._where)

    def _status(self, channel: paramiko.Channel, command: Sequence[str], wait: float) -> int:
        """The exit status, or -1 for a command that was killed while the link was up."""
        if not channel.status_event.wait(max(0.0, wait)):
            raise TimeoutError
        status = channel.recv_exit_status()
        # A broken link looks the same: paramiko raises nothing.
        if status == -1 and not self._answers():
            raise self._lost(f"running `{shlex.join(command)}`")
        return status

    def _answers(self) -> bool:
        """Whether the device still answers: a new channel takes one round trip."""
        try:
            self._transport.open_session(timeout=PROBE_S).close()
        except paramiko.ChannelException:
            # It refused, as at MaxSessions, so it is there.
            return True
        except FAULTS:
            return False
        return True

    def _lost(self, doing: str) -> ConnectionLostError:
        return ConnectionLostError(
            f"the connection broke while {doing}",
            where=self._where,
            next_step="check the device's power and network; a job that runs there goes on",
        )

    def _fail(self, error: Exception, doing: str) -> NoReturn:
        """Raise what a fault of paramiko means: the link broke, or the device refused."""
        if not self._answers():
            raise self._lost(doing) from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DeviceError(f"{doing} failed: {reason}", where=self._where) from error

    @contextmanager
    def _sftp(self) -> Iterator[paramiko.SFTPClient]:
        try:
            sftp = paramiko.SFTPClient.from_transport(self._transport)
            assert sftp is not None
        except FAULTS as error:
            if not self._answers():
                raise self._lost("opening SFTP") from error
            raise DeviceError(
                f"offers no SFTP: {error or 'end of file'}",
                where=self._where,
                next_step="install openssh-sftp-server on the device; "
                "its login shell must print nothing",
            ) from error
        with sftp:
            channel = sftp.get_channel()
            assert channel is not None
            channel.settimeout(TRANSFER_SILENCE_S)
            yield sftp

    def _verify(self, part: str, digest: str) -> None:
        """Have the device write the file through to its disk and read it again."""
        script = 'sync "$1" && sha256sum < "$1"'
        done = self.run(["sh", "-c", script, "sh", part], timeout=600)
        if done.status != 0:
            raise DeviceError(f"cannot verify {part}: {done.stderr.strip()}", where=self._where)
        if done.stdout.split()[:1] != [digest]:
            raise DeviceError(
                f"{part} arrived damaged: its sha256 is not {digest}",
                where=self._where,
                next_step="run it again; if it recurs, check the device's disk and memory",
            )

    def _put_failed(
        self, sftp: paramiko.SFTPClient, error: Exception, local: Path, remote: str
    ) -> NoReturn:
        """Raise what a failed upload means: SFTP itself says no more than "Failure"."""
        if not self._answers():
            raise self._lost(f"writing {remote}") from error
        part = f"{remote}.part"
        arrived = 0
        with suppress(*FAULTS):
            arrived = sftp.stat(part).st_size or 0
        free = self._free_bytes(posixpath.dirname(remote))
        _discard(sftp, part)
        needed = local.stat().st_size
        if free is not None and free < needed - arrived + SLACK:
            raise DeviceError(
                f"no space left for {remote}: it needs {needed / 1e6:.1f} MB, "
                f"{(free + arrived) / 1e6:.1f} MB are free",
                where=self._where,
                next_step="edgeproof devices clean, "
                f"or look on the device: df -h {shlex.quote(posixpath.dirname(remote))}",
            ) from error
        self._fail(error, f"writing {remote}")

    def _free_bytes(self, folder: str) -> int | None:
        done = self.run(["df", "-Pk", folder], timeout=PROBE_S)
        found = re.search(r"\s(\d+)\s+-?\d+%", done.stdout)
        return int(found[1]) * 1024 if found else None

    def _fetch(self, source: paramiko.SFTPFile, size: int, target: IO[bytes], remote: str) -> None:
        got = 0
        for data in self._read(source, remote):
            got += target.write(data)
        if got < size:
            raise self._lost(f"reading {remote}")

    def _read(self, source: paramiko.SFTPFile, remote: str) -> Iterator[bytes]:
        while True:
            try:
                data = source.read(CHUNK)
            except FAULTS as error:
                self._fail(error, f"reading {remote}")
            if not data:
                return
            yield data


def _drain_stderr(channel: paramiko.Channel, sink: Callable[[bytes], None]) -> threading.Thread:
    """Read stderr from a thread: it shares a window with stdout, so that unread it blocks both."""

    def read() -> None:
        while True:
            try:
                data = channel.recv_stderr(CHUNK)
            except TimeoutError:
                continue
            if not data:
                return
            sink(data)

    reader = threading.Thread(target=read, name="stderr", daemon=True)
    reader.start()
    return reader


def _chunks(channel: paramiko.Channel, patience: Callable[[], float]) -> Iterator[bytes]:
    """What arrives on stdout; TimeoutError when nothing does for as long as patience says."""
    while True:
        channel.settimeout(max(0.001, patience()))
        data = channel.recv(CHUNK)
        if not data:
            return
        yield data


def _end(channel: paramiko.Channel) -> None:
    """End the command's process group: closing the channel alone would leave it running."""
    if channel.exit_status_ready() or channel.closed:
        return
    signal = paramiko.Message()
    signal.add_byte(cMSG_CHANNEL_REQUEST)
    signal.add_int(channel.remote_chanid)
    signal.add_string("signal")
    signal.add_boolean(False)
    signal.add_string("TERM")
    with suppress(*FAULTS):
        channel.get_transport()._send_user_message(signal)  # type: ignore[attr-defined]
    channel.close()


def _discard(sftp: paramiko.SFTPClient, path: str) -> None:
    with suppress(*FAULTS):
        sftp.remove(path)
