"""The library in the store: what `edgeproof variants restore` brings back, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.integration.family_lab import MAGNITUDE, FamilyLab

PRUNED = {"from": "dense", "formats": ["onnx"], "prune": MAGNITUDE}
HALF = {"quantize": {"to": "fp16"}}


def test_an_older_file_comes_back_byte_by_byte(own: FamilyLab) -> None:
    names = ("pruned.onnx", "pruned.onnx.json", "pruned.onnx.mask.npz")
    older = {name: (own.file("pruned").parent / name).read_bytes() for name in names}
    sha256 = own.manifest("pruned")["sha256"]
    store = f"sqlite:///{own.folder / 'other.db'}"
    own.write({"pruned": PRUNED})
    own.build("--store", store)
    own.write({"pruned": {**PRUNED, "prune": {**MAGNITUDE, "sparsity": 0.7}}})
    own.build("--store", store)
    assert own.file("pruned").read_bytes() != older["pruned.onnx"]
    back = ("variants", "restore", sha256[:12], "--store", store, "-o")
    told = own.edgeproof(*back, "release")
    assert (told.code, told.out) == (0, "release/pruned.onnx\n")
    assert {name: (own.folder / "release" / name).read_bytes() for name in names} == older
    assert own.edgeproof("variants", "verify", "release/pruned.onnx").code == 0
    assert own.edgeproof(*back, "release").code == 0
    assert "is there already, with other content" in own.refused(*back, "variants/digits/pruned")


def test_two_files_of_an_ir_come_back(family: FamilyLab, tmp_path: Path) -> None:
    sha256 = family.manifest("ir", ".xml")["sha256"]
    assert family.edgeproof("variants", "restore", sha256, "-o", str(tmp_path)).code == 0
    for path in family.file("ir").parent.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_manifest_of_another_version_comes_back_as_it_was(own: FamilyLab) -> None:
    sha256 = own.manifest("pruned")["sha256"]
    older = {"schema": "edgeproof.variant/1", "variant": "pruned"}
    with contextlib.closing(sqlite3.connect(own.folder / "store.db")) as link, link:
        link.execute(
            "UPDATE artifacts SET manifest = ? WHERE sha256 = ?", [json.dumps(older), sha256]
        )
    assert own.edgeproof("variants", "restore", sha256, "-o", "a").code == 0
    assert json.loads((own.folder / "a" / "pruned.onnx.json").read_text()) == older
    own.build()  # the same file, so the store takes the manifest that can be read
    assert own.edgeproof("variants", "restore", sha256, "-o", "b").code == 0
    assert json.loads((own.folder / "b" / "pruned.onnx.json").read_text()) == own.manifest("pruned")


def test_names_in_capitals(lab: FamilyLab) -> None:
    shutil.move(lab.folder / "models" / "dense.onnx", lab.folder / "DENSE.ONNX")
    lab.write({"dense": {"model": "DENSE.ONNX"}, "half": {"from": "dense", **HALF}})
    lab.build()
    sha256 = lab.manifest("half")["parent"]["sha256"]
    told = lab.edgeproof("variants", "restore", sha256, "-o", "back")
    assert (told.code, told.out) == (0, "back/DENSE.ONNX\n")
    assert [path.name for path in (lab.folder / "back").iterdir()] == ["DENSE.ONNX"]
    assert "has no manifest" in lab.refused("variants", "show", "back/DENSE.ONNX")
    shutil.move(lab.file("half"), lab.folder / "HALF.ONNX")
    shutil.move(lab.file("half", ".onnx.json"), lab.folder / "HALF.ONNX.json")
    assert lab.edgeproof("variants", "verify", "HALF.ONNX").code == 0
    shutil.move(lab.folder / "study.yaml", lab.folder / "STUDY.YAML")
    assert "variant" in lab.edgeproof("variants", "verify", "STUDY.YAML").out


def test_damage_in_the_store_is_not_written(own: FamilyLab) -> None:
    sha256 = own.manifest("pruned")["sha256"]
    with contextlib.closing(sqlite3.connect(own.folder / "store.db")) as link, link:
        link.execute("UPDATE blobs SET content = ? WHERE sha256 = ?", [b"other", sha256])
    assert "came out of the store" in own.refused("variants", "restore", sha256, "-o", "a")
    assert not (own.folder / "a").exists()


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("abcdefabcdef", "no artifact 'abcdefabcdef'"), ("", "artifacts begin with ''; give more")],
)
def test_what_cannot_be_restored(family: FamilyLab, prefix: str, expected: str) -> None:
    assert expected in family.refused("variants", "restore", prefix)
