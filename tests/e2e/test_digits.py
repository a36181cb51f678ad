"""The committed example: a trained network whose files are what their provenance says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.lab import Lab

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
VARIANTS = ("dense", "pruned-90", "int8", "slim-40-int8")
RUNTIMES = ("onnxruntime", "openvino", "litert")


def provenance(variant: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DIGITS / "models" / f"{variant}.json").read_text())
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, local_root: Path) -> dict[str, Any]:
    """The study of the example with three runtimes; its budget ends soon after the evaluations."""
    lab = Lab(tmp_path_factory.mktemp("digits") / "lab", local_root)
    shutil.copytree(DIGITS / "models", lab.folder / "models")
    os.link(DIGITS / "eval.npz", lab.folder / "digits.npz")
    study = yaml.safe_load((DIGITS / "study.yaml").read_text())
    return lab.run(
        variants={name: study["variants"][name] for name in VARIANTS},
        dataset={**study["dataset"], "file": "digits.npz"},
        runtimes=list(RUNTIMES),
        measure={"effort": "quick", "budget": "40s"},
    )


def test_every_file_is_the_one_that_was_made() -> None:
    documents = list((DIGITS / "models").glob("*.json"))
    assert len(documents) == 7
    for path in documents:
        for about in json.loads(path.read_text())["files"].values():
            data = (path.parent / about["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == about["sha256"], about["file"]


def test_every_parent_is_one_of_the_files() -> None:
    made = {name.stem: json.loads(name.read_text()) for name in (DIGITS / "models").glob("*.json")}
    for about in made.values():
        for parent in about["parents"]:
            assert made[parent["variant"]]["files"]["onnx"]["sha256"] == parent["sha256"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_accuracy_on_the_device_is_that_of_the_making(report: dict[str, Any], variant: str) -> None:
    made = provenance(variant)["accuracy_eval_top1"]
    rows = {row["runtime"]: row for row in report["results"] if row["variant"] == variant}
    for runtime in RUNTIMES:
        top1 = rows[runtime]["accuracy"]["top1"]
        # Integer kernels differ by a step here and there: at most 2 of 600 samples.
        assert top1 == pytest.approx(made.get(runtime, made["onnxruntime"]), abs=2.01 / 600)


@pytest.mark.parametrize("variant", VARIANTS)
def test_sparsity_in_the_file_is_what_was_aimed_at(report: dict[str, Any], variant: str) -> None:
    expected = provenance(variant)["sparsity_reached"]
    for row in report["results"]:
        if row["variant"] == variant and row["runtime"] == "onnxruntime":
            assert row["sparsity"] == pytest.approx(expected, abs=0.002)


def test_quantised_files_run_integers(report: dict[str, Any]) -> None:
    executed = {
        (row["variant"], row["runtime"]): row["precision_executed"] for row in report["results"]
    }
    for runtime in RUNTIMES:
        assert executed["dense", runtime] == "fp32"
        assert executed["int8", runtime] == "int8"
