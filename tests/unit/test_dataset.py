"""Datasets on the host: read once, checked against the models that they will be fed to."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.artifact import Artifact
from harness.dataset import check_dataset, load_dataset
from harness.errors import InputError
from harness.formats import Contents, Port
from harness.study import DatasetSource

SOURCE = DatasetSource(file="eval.npz", inputs="x", labels="y")
X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "eval.npz"
    np.savez(path, **{"x": X, "y": Y, **arrays})
    return path


def artifact(*inputs: Port, outputs: tuple[Port, ...] = (Port("p", "float32", (None, 3)),)) -> Any:
    contents = Contents(inputs, outputs, None, None)
    return Artifact(Path("m.onnx"), "onnx", (), "0" * 64, {}, 1, 1, contents)


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
        "samples": 6,
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
