"""The agent runs on the oldest Python that this machine has, from 3.8 up."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]


@functools.cache
def oldest_python() -> tuple[tuple[int, int], str] | None:
    """Version and path of the oldest working interpreter from 3.8 up."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders += [Path("/usr/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    folders += Path.home().glob(".local/share/uv/python/*/bin")
    for minor in range(8, sys.version_info.minor + 1):
        for folder in folders:
            path = str(folder / f"python3.{minor}")
            if os.access(path, os.X_OK) and works(path, minor):
                return (3, minor), path
    return None


def works(path: str, minor: int) -> bool:
    """Whether a candidate runs and is what its name says: version managers leave empty shims."""
    check = f"import sys, ssl, ctypes; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([path, "-c", check], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment of the oldest Python with what the agent's tests need."""
    found = oldest_python()
    if found is None or found[0] == sys.version_info[:2]:
        pytest.skip("no Python older than this one, from 3.8 up, is on this machine")
    folder = tmp_path_factory.mktemp("old") / "venv"
    python = str(folder / "bin" / "python")
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--python", found[1], str(folder)], check=True)
    lock = str(ROOT / "requirements" / "agent.txt")
    command = [uv, "pip", "install", "-q", "-p", python, "--require-hashes", "-r", lock]
    subprocess.run(command, check=True)
    return python


def test_the_agents_own_tests_pass_there(old_python: str, tmp_path: Path) -> None:
    tests = str(ROOT / "tests" / "unit" / "agent")
    # Its own configuration and no conftest of ours: those are for the host's Python.
    command = [old_python, "-m", "pytest", "-q", tests, "--confcutdir", tests, "--rootdir", tests]
    command += ["-c", os.devnull, "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
