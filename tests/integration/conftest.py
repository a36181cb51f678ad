"""A family of built variants as a fixture: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.family_lab import FamilyLab


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> FamilyLab:
    """The whole family, built; tests only look at it."""
    lab = FamilyLab(tmp_path_factory.mktemp("family") / "lab")
    lab.write()
    lab.built = lab.edgeproof("variants", "build", "study.yaml")
    assert lab.built.code == 0, lab.built.err
    return lab


@pytest.fixture
def own(family: FamilyLab, tmp_path: Path) -> FamilyLab:
    """A copy of the family, built, that a test may damage."""
    shutil.copytree(family.folder, tmp_path / "lab")
    return FamilyLab(tmp_path / "lab")


@pytest.fixture
def lab(tmp_path: Path) -> FamilyLab:
    """A lab in which nothing has been built."""
    return FamilyLab(tmp_path / "lab")
