"""`edgeproof variants show|verify|list|restore`, every bad input, and `edgeproof models`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import numpy_helper

from harness.variants import mask_file
from tests.integration.family_lab import MAGNITUDE, VARIANTS, FamilyLab

PRUNED = {"from": "dense", "formats": ["onnx"], "prune": MAGNITUDE}
SLIM = {"from": "dense", "formats": ["onnx"], "prune": {"method": "channels", "sparsity": 0.4}}
INT8 = {"from": "dense", "formats": ["onnx"], "quantize": {"to": "int8"}}


def change_a_weight(path: Path, value: float) -> None:
    """Give the first weight that is zero (else the first) of an ONNX file another value."""
    model = onnx.load(path)
    weight = next(item for item in model.graph.initializer if len(item.dims) > 1)
    for item in model.graph.initializer:
        if len(item.dims) > 1 and (numpy_helper.to_array(item) == 0).any():
            weight = item
            break
    values = numpy_helper.to_array(weight).copy()
    values.flat[int((values != 0).argmin())] = value
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)


def edit(path: Path, change: Any) -> None:
    """Change a manifest."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, indent=2) + "\n")


def test_show_a_study_and_a_file(family: FamilyLab) -> None:
    shown = family.edgeproof("variants", "show", "study.yaml")
    assert shown.code == 0
    assert family.built and shown.out == family.built.out
    one = family.edgeproof("variants", "show", str(family.file("slim")))
    assert one.json() == family.manifest("slim")
    every = family.edgeproof("variants", "show", "study.yaml", "--json").json()
    assert [item["variant"] for item in every].count("pruned") == 2
    assert {item["variant"] for item in every} == set(VARIANTS) - {"dense"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("models/dense.onnx", "has no manifest beside it"),
        ("nope.onnx", "no such model file"),
        ("models", "is no study and no model file"),
        ("nope.yaml", "no such file"),
    ],
)
def test_nothing_to_show(family: FamilyLab, path: str, expected: str) -> None:
    assert f"{path}: {expected}" in family.refused("variants", "show", path)


def test_what_was_built_is_verified(family: FamilyLab) -> None:
    checked = family.edgeproof("variants", "verify", "study.yaml", "--json")
    assert checked.code == 0
    assert {row["verified"] for row in checked.json()} == {"yes"}
    assert len(checked.json()) == len(VARIANTS)


def _heavier(lab: FamilyLab) -> None:
    change_a_weight(lab.file("pruned"), 0.25)


def _other_mask(lab: FamilyLab) -> None:
    other = lab.file("two-of-four", ".onnx.mask.npz")
    lab.file("pruned", ".onnx.mask.npz").write_bytes(other.read_bytes())


def _broken_mask(lab: FamilyLab) -> None:
    lab.file("pruned", ".onnx.mask.npz").write_bytes(b"PK")


def _no_mask(lab: FamilyLab) -> None:
    lab.file("pruned", ".onnx.mask.npz").unlink()


def _nicer_layer(lab: FamilyLab) -> None:
    def change(data: Any) -> None:
        data["sparsity"]["layers"][1]["reached"] += 0.01

    edit(lab.file("pruned", ".onnx.json"), change)


def _nicer_whole(lab: FamilyLab) -> None:
    def change(data: Any) -> None:
        data["sparsity"]["reached"] = 0.7

    edit(lab.file("pruned", ".onnx.json"), change)


def _smaller(lab: FamilyLab) -> None:
    def change(data: Any) -> None:
        data["after"]["macs"] -= 1

    edit(lab.file("pruned", ".onnx.json"), change)


def _other_names(lab: FamilyLab) -> None:
    """As an exporter of another version names them; the manifest still has its sha256."""
    model = onnx.load(lab.file("pruned"))
    for item in model.graph.initializer:
        for node in model.graph.node:
            node.input[:] = [f"{name}.v2" if name == item.name else name for name in node.input]
        item.name += ".v2"
    onnx.save(model, lab.file("pruned"))


def _other_axes(lab: FamilyLab) -> None:
    """A mask of positions, of axes that the weights do not have."""
    with_axes = {"head.weight": {7: np.arange(2)}}
    mask_file.write(lab.file("pruned", ".onnx.mask.npz"), {}, with_axes)


def _other_parent(lab: FamilyLab) -> None:
    change_a_weight(lab.folder / "models" / "dense.onnx", 0.25)


def _no_file(lab: FamilyLab) -> None:
    lab.file("pruned").unlink()


def _no_manifest(lab: FamilyLab) -> None:
    lab.file("pruned", ".onnx.json").unlink()


