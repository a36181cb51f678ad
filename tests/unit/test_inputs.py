"""The files of a study: models, the dataset, and samples from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness.errors import InputError
from harness.inputs import look_into
from harness.study import Study, parse_study
from tests.unit.model_files import matmul

RECIPE = [{"cast": "float32"}, {"divide": 2}]
OOD = {"ood": {"loud": {"file": "loud.npz", "inputs": "z"}}}


def study(folder: Path, **changes: Any) -> Study:
    """A study of one variant that takes vectors of 4 and gives 4 classes."""
    onnx.save(matmul(np.eye(4, dtype=np.float32)), folder / "m.onnx")
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    np.savez(folder / "eval.npz", x=x, y=np.arange(6) % 4, preprocess=json.dumps(RECIPE))
    np.savez(folder / "loud.npz", z=x * 9)
    document: dict[str, Any] = {
        "name": "s",
        "baseline": "dense",
        "variants": {"dense": {"model": "m.onnx"}},
        "runtimes": ["onnxruntime"],
        "dataset": {"file": "eval.npz", "inputs": "x", "labels": "y"},
    }
    return parse_study({**document, **changes}, folder)


def test_without_robustness_a_job_has_none(tmp_path: Path) -> None:
    inputs = look_into(study(tmp_path))
    assert inputs.robustness() is None
    assert inputs.samples is not None
    assert inputs.sets_sha256 == inputs.samples.sha256
    assert [blob.kind for blob in inputs.blobs([])] == ["datasets"]


def test_samples_from_elsewhere_are_pushed_and_preprocessed_as_the_dataset(tmp_path: Path) -> None:
    inputs = look_into(study(tmp_path, robustness={**OOD, "seed": 5, "severities": [2]}))
    asked = inputs.robustness()
    assert asked is not None
    assert (asked["samples"], asked["seed"], asked["severities"]) == (6, 5, [2])
    assert len(asked["corruptions"]) == 6
    loud = asked["ood"]["loud"]
    assert (loud["inputs"], loud["labels"], loud["preprocess"]) == ({"": "z"}, None, RECIPE)
    pushed = [blob.sha256 for blob in inputs.blobs([])]
    assert pushed == [inputs.sets[0].sha256, loud["artifact"]]
    # A run is continued only with the same samples, all of them.
    before = inputs.sets_sha256
    np.savez(tmp_path / "loud.npz", z=np.ones((2, 4), np.float32))
    assert look_into(inputs.study).sets_sha256 != before


def test_no_more_samples_than_there_are(tmp_path: Path) -> None:
    for given, expected in ((3, 3), (600, 6)):
        asked = look_into(study(tmp_path, robustness={"samples": given})).robustness()
        assert asked is not None
        assert asked["samples"] == expected


@pytest.mark.parametrize(
    ("loud", "expected"),
    [
        ({"x": np.ones((2, 4))}, "has no key 'z'"),
        ({"z": np.ones((2, 5))}, "samples of shape [5] in 'z'"),
        ({"z": np.full((2, 4), np.nan)}, "NaN or infinite"),
        ({}, "has no key 'z'"),
    ],
)
def test_bad_samples_from_elsewhere(tmp_path: Path, loud: dict[str, Any], expected: str) -> None:
    asked = study(tmp_path, robustness=OOD)
    np.savez(tmp_path / "loud.npz", **loud)
    with pytest.raises(InputError) as caught:
        look_into(asked)
    assert caught.value.where == str(tmp_path / "loud.npz")
    assert expected in str(caught.value)


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    asked = study(tmp_path, robustness=OOD)
    (tmp_path / "loud.npz").unlink()
    with pytest.raises(InputError, match=r"loud\.npz"):
        look_into(asked)
