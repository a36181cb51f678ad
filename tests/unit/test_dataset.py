"""Datasets on the host: read once, checked against the models that they will be fed to."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.artifact import Artifact
from harness.dataset import check_dataset, load_dataset, load_other, preprocessed, stored_recipe
from harness.errors import InputError
from harness.evaluated import DatasetSource, Robustness, Samples
from harness.formats import Contents, Port

SOURCE = DatasetSource(file="eval.npz", inputs="x", labels="y")
X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "eval.npz"
    np.savez(path, **{"x": X, "y": Y, **arrays})
    return path


def artifact(*inputs: Port, outputs: tuple[Port, ...] = (Port("p", "float32", (None, 3)),)) -> Any:
    contents = Contents(inputs, outputs, None, None)
    return Artifact(Path("m.onnx"), "onnx", (), "0" * 64, {}, 1, contents)


def message(path: Path, source: DatasetSource = SOURCE) -> str:
    with pytest.raises(InputError) as caught:
        load_dataset(path, source)
    assert caught.value.where == str(path)
    return str(caught.value)


def misfit(path: Path, found: Artifact, source: DatasetSource = SOURCE, shapes: Any = None) -> str:
    with pytest.raises(InputError) as caught:
        check_dataset(load_dataset(path, source), found, shapes)
    return str(caught.value)


# --- reading


@pytest.mark.parametrize("packed", [False, True])
def test_read(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "eval.npz"
    (np.savez_compressed if packed else np.savez)(path, x=X, y=Y, other=np.array(["text"]))
    found = load_dataset(path, SOURCE)
    assert found.labels == [0, 1, 2, 0, 1, 2]
    assert all(type(label) is int for label in found.labels)
    assert found.shapes == {"x": (4,)}
    assert found.wire() == {
        "artifact": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": {"": "x"},
        "labels": "y",
        "boxes": None,
        "head": None,
        "masks": None,
        "samples": 6,
        "preprocess": [],
        "scores": None,
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type(tmp_path: Path, dtype: Any) -> None:
    assert load_dataset(save(tmp_path, y=Y.astype(dtype)), SOURCE).samples == 6


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        (
            {"y": Y.astype(np.float32)},
            "needs whole numbers in one dimension in 'y'; it holds float32",
        ),
        ({"y": Y.reshape(6, 1)}, "of shape [6, 1]"),
        ({"y": np.int64(3)}, "of shape []"),
        ({"y": Y - 1}, "holds a negative label in 'y': -1"),
        ({"y": Y[:5]}, "has 5 labels, but 'x' holds 6"),
        ({"y": Y[:0], "x": X[:0]}, "holds no samples"),
        ({"x": np.float32(1)}, "has 6 labels, but 'x' holds one value"),
        ({"x": np.where(X == 9, np.nan, X)}, "holds NaN or infinite values in 'x'"),
        ({"x": np.where(X == 9, np.inf, X)}, "holds NaN or infinite values in 'x'"),
        ({"x": np.asfortranarray(X)}, "in Fortran order"),
        ({"x": X.astype(str)}, "holds values of type <U"),
        ({"x": X.astype(object)}, "holds values of type object in 'x'; numbers are needed"),
        ({"x": X.astype(np.complex64)}, "holds values of type complex64"),
    ],
)
def test_bad_arrays(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    assert expected in message(save(tmp_path, **arrays))


def test_wrong_key_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "eval.npz"
    np.savez(path, images=X, labels=Y)
    source = DatasetSource(file="e", inputs="image", labels="labels")
    assert "has no key 'image'; did you mean 'images'?" in message(path, source)
    source = DatasetSource(file="e", inputs="images", labels="q")
    assert "has no key 'q'; it has images, labels" in message(path, source)
    source = DatasetSource(file="e", inputs="images", boxes="boxes")
    assert "has no key 'boxes'" in message(path, source)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x,y\n1,2\n", b"\x93NUMPY\x01\x00"])
def test_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "eval.npz"
    path.write_bytes(content)
    assert "is damaged, cut short or no .npz file" in message(path)
    assert "no such dataset" in message(tmp_path / "none.npz")


@given(share=st.floats(0.0, 0.99))
@settings(max_examples=30, deadline=None)
def test_truncated(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = save(tmp_path_factory.mktemp("cut"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    message(path)


def member(folder: Path, header: bytes) -> Path:
    """Write a dataset whose x has its own header."""
    path = folder / "eval.npz"
    labels = io.BytesIO()
    np.save(labels, Y)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("y.npy", labels.getvalue())
        archive.writestr("x.npy", header)
    return path


def test_headers_that_lie(tmp_path: Path) -> None:
    def header(text: str) -> bytes:
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()

    claim = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}\n"
    assert "is cut short in 'x'" in message(member(tmp_path, header(claim.format("(6, 4)"))))
    huge = header(claim.format(f"(6, {1 << 40})"))
    assert "more than a device can keep" in message(member(tmp_path, huge))
    assert "damaged array 'x'" in message(member(tmp_path, b"not numpy at all"))
    assert "damaged array 'x'" in message(member(tmp_path, header("{1: 2}\n")))


# --- fit with a model


def test_fits(tmp_path: Path) -> None:
    found = load_dataset(save(tmp_path), SOURCE)
    check_dataset(found, artifact(Port("in", "float32", (None, 4))))
    check_dataset(found, artifact(Port("in", "float32", (1, None))))
    check_dataset(found, artifact(Port("in", "float16", (None, 4))))
    check_dataset(found, artifact(Port("in", "float32", None)))
    check_dataset(found, artifact(Port("in", "int8", (None, 4), 0.5, 83)))
    check_dataset(found, artifact(Port("in", "float32", (None, None))), {"in": (None, 4)})


@pytest.mark.parametrize(
    ("dtype", "port", "fits"),
    [
        (np.float64, Port("in", "float32", (None, 4)), True),
        (np.int8, Port("in", "int8", (None, 4), 0.5, 0), True),
        (np.int32, Port("in", "int64", (None, 4)), True),
        (np.uint8, Port("in", "float32", (None, 4)), False),
        (np.uint8, Port("in", "int8", (None, 4), 0.5, 0), False),
        (np.float32, Port("in", "int64", (None, 4)), False),
        (np.float32, Port("in", "string", (None, 4)), False),
        (np.bool_, Port("in", "float32", (None, 4)), False),
    ],
)
def test_types(tmp_path: Path, dtype: Any, port: Port, fits: bool) -> None:
    path = save(tmp_path, x=X.astype(dtype))
    if fits:
        check_dataset(load_dataset(path, SOURCE), artifact(port))
    else:
        text = misfit(path, artifact(port))
        assert f"holds {np.dtype(dtype)} in 'x'; input 'in' of m.onnx is {port.dtype}" in text


def test_shapes(tmp_path: Path) -> None:
    path = save(tmp_path)
    text = misfit(path, artifact(Port("in", "float32", (None, 2, None))))
    assert "holds samples of shape [4] in 'x'; input 'in' of m.onnx takes [2, ?]" in text
    assert "takes [5]" in misfit(
        path, artifact(Port("in", "float32", (None, None))), shapes={"in": (1, 5)}
    )


def test_several_inputs(tmp_path: Path) -> None:
    path = save(tmp_path, z=X.astype(np.int64))
    model = artifact(Port("a", "float32", (None, 4)), Port("mask", "int64", (None, 4)))
    assert "has 2 inputs: a, mask" in misfit(path, model)
    both = DatasetSource(file="e", inputs={"a": "x", "mask": "z"}, labels="y")
    check_dataset(load_dataset(path, both), model)
    wrong = DatasetSource(file="e", inputs={"a": "x", "msk": "z"}, labels="y")
    assert "unknown input 'msk'; did you mean 'mask'?" in misfit(path, model, wrong)
    one = DatasetSource(file="e", inputs={"a": "x"}, labels="y")
    assert "feeds nothing to the input 'mask'" in misfit(path, model, one)


def test_labels_beyond_the_classes(tmp_path: Path) -> None:
    port = Port("in", "float32", (None, 4))
    path = save(tmp_path, y=Y + 1)
    assert "has labels up to 3; m.onnx has 3 outputs" in misfit(path, artifact(port))
    found = load_dataset(path, SOURCE)
    check_dataset(found, artifact(port, outputs=(Port("p", "float32", (None, 2, 2)),)))
    check_dataset(found, artifact(port, outputs=(Port("p", "float32", (None, None)),)))
    check_dataset(found, artifact(port, outputs=(Port("p", "float32", None),)))
    one = artifact(port, outputs=(Port("p", "float32", (None, 1)),))
    check_dataset(load_dataset(save(tmp_path, y=Y % 2), SOURCE), one)
    assert "has 1 outputs" in misfit(save(tmp_path), one)


# --- preprocessing


RECIPE = [{"cast": "float32"}, {"divide": 255}, {"center_crop": [4, 4]}, {"transpose": [2, 0, 1]}]
IMAGES = np.arange(6 * 5 * 5 * 3, dtype=np.uint8).reshape(6, 5, 5, 3)


def test_shapes_and_types_are_those_after_the_recipe(tmp_path: Path) -> None:
    path = save(tmp_path, x=IMAGES, preprocess=json.dumps(RECIPE))
    found = load_dataset(path, SOURCE)
    assert found.wire()["preprocess"] == RECIPE == stored_recipe(path)
    assert (found.shapes, found.dtypes) == ({"x": (3, 4, 4)}, {"x": np.dtype("float32")})
    check_dataset(found, artifact(Port("in", "float32", (None, 3, 4, 4))))
    text = misfit(path, artifact(Port("in", "float32", (None, 5, 5, 3))))
    assert "gives after preprocessing samples of shape [3, 4, 4] in 'x'" in text
    assert "takes [5, 5, 3]" in text


def test_the_recipe_of_the_study(tmp_path: Path) -> None:
    given = DatasetSource(file="e", inputs="x", labels="y", preprocess=tuple(RECIPE))
    found = load_dataset(save(tmp_path, x=IMAGES), given)
    assert found.wire()["preprocess"] == RECIPE
    both = save(tmp_path, x=IMAGES, preprocess=json.dumps([]))
    assert "holds a recipe in 'preprocess', and the study gives another" in message(both, given)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("not json", "holds no recipe in 'preprocess'"),
        (json.dumps({"cast": "float32"}), "holds no recipe"),
        (json.dumps([1]), "holds no recipe"),
        (json.dumps([{"resize": [0, 1]}]), "step 1 of the preprocessing, {'resize': [0, 1]}"),
        (json.dumps([{"cast": "float32"}, {"blur": 3}]), "step 2 of the preprocessing"),
    ],
)
def test_bad_recipes(tmp_path: Path, stored: str, expected: str) -> None:
    assert expected in message(save(tmp_path, x=IMAGES, preprocess=stored))


def test_a_recipe_is_for_one_input(tmp_path: Path) -> None:
    path = save(tmp_path, z=X, preprocess=json.dumps([{"cast": "float32"}]))
    both = DatasetSource(file="e", inputs={"a": "x", "b": "z"}, labels="y")
    assert "a recipe is for datasets of one" in message(path, both)


def test_the_host_prepares_calibration_samples_as_the_agent_does(tmp_path: Path) -> None:
    path = save(tmp_path, x=IMAGES)
    found = preprocessed(path, RECIPE, IMAGES)
    assert found.shape == (6, 3, 4, 4)
    assert found[2, 1, 0, 3] == np.float32(IMAGES[2, 0, 3, 1]) / np.float32(255)
    with pytest.raises(InputError, match="step 1"):
        preprocessed(path, [{"divide": 0}], IMAGES)


# --- other truths


BOXES = np.full((6, 2, 5), -1.0)
BOXES[0, 0] = [2, 1, 2, 3.5, 4]
BOXES[3] = [[0, 0, 0, 4, 4], [1, 1, 1, 2, 2]]
DETECTION = DatasetSource(file="e", inputs="x", boxes="b", head="yolo")
SEGMENTATION = DatasetSource(file="e", inputs="x", masks="m", scores="logits")


def test_boxes(tmp_path: Path) -> None:
    found = load_dataset(save(tmp_path, b=BOXES), DETECTION)
    assert (found.samples, found.labels) == (6, None)
    assert found.boxes == [
        [[2, 1, 2, 3.5, 4]],
        [],
        [],
        [[0, 0, 0, 4, 4], [1, 1, 1, 2, 2]],
        [],
        [],
    ]
    sent = found.wire()
    assert (sent["labels"], sent["boxes"], sent["head"]) == (None, "b", "yolo")
    check_dataset(found, artifact(Port("in", "float32", (None, 4))))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (BOXES[:5], "has 5 boxes, but 'x' holds 6"),
        (BOXES[:, :, :4], "needs [samples, boxes, 5] in 'b'"),
        (np.where(BOXES == 3.5, 0.5, BOXES), "end before they begin"),
        (np.where(BOXES == 3.5, np.nan, BOXES), "NaN or infinite values in 'b'"),
        (BOXES + 0.25, "no whole numbers from 0, nor -1"),
    ],
)
def test_bad_boxes(tmp_path: Path, boxes: Any, expected: str) -> None:
    assert expected in message(save(tmp_path, b=boxes), DETECTION)


def test_masks(tmp_path: Path) -> None:
    masks = np.zeros((6, 3, 4), np.uint8)
    masks[0, 0] = 255
    found = load_dataset(save(tmp_path, m=masks), SEGMENTATION)
    sent = found.wire()
    assert (found.samples, sent["masks"], sent["scores"]) == (6, "m", "logits")
    wrong = save(tmp_path, m=masks.astype(np.float32))
    assert "needs whole numbers [samples, height, width]" in message(wrong, SEGMENTATION)
    beyond = save(tmp_path, m=masks.astype(np.int16) + 7)
    assert "holds classes in 'm' beyond 0 to 254" in message(beyond, SEGMENTATION)
    assert "has 4 masks, but 'x' holds 6" in message(save(tmp_path, m=masks[:4]), SEGMENTATION)


def test_samples_from_elsewhere(tmp_path: Path) -> None:
    source = Samples(file="e", inputs="x")
    found = load_other(save(tmp_path, x=IMAGES), source, RECIPE)
    sent = found.wire()
    assert (sent["labels"], sent["boxes"], sent["masks"]) == (None, None, None)
    assert (sent["samples"], sent["preprocess"], found.labels) == (6, RECIPE, None)
    # A recipe of its own comes first.
    own = load_other(save(tmp_path, x=IMAGES, preprocess=json.dumps(RECIPE[:1])), source, RECIPE)
    assert own.recipe == RECIPE[:1]
    check_dataset(own, artifact(Port("in", "float32", (None, 5, 5, 3))))
    with pytest.raises(InputError, match="holds no samples"):
        load_other(save(tmp_path, x=IMAGES[:0]), source, [])


# --- what the study says


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "needs one of labels, boxes, masks"),
        ({"labels": "y", "masks": "m"}, "it has labels and masks"),
        ({"labels": "y", "head": "yolo"}, "there are none"),
        ({"boxes": "b", "scores": "logits"}, "is not for boxes"),
        ({"labels": "y", "scores": "odds"}, "'logits' or 'probabilities'"),
    ],
)
def test_one_kind_of_truth(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatasetSource(file="e", inputs="x", **keys)
    assert expected in str(caught.value)


def test_robustness_is_everything_by_default() -> None:
    asked = Robustness()
    assert asked.corruptions == (
        *("noise", "blur", "contrast", "occlusion", "missing-channels", "input-quantisation"),
    )
    assert (asked.severities, asked.samples, asked.seed, asked.ood) == (
        (1, 2, 3, 4, 5),
        None,
        0,
        {},
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"corruptions": ["nois"]}, "unknown corruption 'nois'; did you mean 'noise'?"),
        ({"corruptions": ["blur", "blur"]}, "listed twice"),
        ({"severities": [0]}, "greater than or equal to 1"),
        ({"severities": [6]}, "less than or equal to 5"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"ood": {"a b": {"file": "e", "inputs": "x"}}}, "is no name"),
        ({"ood": {"a": {"file": "e", "inputs": "x", "labels": "y"}}}, "Extra inputs"),
    ],
)
def test_bad_robustness(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Robustness(**keys)
    assert expected in str(caught.value)