def _cut(lab: FamilyLab) -> None:
    lab.file("pruned").write_bytes(lab.file("pruned").read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_heavier, "is not zero where its mask is"),
        (_other_mask, "its mask pruned.onnx.mask.npz has changed"),
        (_broken_mask, "pruned.onnx.mask.npz"),
        (_no_mask, "its mask pruned.onnx.mask.npz is missing"),
        (_nicer_layer, "is zero, by the manifest"),
        (_nicer_whole, "by the manifest 0.7"),
        (_smaller, "by the manifest parameters="),
        (_other_names, "of its mask is no weight of it"),
        (_other_axes, "'head.weight' has not the 2 positions of its mask"),
        (_other_parent, "it was made from another dense"),
        (_no_file, "it is missing"),
        (_no_manifest, "has no manifest beside it"),
        (_cut, "the model file"),
    ],
)
def test_damage_is_found_and_the_other_files_are_still_checked(
    own: FamilyLab, damage: Any, expected: str
) -> None:
    own.write({"half": VARIANTS["half"], "pruned": PRUNED, "slim": SLIM})
    damage(own)
    checked = own.edgeproof("variants", "verify", "study.yaml", "--json")
    assert checked.code == 1
    rows = {Path(row["file"]).stem: row for row in checked.json()}
    assert list(rows) == ["half", "pruned", "slim"]
    assert expected in rows["pruned"]["differs"]
    others = "no" if damage is _other_parent else "yes"
    assert {rows[name]["verified"] for name in ("half", "slim")} == {others}


def test_another_recipe_than_the_study_has_now_is_stale(own: FamilyLab) -> None:
    other = {**PRUNED, "prune": {**MAGNITUDE, "sparsity": 0.7}}
    own.write({"half": VARIANTS["half"], "pruned": other, "slim": SLIM})
    checked = own.edgeproof("variants", "verify", "study.yaml", "--json")
    assert checked.code == 1
    told = {Path(row["file"]).stem: row["differs"] for row in checked.json()}
    assert told == {"half": "", "pruned": "stale: the study's recipe has changed", "slim": ""}


def test_a_file_by_itself_is_verified(own: FamilyLab) -> None:
    files = [str(own.file(name)) for name in ("pruned", "slim")]
    assert own.edgeproof("variants", "verify", *files).code == 0
    _heavier(own)
    checked = own.edgeproof("variants", "verify", *files)
    assert checked.code == 1
    assert "its sha256 is" in checked.out
    assert "no such model file" in own.refused("variants", "verify", "nope.onnx")


def test_what_the_store_keeps(family: FamilyLab) -> None:
    rows = family.edgeproof("variants", "list", "--json").json()
    by_file = {row["file"]: row for row in rows}
    digest = hashlib.sha256(family.file("slim").read_bytes()).hexdigest()
    assert by_file["slim.onnx"]["sha256"] == digest
    assert by_file["pruned-int8.tflite"]["made from"] == "pruned"
    assert by_file["dense.tflite"]["made from"] == ""
    assert digest[:12] in family.edgeproof("variants", "list").out


@pytest.mark.parametrize(
    ("variant", "changes", "expected"),
    [
        ({**PRUNED, "prune": {**MAGNITUDE, "sparsity": 70}}, {}, "it is 70\n  next: write 0.7"),
        ({**PRUNED, "prune": {**MAGNITUDE, "sparsity": -0.1}}, {}, "between 0 and 1; it is -0.1"),
        (
            {**PRUNED, "prune": {**MAGNITUDE, "leave": ["heed"]}},
            {},
            "unknown layer 'heed'; did you mean 'head'?",
        ),
        ({**INT8, "quantize": {"to": "int8", "leave": ["heed"]}}, {}, "did you mean 'head'?"),
        (INT8, {"calibration": None}, "`quantize:` needs calibration samples"),
        (
            {**PRUNED, "prune": {"method": "wanda", "sparsity": 0.5}},
            {"calibration": None},
            "`prune:` needs calibration samples",
        ),
        (
            INT8,
            {"calibration": {"file": "eval.npz", "inputs": "x", "samples": 25}},
            "eval.npz: holds 24 samples in 'x', and 25 are asked for\n  next: write samples: 24",
        ),
        (
            INT8,
            {"calibration": {"file": "eval.npz", "inputs": "xs", "samples": 5}},
            "eval.npz: unknown key 'xs'",
        ),
        (
            INT8,
            {"calibration": {"file": "evil.npz", "inputs": "x", "samples": 5}},
            "no such file: evil.npz; did you mean 'eval.npz'?",
        ),
        ({**PRUNED, "from": "dens"}, {}, "'dens', which is no variant; did you mean 'dense'?"),
        ({**PRUNED, "from": "it"}, {}, "is made from itself: it from it"),
        ({**PRUNED, "formats": ["onix"]}, {}, "formats"),
    ],
)
def test_a_wrong_study_is_refused(
    lab: FamilyLab, variant: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    lab.write({"it": variant}, **changes)
    assert expected in lab.refused()
    assert not (lab.folder / "variants").exists()


def test_a_circle_is_named(lab: FamilyLab) -> None:
    lab.write({"a": {**PRUNED, "from": "b"}, "b": {**PRUNED, "from": "a"}})
    assert "is made from itself: a from b from a" in lab.refused()


def _missing(path: Path) -> None:
    path.unlink()


def _corrupt(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _nan(path: Path) -> None:
    change_a_weight(path, float("nan"))


@pytest.mark.parametrize("variant", [SLIM, INT8, VARIANTS["half"]])
@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_missing, "no such file: models/dense.onnx"),
        (_corrupt, "models/dense.onnx: "),
        (_empty, "models/dense.onnx: the model file is empty"),
        (_nan, "NaN"),
    ],
)
def test_a_damaged_model_is_refused(
    lab: FamilyLab, variant: dict[str, Any], damage: Any, expected: str
) -> None:
    lab.write({"it": variant})
    damage(lab.folder / "models" / "dense.onnx")
    assert expected in lab.refused()
    assert not (lab.folder / "variants").exists()


