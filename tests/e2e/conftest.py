"""The lab as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.lab import Lab


@pytest.fixture(scope="session")
def local_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of edgeproof on this machine as a device, for the whole test run."""
    return tmp_path_factory.mktemp("device")


@pytest.fixture
def lab(tmp_path: Path, local_root: Path) -> Lab:
    """A lab whose only device is this machine."""
    return Lab(tmp_path / "lab", local_root)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, local_root: Path) -> Lab:
    """A lab in which one run was made; tests only look at what it left and said."""
    lab = Lab(tmp_path_factory.mktemp("measured") / "lab", local_root)
    lab.first = lab.command("run", str(lab.study()))
    assert lab.first.returncode == 0, lab.first.stderr
    return lab
