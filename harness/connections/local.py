"""The connection to the machine that the controller itself runs on."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.connections import Completed
from harness.connections.lines import as_text, split_lines
from harness.connections.tail import Tail
from harness.errors import ConnectionLostError, DeviceError, EdgeproofError

WHERE = "local"
CHUNK = 1 << 20


class LocalConnection:
    """The same promises as a connection over SSH, kept with child processes and copies."""

    def run(self, command: Sequence[str], *, timeout: float = 60.0) -> Completed:
        try:
            child = _start(command)
        except OSError as error:
            return _not_started(command, error)
        try:
            stdout, stderr = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"`{shlex.join(command)}` did not end within {timeout:g} s", where=WHERE
            ) from error
        finally:
            _end(child)
        # A negative status is a signal; over SSH that is always -1.
        return Completed(max(child.returncode, -1), as_text(stdout), as_text(stderr))

    @contextmanager
    def stream(self, command: Sequence[str], *, silence: float) -> Iterator[Iterator[str]]:
        try:
            child = _start(command)
        except OSError as error:
            failed = _not_started(command, error)
            raise DeviceError(failed.stderr, where=WHERE) from error
        try:
            yield split_lines(_chunks(child, command, silence))
        finally:
            _end(child)

    def put(self, local: Path, remote: str) -> None:
        with local.open("rb") as source:
            write_whole(Path(remote), lambda part: _copy(source, part))

    def get(self, remote: str, local: Path) -> None:
        try:
            source = Path(remote).open("rb")  # noqa: SIM115  (closed two lines on)
        except OSError as error:
            raise DeviceError(f"cannot read {remote}: {error.strerror}", where=WHERE) from error
        with source:
            write_whole(local, lambda part: _copy(source, part))

    def close(self) -> None:
        """Nothing is open between calls."""


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where a login starts, so that a relative path means the same on every device.
        cwd=Path.home(),
        # A process group of its own, so that its children end with it.
        start_new_session=True,
    )


def _not_started(command: Sequence[str], error: OSError) -> Completed:
    """What a shell on a device says of a command that it cannot start."""
    # Looked for on PATH, "permission denied" is about a folder of PATH and means not found.
    status = 126 if error.errno == errno.EACCES and "/" in command[0] else 127
    return Completed(status, "", f"{command[0]}: {error.strerror}\n")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no process and no pipe behind; a child that has ended keeps its background jobs."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    for pipe in (child.stdout, child.stderr):
        if pipe:
            pipe.close()


def _chunks(
    child: subprocess.Popen[bytes], command: Sequence[str], silence: float
) -> Iterator[bytes]:
    """The command's output as it comes; its stderr is kept for the error, should it fail."""
    assert child.stdout and child.stderr
    complaints = Tail()
    with selectors.DefaultSelector() as open_pipes:
        open_pipes.register(child.stdout, selectors.EVENT_READ, None)
        open_pipes.register(child.stderr, selectors.EVENT_READ, complaints)
        while open_pipes.get_map():
            ready = open_pipes.select(silence)
            if not ready:
                raise ConnectionLostError(
                    f"`{shlex.join(command)}` said nothing for {silence:g} s", where=WHERE
                )
            for key, _ in ready:
                data = os.read(key.fd, CHUNK)
                if not data:
                    open_pipes.unregister(key.fileobj)
                elif key.data is complaints:
                    complaints.add(data)
                else:
                    yield data
    if status := child.wait():
        raise DeviceError(complaints.failure(command, max(status, -1)), where=WHERE)


def write_whole(path: Path, fill: Callable[[IO[bytes]], None]) -> None:
    """Write a file beside its place, fsync it and rename it, so that it is whole or not there."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as target:
            fill(target)
            target.flush()
            os.fsync(target.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _write_error(path, error) from error
    except EdgeproofError:
        part.unlink(missing_ok=True)
        raise


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    shutil.copyfileobj(source, target, CHUNK)


def _sync_folder(folder: Path) -> None:
    """A rename is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(path: Path, error: OSError) -> DeviceError:
    if error.errno == errno.ENOSPC:
        return DeviceError(
            f"no space left on the disk of {path.parent}",
            where=WHERE,
            next_step=f"df -h {shlex.quote(str(path.parent))}",
        )
    return DeviceError(f"cannot write {path}: {error.strerror}", where=WHERE)
