"""A training process that is really killed, wherever: started again, it ends in the same bits."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from harness.training.checkpoints import FILE
from tests.contract.killed_training import HALF

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def train(folder: Path, end: str) -> int:
    """Train in a process of its own; return how it ended."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.contract.killed_training", str(folder), end]
    return subprocess.run(command, cwd=ROOT, timeout=120).returncode


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The weights of a run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder, "never") == 0
    return weights(folder)


def weights(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = torch.load(folder / "trained", weights_only=True)
    return found


def test_killed_in_epochs_and_between_steps(tmp_path: Path, expected: dict[str, bytes]) -> None:
    # After the epoch to go back to, with a ticket half made, in that ticket, before its end.
    for end in ("batch 5", "prepare 1", "batch 8", "prepare 3"):
        assert train(tmp_path, end) == -signal.SIGKILL
        assert names(tmp_path) == {FILE}
    assert train(tmp_path, "never") == 0
    assert weights(tmp_path) == expected


def test_killed_while_a_checkpoint_is_written(tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert train(tmp_path, "write") == -signal.SIGXFSZ
    part = tmp_path / f"{FILE}.part"
    assert part.stat().st_size == HALF < (tmp_path / FILE).stat().st_size
    assert train(tmp_path, "never") == 0
    assert weights(tmp_path) == expected
    assert names(tmp_path) == {FILE, "trained"}
