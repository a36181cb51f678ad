"""Runtimes as archives, built on the host: a board needs neither network nor pip."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from uv import find_uv_bin

from agents import backends
from harness.devices import DeviceProfile, Pin
from harness.errors import ProvisionError

SYSTEM = "system"
# The platforms uv resolves for: glibc 2.17 to 2.40 on these machines.
MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC, NEWEST_GLIBC = 17, 40
BUILD_TIMEOUT_S = 900


@dataclass(frozen=True)
class Target:
    """What a runtime is built for."""

    machine: str  # platform.machine() of the device
    python: str  # major.minor
    glibc_minor: int

    @property
    def platform(self) -> str:
        """uv's name of the platform."""
        return f"{self.machine}-manylinux_2_{self.glibc_minor}"


@dataclass(frozen=True)
class Archive:
    """A runtime ready to be pushed: the folder that `uv pip install --target` fills, .tar.gz."""

    runtime: str
    path: Path
    sha256: str
    bytes: int
    unpacked_bytes: int
    packages: tuple[str, ...]


def cache_folder() -> Path:
    """Where built runtimes are kept on the host (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgeproof"


def target(facts: Mapping[str, Any]) -> Target:
    """Read a device's target off its facts; raises ProvisionError when no wheel can fit it."""
    machine, libc = facts["machine"], facts["libc"]
    if machine not in MACHINES:
        raise ProvisionError(
            f"no runtime can be built for {machine}, only for {' and '.join(MACHINES)}",
            next_step="install it on the board and write `runtimes: {NAME: system}` in its profile",
        )
    found = re.match(r"2\.(\d+)", facts["libc_version"] or "")
    if libc != "glibc" or not found or int(found.group(1)) < OLDEST_GLIBC:
        raise ProvisionError(
            f"wheels need glibc 2.{OLDEST_GLIBC} or newer; the board has "
            f"{libc or 'no glibc'} {facts['libc_version']}".rstrip()
        )
    python = ".".join(facts["python"].split(".")[:2])
    return Target(machine, python, min(int(found.group(1)), NEWEST_GLIBC))


def requirements(label: str, profile: DeviceProfile) -> tuple[str, ...] | None:
    """What to install for a runtime on a kind of board; null means the board brings its own.

    What the profile says of the target counts most; then a board that brings the runtime, what the
    target needs by its backend, and what profile and backend say of the runtime.
    """
    name, backend = backends.name_of(label), backends.find(label)
    own, any_target = profile.pin(label), profile.runtimes.get(name)
    if isinstance(own, Pin) and own.requires:
        return own.requires
    if SYSTEM in (own, any_target):
        return None
    by_target: dict[str, tuple[str, ...]] = getattr(backend, "TARGET_REQUIRES", {})
    if backends.target_of(label) in by_target:
        return by_target[backends.target_of(label)]
    if isinstance(any_target, Pin) and any_target.requires:
        return any_target.requires
    return tuple(backend.REQUIRES)


def archive(label: str, requires: tuple[str, ...], goal: Target) -> Archive:
    """Return the archive of a runtime, building it the first time.

    Versions are settled by the first build and stay until the cache is emptied: two runs must not
    differ because a package index moved between them. Raises ProvisionError.
    """
    # A label's colon would end an entry of a path list.
    runtime, requires = backends.name_of(label), _meant_for(goal, label, requires)
    key = hashlib.sha256(json.dumps(requires).encode()).hexdigest()[:8]
    folder = cache_folder() / "runtimes" / f"{runtime}-{goal.platform}-py{goal.python}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        if not (folder / "runtime.json").is_file():
            _build(requires, goal, folder)
        return _read(runtime, folder)


def _meant_for(goal: Target, label: str, requires: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the requirements whose markers name other machines or Pythons.

    Raises ProvisionError when nothing is left.
    """
    machine = {
        "python_version": goal.python,
        "python_full_version": f"{goal.python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": goal.machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    kept = []
    for one in map(Requirement, requires):
        if one.marker is None or one.marker.evaluate(machine):
            one.marker = None
            kept.append(str(one))
    if not kept:
        raise ProvisionError(
            f"no wheels of {label} for Python {goal.python} on {goal.machine}",
            next_step="see `images:` in the device profile for what this kind of board can run",
        )
    return tuple(kept)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(runtime: str, folder: Path) -> Archive:
    about = json.loads((folder / "runtime.json").read_text())
    return Archive(
        runtime,
        folder / "runtime.tar.gz",
        about["sha256"],
        about["bytes"],
        about["unpacked_bytes"],
        tuple(about["packages"]),
    )


def _build(requires: tuple[str, ...], goal: Target, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tree = Path(scratch) / "tree"
        _install(requires, goal, tree)
        packed = Path(scratch) / "runtime.tar.gz"
        unpacked_bytes = _pack(tree, packed)
        about = {
            "sha256": hashlib.sha256(packed.read_bytes()).hexdigest(),
            "bytes": packed.stat().st_size,
            "unpacked_bytes": unpacked_bytes,
            "packages": sorted(
                item.name[: -len(".dist-info")] for item in tree.glob("*.dist-info")
            ),
        }
        packed.replace(folder / "runtime.tar.gz")
        (folder / "runtime.json").write_text(json.dumps(about, indent=1))


def _install(requires: tuple[str, ...], goal: Target, tree: Path) -> None:
    command = [find_uv_bin(), "pip", "install", "--quiet", "--target", str(tree)]
    command += ["--python-platform", goal.platform, "--python-version", goal.python]
    command += ["--only-binary", ":all:", *requires]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        late = f"it was not done after {BUILD_TIMEOUT_S / 60:.0f} minutes"
        raise _explained(late, requires, goal) from None
    if done.returncode != 0:
        raise _explained(" ".join(done.stderr.split())[-600:], requires, goal)


def _explained(said: str, requires: tuple[str, ...], goal: Target) -> ProvisionError:
    """Tell a runtime that does not exist for the device from one that could not be fetched."""
    wanted = ", ".join(requires)
    if "No solution found" in said and "network was disabled" not in said:
        return ProvisionError(
            f"no wheels fit {wanted} on Python {goal.python} and {goal.platform}: {said}",
            next_step="see `images:` in the device profile for what this kind of board can run, "
            "and `runtimes:` for what it asks for",
        )
    return ProvisionError(
        f"uv could not install {wanted}: {said}",
        next_step="check the host's network and package index, then run again",
        status="failed",
    )


def _pack(tree: Path, packed: Path) -> int:
    """Write a tar whose bytes depend on the files alone; returns the size of the files."""
    total = 0
    with (
        packed.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0, filename="") as deflated,
        # Dereferenced: files linked to each other through the package cache are plain files here.
        tarfile.open(fileobj=deflated, mode="w", dereference=True) as tar,
    ):
        for path in sorted(tree.rglob("*")):
            if path.is_file() and path.name != ".lock":
                total += path.stat().st_size
                tar.add(path, str(path.relative_to(tree)), recursive=False, filter=_anonymous)
    return total


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop what differs from build to build: owner, times, all of the mode but executable."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member
