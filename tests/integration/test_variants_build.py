"""`edgeproof variants build`: what is made, what is made again, and what a kill leaves behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import numpy_helper

from harness.variant import SUFFIXES, suffix
from harness.variants.convert.tflite import LITERT_TORCH
from harness.variants.outputs import outputs
from tests.integration.family_lab import DIGITS, MAGNITUDE, SAMPLES, VARIANTS, FamilyLab, samples

COMMAND = Path(sys.executable).parent / "edgeproof"
FILES = 10  # nine variants, of which one has two formats
PRUNED = {"from": "dense", "formats": ["onnx"], "prune": MAGNITUDE}
INT8 = {"from": "dense", "formats": ["onnx"], "quantize": {"to": "int8"}}


def zeros(path: Path) -> float:
    """Share of zeros among the weights of an ONNX file, biases aside."""
    arrays = [numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer]
    weights = [array for array in arrays if array.ndim > 1]
    return float(sum((a == 0).sum() for a in weights) / sum(a.size for a in weights))


def test_every_file_has_a_manifest_and_is_shown(family: FamilyLab) -> None:
    assert family.built is not None
    assert family.built.err.count("it has not been built") == FILES - 1
    for name in set(VARIANTS) - {"dense"}:
        assert name in family.built.out
    assert len([path for path in family.files() if path.suffix == ".json"]) == FILES - 1


def test_a_second_build_makes_nothing(family: FamilyLab) -> None:
    before = {path: path.stat().st_mtime_ns for path in family.files()}
    again = family.build()
    assert again.err == ""
    assert family.built and again.out == family.built.out
    assert {path: path.stat().st_mtime_ns for path in family.files()} == before


def test_what_was_asked_for_is_reached(family: FamilyLab) -> None:
    assert family.manifest("pruned")["sparsity"]["reached"] == pytest.approx(0.5, abs=0.001)
    assert zeros(family.file("two-of-four")) > 0.4  # first and last layer are left
    assert (
        family.manifest("slim")["after"]["macs"] < 0.5 * family.manifest("slim")["before"]["macs"]
    )
    assert family.file("half").stat().st_size < 0.6 * family.file("plain").stat().st_size
    assert family.manifest("plain")["sparsity"] is None


@pytest.mark.parametrize(
    ("name", "format", "like", "agreement"),
    [
        ("plain", "onnx", "models/dense.onnx", 1.0),
        ("int8", "onnx", "models/dense.onnx", 0.9),
        ("half", "onnx", "models/dense.onnx", 0.9),
        ("ir", "openvino", "variants/digits/pruned/pruned.onnx", 1.0),
        # A channel that pruning left without weights lost its bias here.
        ("pruned-int8", "tflite", "variants/digits/pruned/pruned.tflite", 0.9),
    ],
)
def test_the_files_run_and_find_the_classes(
    family: FamilyLab, name: str, format: str, like: str, agreement: float
) -> None:
    feeds = {"": samples()["x"]}
    source = outputs(family.folder / like, SUFFIXES[Path(like).suffix], feeds)[0]
    made = outputs(family.file(name, suffix(format)), format, feeds)[0]
    assert np.mean(source.argmax(axis=1) == made.argmax(axis=1)) >= agreement


def test_biases_of_channels_without_weights_are_kept_in_int8(family: FamilyLab) -> None:
    """ai-edge-quantizer cuts them off: the scale of such a channel is next to nothing."""
    real = {
        tensor["name"]: interpreter.get_tensor(tensor["index"])
        for interpreter in [Interpreter(str(family.file("pruned", ".tflite")))]
        for tensor in interpreter.get_tensor_details()
        if tensor["name"].endswith((".weight", ".bias"))
    }
    points = [array for array in real.values() if array.ndim == 4 and array.shape[1:3] == (1, 1)]
    assert any((array == 0).all(axis=(1, 2, 3)).any() for array in points)  # there is such a one
    made = Interpreter(str(family.file("pruned-int8", ".tflite")))
    compared = 0
    for tensor in made.get_tensor_details():
        scales = tensor["quantization_parameters"]["scales"]
        if tensor["name"].endswith(".bias") and len(scales) > 1:
            values = made.get_tensor(tensor["index"]) * scales.astype(np.float64)
            assert np.all(np.abs(values - real[tensor["name"]]) <= np.maximum(scales, 1e-6))
            compared += 1
    assert compared >= 10


def test_a_child_is_made_from_its_built_parent(family: FamilyLab) -> None:
    child = family.manifest("pruned-int8", ".tflite")
    assert child["parent"]["sha256"] == family.manifest("pruned", ".tflite")["sha256"]
    assert child["parent"]["variant"] == "pruned"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (
            {"pruned": {**PRUNED, "prune": {**MAGNITUDE, "sparsity": 0.6}}},
            "pruned",
        ),
        ({"half": {**VARIANTS["half"], "from": "plain"}}, "half"),
    ],
)
def test_another_recipe_is_built_again(own: FamilyLab, changes: dict[str, Any], name: str) -> None:
    own.write({"plain": VARIANTS["plain"], **changes})
    reason = "the study's recipe has changed"
    message = own.refused("run", "study.yaml")
    assert f"/{name}.onnx: cannot be measured as it is: {reason}" in message
    assert own.build().err == f"{name} (onnx): {reason}\n"
    assert own.build().err == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": {"file": "eval.npz", "inputs": "x", "samples": SAMPLES - 1}},
        {"calibration": {"file": "eval.npz", "inputs": "again", "samples": SAMPLES}},
        {
            "dataset": {
                "file": "eval.npz",
                "inputs": "x",
                "labels": "y",
                "preprocess": [{"divide": 1.1}],
            }
        },
    ],
)
def test_other_calibration_samples_build_int8_again(
    own: FamilyLab, changes: dict[str, Any]
) -> None:
    with np.load(own.folder / "eval.npz") as archive:
        arrays = dict(archive)
    np.savez(own.folder / "eval.npz", **arrays, again=arrays["x"])
    variants = {"int8": INT8, "pruned": PRUNED}
    own.write(variants)
    own.build()
    own.write(variants, **changes)
    assert own.build().err == "int8 (onnx): the calibration samples have changed\n"
    assert own.build().err == ""


@pytest.mark.parametrize("changed", ["the study", "the file"])
def test_the_samples_of_every_step_are_told_apart(own: FamilyLab, changed: str) -> None:
    """Only those of the first step were remembered: the INT8 file kept its old ranges."""
    given = dict(samples())
    np.savez(own.folder / "own.npz", **given)
    step = {"file": "own.npz", "inputs": "x", "samples": SAMPLES}
    wanda = {"method": "wanda", "sparsity": 0.5, "calibration": step}
    variants = {"both": {**INT8, "prune": wanda}}
    own.write(variants)
    own.build()
    told = own.manifest("both")["calibration"]
    assert {name: source["file"] for name, source in told.items()} == {
        "prune": "own.npz",
        "quantize": "eval.npz",
    }
    if changed == "the study":
        other = {"file": "eval.npz", "inputs": "x", "samples": SAMPLES - 1}
        own.write(variants, calibration=other)
    else:
        np.savez(own.folder / "eval.npz", x=given["x"] * 0.9, y=given["y"])
    assert own.build().err == "both (onnx): the calibration samples have changed\n"
    assert own.build().err == ""


def test_a_changed_parent_is_followed_down_the_family(own: FamilyLab) -> None:
    own.write({"pruned": PRUNED, "kid": {"from": "pruned", "quantize": {"to": "fp16"}}})
    own.build()
    dense = own.folder / "models" / "dense.onnx"
    model = onnx.load(dense)
    bias = next(item for item in model.graph.initializer if len(item.dims) == 1)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * 1.01, bias.name))
    onnx.save(model, dense)
    assert "pruned.onnx: cannot be measured as it is: dense has changed" in own.refused(
        "run", "study.yaml"
    )
    again = own.build().err
    assert again == "pruned (onnx): dense has changed\nkid (onnx): pruned has changed\n"


@pytest.mark.parametrize("damage", ["old", "no json", "gone", "cut", "weight", "mask", "no mask"])
def test_what_is_not_as_it_was_made_is_refused_and_built_again(own: FamilyLab, damage: str) -> None:
    own.write({"pruned": PRUNED})
    file, told = own.file("pruned"), own.file("pruned", ".onnx.json")
    mask, whole = own.file("pruned", ".onnx.mask.npz"), own.file("pruned").read_bytes()
    if damage == "old":  # of a version that did not know of widened weights yet
        told.write_text(told.read_text().replace('"widened"', '"broadened"'))
    elif damage == "no json":
        told.write_text(told.read_text()[:100])
    elif damage == "gone":
        told.unlink()
    elif damage == "cut":
        file.write_bytes(whole[:1000])
    elif damage == "weight":
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    elif damage == "mask":
        mask.write_bytes(b"PK")
    else:
        mask.unlink()
    message = own.refused("run", "study.yaml")
    assert "variants/digits/pruned/pruned.onnx: cannot be measured as it is" in message
    assert "next: edgeproof variants build study.yaml\n" in message
    assert own.build().err.startswith("pruned (onnx): ")
    assert file.read_bytes() == whole
    assert own.edgeproof("variants", "verify", "study.yaml").code == 0


def test_run_refuses_what_has_not_been_built(lab: FamilyLab) -> None:
    lab.write()
    message = lab.refused("run", "study.yaml")
    assert "variants.pruned" in message
    assert message.count("has not been built") == FILES - 1
    assert "next: edgeproof variants build study.yaml\n" in message


def test_a_mask_of_another_variant_that_changes(own: FamilyLab) -> None:
    given = {"from": "dense", "formats": ["onnx"], "prune": {"method": "mask", "mask": "m.npz"}}
    own.write({"given": given})
    assert "m.npz: no such mask" in own.refused()
    shutil.copyfile(own.file("pruned", ".onnx.mask.npz"), own.folder / "m.npz")
    own.build()
    assert own.manifest("given")["sparsity"]["reached"] == pytest.approx(0.5, abs=0.001)
    shutil.copyfile(own.file("two-of-four", ".onnx.mask.npz"), own.folder / "m.npz")
    assert own.build().err == "given (onnx): the mask that it is pruned by has changed\n"


def test_a_dataset_of_few_samples_is_enough_for_parity(lab: FamilyLab) -> None:
    dataset = {"file": "eval.npz", "inputs": "x", "labels": "y"}
    lab.write({"half": VARIANTS["half"]}, calibration=None, dataset=dataset)
    lab.build()
    assert [check["samples"] for check in lab.manifest("half")["parity"]] == [2 * SAMPLES]


def test_a_quantised_parent_is_converted_though_its_size_is_not_known(lab: FamilyLab) -> None:
    shutil.copyfile(DIGITS / "models" / "int8.onnx", lab.folder / "models" / "int8.onnx")
    given = {"model": "models/int8.onnx"}
    lab.write({"given": given, "ir": {"from": "given", "formats": ["openvino"]}})
    lab.build()
    told = lab.manifest("ir", ".xml")
    assert told["before"] is None and told["after"] is None
    assert "parameters and MACs are not known: int8.onnx is quantised" in told["notes"][-1]
    assert lab.edgeproof("variants", "verify", "study.yaml").code == 0


def test_a_program_of_torch_is_built_as_tflite(lab: FamilyLab) -> None:
    if not LITERT_TORCH.ready:
        pytest.skip("litert-torch's environment of 2.1 GB has not been built on this machine")
    torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(27648, 10)).eval()
    example = torch.from_numpy(samples()["x"][:1])
    torch.export.save(torch.export.export(network, (example,)), lab.folder / "net.pt2")
    lab.write({"given": {"model": "net.pt2"}, "lite": {"from": "given", "formats": ["tflite"]}})
    lab.build()
    assert lab.manifest("lite", ".tflite")["parity"][0]["step"] == "torch to tflite"


def test_what_cannot_be_built_stops_only_what_is_made_of_it(lab: FamilyLab) -> None:
    whole = {**MAGNITUDE, "sparsity": 0.5, "method": "mask", "mask": "m.npz"}
    del whole["sparsity"], whole["scope"]
    lab.write(
        {
            "masked": {"from": "dense", "formats": ["onnx"], "prune": whole},
            "kid": {"from": "masked", "quantize": {"to": "fp16"}},
            "half": VARIANTS["half"],
        }
    )
    done = lab.edgeproof("variants", "build", "study.yaml")
    assert done.code == 2
    assert "half" in done.out and "masked" not in done.out
    assert "error: 2 files could not be built\n" in done.err
    assert "masked (onnx): m.npz: no such mask; next: correct `mask:` of masked\n" in done.err
    assert "kid (onnx): not tried, for want of masked\n" in done.err
    assert {path.parent.name for path in lab.files()} == {"half"}


def test_only_one_variant_and_what_it_is_made_from(lab: FamilyLab) -> None:
    lab.write()
    lab.build("--variant", "half")
    assert {path.parent.name for path in lab.files()} == {"half"}
    assert "half (onnx): asked to" in lab.build("--variant", "half", "--force").err
    assert "unknown variant 'haff'; did you mean 'half'?" in lab.refused(
        "variants", "build", "study.yaml", "--variant", "haff"
    )


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_a_build_that_breaks_while_files_are_placed(own: FamilyLab, copies: int) -> None:
    """Before the model's end, before the mask's, before the manifest's."""
    own.write({"pruned": {**PRUNED, "prune": {**MAGNITUDE, "sparsity": 0.6}}})
    left = iter(range(copies))

    def copyfile(source: Path, target: Path) -> None:
        whole = source.read_bytes()
        cut = next(left, None) is None
        target.write_bytes(whole[: len(whole) // 2] if cut else whole)
        if cut:
            raise KeyboardInterrupt

    def write_text(path: Path, text: str, **_: Any) -> None:
        path.write_bytes(text.encode()[:200])
        raise KeyboardInterrupt

    with (
        mock.patch("harness.variants.files.shutil.copyfile", copyfile),
        mock.patch("harness.variants.manifest.Path.write_text", write_text),
    ):
        assert own.edgeproof("variants", "build", "study.yaml").code == 130
    assert "cannot be measured as it is: its manifest" in own.refused("run", "study.yaml")
    assert own.edgeproof("variants", "verify", "study.yaml").code == 1
    assert "pruned (onnx): its manifest" in own.build().err
    assert own.edgeproof("variants", "verify", "study.yaml").code == 0
    assert not list(own.file("pruned").parent.glob("*.part"))


def test_a_build_that_is_killed_is_gone_on_with(own: FamilyLab) -> None:
    sparsities = {f"p{n}": {**MAGNITUDE, "sparsity": n / 10} for n in (3, 4)}
    own.write({name: {**PRUNED, "prune": ask} for name, ask in sparsities.items()})
    command = [COMMAND, "variants", "build", "study.yaml"]
    with subprocess.Popen(
        command, cwd=own.folder, env=own.environment, stderr=subprocess.PIPE
    ) as build:
        assert build.stderr is not None
        while not build.stderr.readline().startswith(b"p4"):
            assert build.poll() is None
        build.kill()
    assert "p3" not in own.build().err  # it was whole already
    assert own.edgeproof("variants", "verify", "study.yaml").code == 0
