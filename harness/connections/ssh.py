"""The connection to a device over SSH: one transport, a channel for each command and transfer."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

import paramiko

from harness.connections import Completed
from harness.connections.lines import as_text, split_lines
from harness.connections.local import write_whole
from harness.connections.ssh_command import CHUNK, RemoteCommand
from harness.connections.ssh_config import Target, read_config, resolve
from harness.connections.ssh_open import Dialer, Opened
from harness.connections.tail import Tail
from harness.errors import ConnectionLostError, DeviceError

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
        stderr = bytearray()
        with self._started(command, stderr.extend) as remote:

            def left() -> float:
                return deadline - time.monotonic()

            try:
                stdout = b"".join(remote.chunks(left))
                status = self._status(remote, command, left)
            except TimeoutError as error:
                if not self._answers():
                    raise self._lost(f"running `{shlex.join(command)}`") from error
                raise DeviceError(
                    f"`{shlex.join(command)}` did not end within {timeout:g} s", where=self._where
                ) from error
        return Completed(status, as_text(stdout), as_text(bytes(stderr)))

    @contextmanager
    def stream(self, command: Sequence[str], *, silence: float) -> Iterator[Iterator[str]]:
        complaints = Tail()
        with self._started(command, complaints.add) as remote:
            yield split_lines(self._followed(remote, command, silence, complaints))

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
        done = self.run(["sync", posixpath.dirname(remote) or "."])
        if done.status != 0:
            raise DeviceError(f"cannot sync {remote}: {done.stderr.strip()}", where=self._where)

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
    def _started(
        self, command: Sequence[str], complain: Callable[[bytes], None]
    ) -> Iterator[RemoteCommand]:
        try:
            remote = RemoteCommand(self._transport, command, complain)
        except FAULTS as error:
            self._fail(error, f"starting `{shlex.join(command)}`")
        try:
            yield remote
        finally:
            remote.end()

    def _followed(
        self, remote: RemoteCommand, command: Sequence[str], silence: float, complaints: Tail
    ) -> Iterator[bytes]:
        """The command's output as it comes; at its end, an error unless it succeeded."""
        try:
            yield from remote.chunks(lambda: silence)
            status = self._status(remote, command, lambda: silence)
        except TimeoutError as error:
            raise ConnectionLostError(
                f"`{shlex.join(command)}` said nothing for {silence:g} s", where=self._where
            ) from error
        if status:
            raise DeviceError(complaints.failure(command, status), where=self._where)

    def _status(
        self, remote: RemoteCommand, command: Sequence[str], patience: Callable[[], float]
    ) -> int:
        """The exit status, or -1 for a command that was killed while the link was up."""
        status = remote.status(patience)
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
        try:
            channel = sftp.get_channel()
            assert channel is not None
            channel.settimeout(TRANSFER_SILENCE_S)
            yield sftp
        finally:
            # On a link that has just broken this fails too, and would hide what broke it.
            with suppress(*FAULTS):
                sftp.close()

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


def _discard(sftp: paramiko.SFTPClient, path: str) -> None:
    with suppress(*FAULTS):
        sftp.remove(path)
