"""Agent, model files, datasets and runtimes onto a device: by sha256, and only what is missing."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from agents import wire
from harness.connections import Completed, Connection
from harness.devices import Device
from harness.errors import DeviceError, InputError
from harness.provision import Archive

OLDEST_PYTHON = (3, 8)
KINDS = ("agent", "models", "datasets", "runtimes")
# Room that must stay free on the device beside what is pushed: journal, logs, byte code.
SPARE_BYTES = 50 * 1024 * 1024
ENTRY = "from agents.__main__ import main\nmain()\n"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Blob:
    """A file to be on the device under its sha256."""

    kind: str
    path: Path
    sha256: str


@dataclass
class Site:
    """edgeproof's folder on a device, and how to run the agent there."""

    device: Device
    connection: Connection
    root: str
    python: str
    agent: str = ""  # path of the zipapp on the device
    pushed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def blob(self, sha256: str) -> str:
        """Path of a pushed file."""
        return f"{self.root}/blobs/{sha256}"

    def job(self, run: str) -> str:
        """Folder of a run's job; a board may have two names in the inventory."""
        return f"{self.root}/jobs/{run}.{self.device.name}"

    def command(self, verb: str, *arguments: str) -> list[str]:
        """Command line that runs a verb of the agent."""
        return [self.python, self.agent, verb, *arguments]

    def run(self, command: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a command that has to succeed; raises DeviceError with what it said."""
        done = self.connection.run(command, timeout=timeout)
        if done.status != 0:
            raise failed(self.device, command, done)
        return done

    def facts(self) -> dict[str, Any]:
        """Ask the agent what kind of machine this is, and add which agent asked."""
        facts: dict[str, Any] = json.loads(self.run(self.command("facts", self.root)).stdout)
        return facts | {"agent_sha256": PurePosixPath(self.agent).name}


def failed(device: Device, command: Sequence[str], done: Completed) -> DeviceError:
    """Explain a command that failed on a device."""
    said = " ".join((done.stderr or done.stdout).split())[-400:]
    what = f"`{shlex.join(command)[:200]}` ended with status {done.status}: {said or 'no message'}"
    advice = f"edgeproof devices check {device.name}"
    if "No space left" in said:
        what, advice = f"the disk is full: {said}", f"edgeproof devices clean {device.name}"
    elif "Read-only file system" in said or "Permission denied" in said:
        what = f"cannot write to {device.root}: {said}"
        advice = "give the device a writable `root:` in the inventory"
    return DeviceError(what, where=device.name, next_step=advice)


def open_site(device: Device, connection: Connection) -> Site:
    """Check Python, make the folder, and bring the agent; raises DeviceError."""
    _check_python(device, connection)
    site = bare_site(device, connection)
    folders = [f"{site.root}/{name}" for name in ("blobs", "jobs", "runtimes")]
    site.run(["mkdir", "-p", *folders])
    with tempfile.TemporaryDirectory() as scratch:
        agent = Path(scratch) / "agent"
        agent.write_bytes(zipapp())
        blob = Blob("agent", agent, hashlib.sha256(agent.read_bytes()).hexdigest())
        push(site, [blob])
        site.agent = site.blob(blob.sha256)
    return site


def bare_site(device: Device, connection: Connection) -> Site:
    """The site as it is, without an agent: enough to clean up a device whose disk is full."""
    return Site(device, connection, _absolute(device, connection), device.python)


def push(site: Site, blobs: Iterable[Blob]) -> None:
    """Bring the blobs that the device does not hold intact; counts the bytes in `site.pushed`."""
    wanted = {blob.sha256: blob for blob in blobs}
    held = _held(site, list(wanted))
    missing = [blob for key, blob in wanted.items() if key not in held]
    _check_room(site, sum(blob.path.stat().st_size for blob in missing))
    for blob in missing:
        _check_unchanged(blob)
        site.connection.put(blob.path, site.blob(blob.sha256))  # checks what arrived
        site.pushed[blob.kind] += blob.path.stat().st_size


def install(site: Site, runtime: Archive) -> str:
    """Bring a runtime; returns its folder on the device."""
    folder = f"{site.root}/runtimes/{runtime.runtime}-{runtime.sha256[:16]}"
    if site.connection.run(["test", "-d", folder]).status == 0:
        return folder
    _check_room(site, runtime.bytes + runtime.unpacked_bytes)
    push(site, [Blob("runtimes", runtime.path, runtime.sha256)])
    unpack = site.command("unpack", site.blob(runtime.sha256), folder)
    site.run(unpack, timeout=900.0)
    return folder


def write_job(site: Site, job: wire.Job) -> str:
    """Lay out a job's folder; returns it. A folder that is there keeps its journal."""
    folder = site.job(job["run"])
    site.run(["mkdir", "-p", folder])
    site.run(["rm", "-f", f"{folder}/stop", f"{folder}/supervisor.json"])
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "job.json"
        file.write_text(json.dumps(job))
        site.connection.put(file, f"{folder}/job.json")
    return folder


def zipapp() -> bytes:
    """Pack the agent; the bytes depend on its sources alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _write(archive, "__main__.py", ENTRY.encode())
        for name, data in sorted(_sources("agents")):
            _write(archive, name, data)
    return buffer.getvalue()


def _sources(package: str) -> Iterable[tuple[str, bytes]]:
    for item in resources.files(package).iterdir():
        if item.name.endswith(".py"):
            yield f"{package.replace('.', '/')}/{item.name}", item.read_bytes()
        elif item.is_dir() and item.name.isidentifier() and not item.name.startswith("__"):
            yield from _sources(f"{package}.{item.name}")


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _check_python(device: Device, connection: Connection) -> None:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = connection.run([device.python, "-c", script])
    wanted = ".".join(map(str, OLDEST_PYTHON))
    if done.status != 0:
        raise DeviceError(
            f"no Python there: `{device.python}` ended with status {done.status}",
            where=device.name,
            next_step=f"install python3 ({wanted} or newer) on the board, or give the device "
            "`python: PATH` in the inventory",
        )
    found = tuple(int(part) for part in done.stdout.split(".")[:2])
    if found < OLDEST_PYTHON:
        raise DeviceError(
            f"Python {done.stdout.strip()} is too old; the agent needs {wanted} or newer",
            where=device.name,
            next_step="give the device `python: PATH` of a newer one in the inventory",
        )


def _absolute(device: Device, connection: Connection) -> str:
    """Path of the device's root; ~ is the home of the user there."""
    if not device.root.startswith("~"):
        return device.root
    done = connection.run(["sh", "-c", 'printf %s "$HOME"'])
    if done.status != 0 or not done.stdout.startswith("/"):
        raise failed(device, ["echo", "$HOME"], done)
    return done.stdout.rstrip("/") + device.root[1:]


def _check_unchanged(blob: Blob) -> None:
    """A file that changed since it was looked into must not lie there under its old name."""
    with blob.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != blob.sha256:
            raise InputError(
                "has changed since the run began",
                where=str(blob.path),
                next_step="run again when nothing writes to it",
            )


def _held(site: Site, keys: list[str]) -> set[str]:
    """Which of the blobs the device holds intact: it hashes them again."""
    if not keys:
        return set()
    done = site.connection.run(["sha256sum", "--", *map(site.blob, keys)], timeout=600.0)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[0] for words in lines if len(words) == 2 and words[1] == site.blob(words[0])}


def _check_room(site: Site, needed: int) -> None:
    if not needed:
        return
    done = site.run(["df", "-Pk", site.root])
    free = int(done.stdout.splitlines()[-1].split()[3]) * 1024
    if free < needed + SPARE_BYTES:
        raise DeviceError(
            f"not enough disk: {(needed + SPARE_BYTES) / 1e6:.0f} MB needed in {site.root}, "
            f"{free / 1e6:.0f} MB free",
            where=site.device.name,
            next_step=f"edgeproof devices clean {site.device.name}, or another `root:`",
        )