def test_an_operator_that_no_rule_knows_is_left_alone_by_name(lab: FamilyLab) -> None:
    """Its neighbours stay whole, the other channels go, and the network computes the same."""
    path = lab.folder / "models" / "dense.onnx"
    model = onnx.load(path)
    at, relu = next((i, it) for i, it in enumerate(model.graph.node) if it.op_type == "Relu")
    # The sum of squares along the width, kept as it was by a scan: y + 0 * cumulated y.
    tensor = relu.output[0]
    axis = numpy_helper.from_array(np.array(1, np.int64), "axis")
    nothing = numpy_helper.from_array(np.array(0, np.float32), "nothing")
    model.graph.initializer.extend([axis, nothing])
    for node in model.graph.node:
        node.input[:] = ["counted" if name == tensor else name for name in node.input]
    make = onnx.helper.make_node
    for offset, node in enumerate(
        [
            make("CumSum", [tensor, "axis"], ["cumulated"], name="running"),
            make("Mul", ["cumulated", "nothing"], ["silent"], name="silence"),
            make("Add", [tensor, "silent"], ["counted"], name="joined"),
        ]
    ):
        model.graph.node.insert(at + 1 + offset, node)
    onnx.save(model, path)
    lab.write({"slim": SLIM})
    lab.build()
    left = lab.manifest("slim")["sparsity"]["left"]
    assert any("CumSum" in reason for reason in left.values())
    assert lab.manifest("slim")["sparsity"]["layers"]
    assert lab.edgeproof("variants", "verify", "study.yaml").code == 0


def test_reference_networks_are_listed(lab: FamilyLab) -> None:
    rows = lab.edgeproof("models", "list", "--json").json()
    by_name = {row["name"]: row for row in rows}
    assert by_name["mobilenet-v2"]["input"] == [224, 224, 3]
    assert "mobilenet-v2" in lab.edgeproof("models", "list").out


def test_a_reference_network_runs_in_both_formats(lab: FamilyLab) -> None:
    command = ("models", "build", "mobilenet-v2", "-o", "nets")
    made = lab.edgeproof(*command)
    assert made.code == 0
    files = [lab.folder / line for line in made.out.splitlines()]
    assert [path.name for path in files] == ["mobilenet-v2.onnx", "mobilenet-v2.tflite"]
    session = onnxruntime.InferenceSession(files[0])
    assert session.get_inputs()[0].shape[1:] == [224, 224, 3]
    image = np.random.default_rng(0).random((1, 224, 224, 3), dtype=np.float32)
    scores = session.run(None, {session.get_inputs()[0].name: image})[0]
    interpreter = Interpreter(str(files[1]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    again = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert scores.shape == (1, 1000)
    assert np.allclose(scores, again, atol=1e-3 * np.abs(scores).max())
    assert lab.edgeproof(*command).code == 0  # the same bytes again
    files[0].write_bytes(b"a trained one")
    assert "is there already, with other content" in lab.refused(*command)
    assert files[0].read_bytes() == b"a trained one"


def test_an_unknown_network_is_refused_before_any_is_written(lab: FamilyLab) -> None:
    message = lab.refused("models", "build", "mobilenet-v1", "mobilnet", "-o", "nets")
    assert "unknown reference network 'mobilnet'; did you mean 'mobilenet-v" in message
    assert "next: edgeproof models list" in message
    assert not (lab.folder / "nets").exists()
