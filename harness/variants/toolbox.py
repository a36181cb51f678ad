"""Converters in environments of their own: their pinned packages cannot live beside ours.

An environment is built by uv the first time it is needed and kept in the user's cache under a key
of its requirements. It runs as a program of its own, so its packages never meet ours.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from harness.errors import InputError
from harness.provision import cache_folder

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
BUILD_TIMEOUT_S = 1800
RUN_TIMEOUT_S = 1800
# A Python of the environment's own: what leads another one to our packages stays outside.
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYENV_VERSION", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True)
class Tool:
    """What an environment is made of."""

    name: str  # requirements/<name>.txt
    python: str  # major.minor
    # Of one package a build without CUDA may be had from a folder that pip is told of by the
    # machine; such a build has hashes of its own, and uv does not look there.
    with_pip: bool = False

    @property
    def requirements(self) -> Path:
        """Return the pinned requirements, of the checkout that this file lies in."""
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def folder(self) -> Path:
        """Return where the environment is kept."""
        said = f"{self.python}\n{self.requirements.read_text()}"
        key = hashlib.sha256(said.encode()).hexdigest()[:12]
        return cache_folder() / "tools" / f"{self.name}-{key}"

    @property
    def ready(self) -> bool:
        """Return whether it has been built."""
        return (self.folder / "complete").is_file()

    def run(self, command: Sequence[str], folder: Path) -> str:
        """Run a program of the environment in `folder`; returns what it printed.

        The environment is built first if need be. Raises InputError when the program fails.
        """
        program, *arguments = command
        where = environment(self) / "bin" / program
        done = _call([str(where), *arguments], RUN_TIMEOUT_S, folder)
        if done.returncode != 0:
            raise InputError(f"{self.name} failed: {_end(done)}")
        return done.stdout


def environment(tool: Tool) -> Path:
    """Return the folder of a tool's environment, building it the first time.

    Raises InputError when there is no Python of its version here (none is ever downloaded), or the
    packages cannot be installed.
    """
    if not tool.requirements.is_file():
        raise InputError(
            f"the versions that {tool.name} needs are not there",
            where=str(tool.requirements),
            next_step="install edgeproof from its repository, with make",
        )
    with _lock(tool.folder):
        if not tool.ready:
            shutil.rmtree(tool.folder, ignore_errors=True)  # of a build that was interrupted
            _build(tool)
    return tool.folder


def find_python(version: str) -> str:
    """Return the path of a Python of this version; raises InputError when there is none."""
    command = [find_uv_bin(), "python", "find", "--no-python-downloads", "--no-project", version]
    done = _call(command, BUILD_TIMEOUT_S, extra={"PATH": _search_path()})
    if done.returncode != 0:
        raise InputError(
            f"Python {version} is needed on the host for this conversion, and there is none",
            next_step=f"install Python {version} (uv python install {version}), or give the "
            "converted file under `model:`",
        )
    return done.stdout.strip()


def _search_path() -> str:
    """Return PATH with pyenv's versions in the place of its shims.

    A shim stands for all versions but runs only those that are switched on, and uv gives up at one
    that does not run.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    root = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    versions = [str(folder) for folder in sorted(root.glob("versions/*/bin"), reverse=True)]
    plain = [folder for folder in folders if Path(folder).name != "shims"]
    return os.pathsep.join([*plain, str(Path(sys.base_prefix) / "bin"), *versions])


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(tool: Tool) -> None:
    """Install in place, since programs know their folder; a mark at the end says it is whole."""
    uv, python = find_uv_bin(), str(tool.folder / "bin" / "python")
    seed = ["--seed"] if tool.with_pip else []
    create = [uv, "venv", "--quiet", "--no-project", *seed, "--python", find_python(tool.python)]
    steps = [[*create, str(tool.folder)]]
    if tool.with_pip:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        steps.append([*pip, "--requirement", str(tool.requirements)])
    else:
        pip = [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes"]
        steps.append([*pip, "--only-binary", ":all:", "--requirement", str(tool.requirements)])
    for step in steps:
        done = _call(step, BUILD_TIMEOUT_S)
        if done.returncode != 0:
            shutil.rmtree(tool.folder, ignore_errors=True)
            raise InputError(
                f"the environment of {tool.name} could not be built: {_end(done)}",
                next_step="check the host's network and package index, then run again",
            )
    (tool.folder / "complete").touch()


def _call(
    command: Sequence[str],
    timeout: float,
    folder: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=folder,
            env={**kept, **(extra or {})},
        )
    except subprocess.TimeoutExpired:
        what = f"`{' '.join(command)[:200]}` did not end within {timeout:g} s"
        raise InputError(what, next_step="check the host's network and load, then again") from None


def _end(done: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what a program said, on one line."""
    return " ".join((done.stderr.strip() or done.stdout.strip()).split())[-500:]
