"""The example that compresses with training code: killed, resumed, verified and measured."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.variants import manifest
from harness.variants.outputs import outputs
from tests.e2e.lab import COMMAND, Lab

pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")
pytest.importorskip("torch_pruning", reason="the extra `author` (torch-pruning) is not installed")
pytest.importorskip("sklearn", reason="scikit-learn, the example's source of digits, is missing")

# Half a minute on a core of its own.
pytestmark = pytest.mark.timeout(900)
COMPRESS = Path(__file__).parents[2] / "examples" / "digits" / "compress.py"
CHANCE = 0.1
# Two seconds of training a variant: none is good, each must have learned something.
LEARNED = 2 * CHANCE
TRAINED = {
    **{f"pruned-{share}": ("weights", share / 100) for share in range(20, 81, 10)},
    "movement-70": ("weights", 0.7),
    "ticket-70": ("weights", 0.7),
    "slim-40": ("channels", 0.4),
}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(folder: Path) -> list[str]:
    return [sys.executable, str(COMPRESS), "--quick", "-o", str(folder)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the example leaves when it was killed in the middle and started again."""
    made = tmp_path_factory.mktemp("compress")
    with subprocess.Popen(command(made), env=ENVIRONMENT, stdout=subprocess.DEVNULL) as first:
        while not (made / "checkpoints" / "pruned-40").exists():
            assert first.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
    before = times(made / "checkpoints" / "dense")
    done = subprocess.run(
        command(made), env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert before and times(made / "checkpoints" / "dense") == before  # it was not trained again
    return made


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix}


def study(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "study.yaml").read_text())
    return found


def test_every_variant_has_learned(folder: Path) -> None:
    with np.load(folder / "eval.npz") as archive:
        x, y = archive["x"][:200], archive["y"][:200]
    names = [name for name, item in study(folder)["variants"].items() if "model" in item]
    assert set(names) == {"dense", "qat", *TRAINED}
    for name in names:
        [scores] = outputs(folder / f"{name}.onnx", "onnx", {"x": x})
        assert np.mean(scores.argmax(axis=1) == y) > LEARNED, name


@pytest.mark.parametrize("name", TRAINED)
def test_manifests_say_what_was_asked(folder: Path, name: str) -> None:
    unit, share = TRAINED[name]
    made = manifest.read(folder / f"{name}.onnx")
    assert made.sparsity is not None and made.training is not None
    assert (made.sparsity.unit, made.sparsity.target) == (unit, share)
    assert made.sparsity.reached == pytest.approx(share, abs=0.01)
    distilled = made.training.distilled_from
    assert distilled == (made.parent.sha256 if name.startswith("pruned") else None)


def test_the_schedule_of_a_variant_is_all_that_led_to_it(folder: Path) -> None:
    training = manifest.read(folder / "pruned-50.onnx").training
    assert training is not None
    assert [step.name.split(" by ")[0] for step in training.schedule] == [
        *("prune 20%", "prune 30%", "prune 40%", "prune 50%"),
    ]


def test_the_study_is_what_its_manifests_say(folder: Path) -> None:
    done = subprocess.run(
        [COMMAND, "variants", "verify", str(folder / "study.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" yes") == len(study(folder)["variants"]) - 1  # dense has no manifest


def test_curves_are_drawn_from_the_manifests(
    folder: Path, tmp_path: Path, local_root: Path
) -> None:
    lab = Lab(tmp_path / "lab", local_root)
    names = ("dense", "pruned-80", "slim-40")
    for path in (path for path in folder.iterdir() if path.name.split(".")[0] in names):
        shutil.copy(path, lab.folder)
    shutil.copy(folder / "eval.npz", lab.folder / "digits.npz")
    whole = study(folder)
    report = lab.run(
        variants={name: whole["variants"][name] for name in names},
        dataset={**whole["dataset"], "file": "digits.npz"},
        compare=["variants"],
        measure={"effort": "quick", "budget": "6s"},
    )
    drawn = {
        curve["kind"]: [(point["variant"], round(point["share"], 2)) for point in curve["points"]]
        for curve in report["curves"]
    }
    assert drawn == {
        "magnitude, distilled": [("dense", 0), ("pruned-80", 0.8)],
        "structured": [("dense", 0), ("slim-40", 0.4)],
    }
