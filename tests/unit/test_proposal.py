"""`edgeproof init`: studies that can be run at once, from files of every kind."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from harness.errors import InputError
from harness.proposal import propose, proposed, slug
from harness.study import Study, load_study
from tests.unit.model_files import Shape, onnx_model

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "models"


def onnx_file(path: Path, ports: list[tuple[str, int, Shape]]) -> Path:
    """A file whose inputs are declared so; what it computes is of no interest."""
    first = ports[0][0]
    node = helper.make_node("Identity", [first], ["y"])
    inputs = {name: (kind, shape) for name, kind, shape in ports}
    onnx.save(onnx_model([node], {}, inputs, {"y": inputs[first]}), path)
    return path


def study_of(*files: Path, folder: Path) -> tuple[Study, str]:
    """Write the study that is proposed, and read it as a user's."""
    path = folder / "study.yaml"
    text = propose(files, path, ["local"])
    path.write_text(text)
    return load_study(path), text


def test_files_of_a_name_are_a_variant_and_the_first_is_the_baseline(tmp_path: Path) -> None:
    files = [DIGITS / name for name in ("dense.onnx", "dense.tflite", "int8.tflite")]
    study, text = study_of(*files, folder=tmp_path)
    assert list(study.variants) == ["dense", "int8"]
    assert study.baseline == study.name == "dense"
    assert set(study.variants["dense"].model) == {"onnx", "tflite"}
    assert study.runtimes == ("onnxruntime", "openvino", "litert")
    assert study.batch_sizes == (1, 8)
    assert "# x: float32 [?, 96, 96, 3]" in text


def test_what_it_comments_out_can_be_taken_in(tmp_path: Path) -> None:
    _, text = study_of(DIGITS / "dense.onnx", folder=tmp_path)
    whole = re.sub(r"^( *)# (?=[\w-]+:( |$)|  - )", r"\1", text, flags=re.MULTILINE)
    whole = whole.replace("    # needs `calibration:`", "")
    for name in ("samples.npz", "eval.npz"):
        (tmp_path / name).write_bytes(b"")
    path = tmp_path / "whole.yaml"
    path.write_text("\n".join(line for line in whole.splitlines() if not line.startswith("x:")))
    study = load_study(path, built=False)
    assert set(study.variants) == {"dense", "pruned-70", "slim-40", "int8"}
    assert len(study.gates) == 3 and study.dataset and study.calibration


def test_sizes_that_a_file_leaves_open_are_proposed(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "net.onnx", [("x", TensorProto.FLOAT, ["n", 3, "h", "w"])])
    study, text = study_of(path, folder=tmp_path)
    assert study.variants["net"].shapes == {"x": (None, 3, 224, 224)}
    assert "x: float32 [?, 3, ?, ?]" in text and "a proposal" in text


def test_a_fixed_batch_is_the_only_one(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "net.onnx", [("x", TensorProto.FLOAT, [4, 10])])
    study, text = study_of(path, folder=tmp_path)
    assert study.batch_sizes == (4,) and "fixed in the file" in text


def test_several_inputs_have_keys_of_their_own(tmp_path: Path) -> None:
    ports = [(name, TensorProto.INT64, ["n", "length"]) for name in ("ids", "mask")]
    study, text = study_of(onnx_file(tmp_path / "bert.onnx", ports), folder=tmp_path)
    assert study.variants["bert"].shapes == {"ids": (None, 128), "mask": (None, 128)}
    assert "inputs: {ids: ids, mask: mask}" in text


@pytest.mark.parametrize("name", ["a b.onnx", "größe.onnx", "'; x.onnx", "yes.onnx", "1e3.onnx"])
def test_awkward_names_make_a_study_too(tmp_path: Path, name: str) -> None:
    path = onnx_file(tmp_path / name, [("x", TensorProto.FLOAT, ["n", 10])])
    study, _ = study_of(path, folder=tmp_path)
    assert study.model_path(study.baseline, "onnx").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "told"),
    [("gone.onnx", "no such file"), ("net.h5", "ends in none of"), ("bad.onnx", "bad.onnx")],
)
def test_what_is_no_model_is_told(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08garbage")
    with pytest.raises(InputError, match=re.escape(told)):
        propose([tmp_path / name], tmp_path / "study.yaml", ["local"])


def test_two_files_of_a_name_and_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ports = [("x", TensorProto.FLOAT, ["n", 10])]
    files = [onnx_file(folder / "net.onnx", ports) for folder in (tmp_path, tmp_path / "other")]
    with pytest.raises(InputError, match="names tell variants apart"):
        propose(files, tmp_path / "study.yaml", ["local"])


def test_proposals_keep_what_is_known() -> None:
    assert proposed([None, None, None, 3]) == [None, 224, 224, 3]
    assert proposed([1, None]) == [None, 128]
    assert slug("--") == "model" and len(slug("x" * 100)) == 64


def test_it_is_yaml_without_the_comments_too(tmp_path: Path) -> None:
    text = propose([DIGITS / "dense.onnx"], tmp_path / "kws.yaml", ["pi5", "nuc"])
    assert yaml.safe_load(text)["devices"] == ["pi5", "nuc"]
    assert yaml.safe_load(text)["name"] == "kws"


@pytest.mark.parametrize("name", ["int8.onnx", "int8.tflite", "slim-40-int8.onnx"])
def test_what_is_quantised_already_is_not_proposed_to_be(tmp_path: Path, name: str) -> None:
    """Nor to be pruned: of integers `variants build` refuses both."""
    _, text = study_of(DIGITS / name, folder=tmp_path)
    assert not re.search("quantize:|calibration:|prune:", text)
    _, beside = study_of(DIGITS / "dense.onnx", DIGITS / name, folder=tmp_path)
    assert "quantize:" not in beside and "calibration:" not in beside
    assert "# pruned-70: {from: dense" in beside
