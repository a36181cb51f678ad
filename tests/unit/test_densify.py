"""Densified twins: zeros refilled, everything else byte for byte, in each format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper, numpy_helper

from harness.errors import InputError
from harness.formats import Stored
from harness.variants.convert import convert
from harness.variants.count import count
from harness.variants.densify import densify, differences
from harness.variants.networks import open_network
from harness.variants.patches import patch
from harness.variants.refill import refilled
from harness.variants.sparse_tflite import write as write_sparse
from harness.variants.zeros import SPARSE, UNKNOWN_USES, stored, zeros

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
MODELS = DIGITS / "models"
QUICK = settings(max_examples=60, deadline=None)
FILES = ("pruned-90.onnx", "pruned-90.tflite", "pruned-90.xml", "int8.onnx", "int8.tflite")
FORMATS = {".onnx": "onnx", ".tflite": "tflite", ".xml": "openvino"}


@pytest.fixture(scope="module")
def feeds() -> dict[str, Any]:
    with np.load(DIGITS / "eval.npz") as archive:
        return {"": archive["x"][:4]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    convert(MODELS / "pruned-90.onnx", "onnx", "openvino", folder / "pruned-90.xml")
    made = folder / "pruned-90.xml"
    return {name: made if name == made.name else MODELS / name for name in FILES}


def weight(values: Any, zero: Any = 0) -> Stored:
    return Stored("w", "w", "layer", values, zero, values.size)


@QUICK
@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([0.0, 0.5, -1.25, 3.0])),
    st.sampled_from([1.0, 0.1, 0.01]),
)
def test_only_zeros_of_floats_change(values: Any, damp: float) -> None:
    made = refilled(weight(values), damp)
    given_ones = values[values != 0]
    assert (made[values != 0] == given_ones).all()
    assert (made == refilled(weight(values), damp)).all()
    if given_ones.size:
        assert np.isin(made[values == 0], (given_ones * damp).astype(np.float32)).all()
        assert (made != 0).all()
    else:
        assert (made == 0).all()


@QUICK
@given(st.sampled_from([np.int8, np.uint8]), st.integers(1, 5), st.data())
def test_only_zeros_of_integers_change(dtype: Any, channels: int, data: st.DataObject) -> None:
    """Every channel may have another zero point, at the ends of the range too."""
    values = data.draw(hnp.arrays(dtype, (channels, 12)))
    zero = data.draw(hnp.arrays(dtype, (channels, 1)))
    values = np.where(data.draw(hnp.arrays(bool, values.shape)), zero, values)
    made = refilled(weight(values, zero))
    assert made.dtype == values.dtype
    assert (made[values != zero] == values[values != zero]).all()
    assert (values == zero).all() or (made != zero).all()


@pytest.mark.parametrize("name", FILES)
def test_a_twin_has_no_zeros_and_is_the_same_otherwise(
    name: str, models: dict[str, Path], feeds: Any, tmp_path: Path
) -> None:
    source, target = models[name], tmp_path / name
    format = FORMATS[source.suffix]
    notes = densify(source, format, target, feeds)
    found, before = zeros(target, format), zeros(source, format)
    assert (found["zeros"], found["macs_saved"]) == (0, 0)
    assert before["zeros"] > 0
    assert notes[0].startswith(f"{before['zeros']:,} zero weights refilled")
    assert (found["weights"], found["macs"]) == (before["weights"], before["macs"])
    assert target.stat().st_size == pytest.approx(source.stat().st_size, rel=0.01)
    assert differences(source, target, format) == []


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_twin_is_told(
    name: str, models: dict[str, Path], feeds: Any, tmp_path: Path
) -> None:
    source, target = models[name], tmp_path / name
    format = FORMATS[source.suffix]
    assert any("still has zeros" in one for one in differences(source, source, format))
    densify(source, format, target, feeds)
    first = stored(source, format)[0]
    other = first.values.copy()
    other.flat[np.flatnonzero(other != first.zero)[0]] += 1
    spoiled = tmp_path / f"spoiled{source.suffix}"
    patch(target, format, spoiled, {first.key: other})
    assert any("where none was zero" in one for one in differences(source, spoiled, format))


def test_another_bias_is_no_twin(feeds: Any, tmp_path: Path) -> None:
    source, twin = MODELS / "pruned-90.onnx", tmp_path / "twin.onnx"
    densify(source, "onnx", twin, feeds)
    model = onnx.load(twin)
    bias = next(one for one in model.graph.initializer if len(one.dims) == 1)
    values = onnx.numpy_helper.to_array(bias) + 1
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, twin)
    assert differences(source, twin, "onnx") == ["more than its weights differs"]


def test_sparse_tensors_become_dense(feeds: Any, tmp_path: Path) -> None:
    sparse, twin = tmp_path / "sparse.tflite", tmp_path / "twin.tflite"
    write_sparse(MODELS / "pruned-90.tflite", sparse)
    before = zeros(sparse, "tflite")
    assert before["zeros"] == zeros(MODELS / "pruned-90.tflite", "tflite")["zeros"]
    densify(sparse, "tflite", twin, feeds)
    assert zeros(twin, "tflite")["zeros"] == 0
    assert differences(sparse, twin, "tflite") == []


def test_a_file_without_zeros_has_no_twin(feeds: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no zero weights to refill"):
        densify(MODELS / "dense.onnx", "onnx", tmp_path / "twin.onnx", feeds)


def test_what_overflows_is_damped(tmp_path: Path) -> None:
    """Weights of 1e20, one of them in each row: all of them together overflow in float32."""
    size = 64
    chain = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    chain.append(onnx.helper.make_node("MatMul", ["y", "v"], ["z"]))
    diagonal = np.eye(size, dtype=np.float32) * 2e18
    graph = onnx.helper.make_graph(
        chain,
        "large",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, size])],
        [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, size])],
        [onnx.numpy_helper.from_array(diagonal, name) for name in "wv"],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    source, twin = tmp_path / "m.onnx", tmp_path / "twin.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), source)
    notes = densify(source, "onnx", twin, {"": np.ones((2, size), np.float32)})
    assert any(note.startswith("the draws were multiplied by") for note in notes)


@pytest.mark.parametrize("name", ["dense.onnx", "dense.tflite", "pruned-90.onnx"])
def test_macs_are_those_of_the_neutral_graph(name: str) -> None:
    path, format = MODELS / name, FORMATS[Path(name).suffix]
    counted = {one.name: one for one in count(open_network(path, format))}
    found = zeros(path, format)
    assert found["reason"] is None
    assert found["macs"] == sum(one.macs or 0 for one in counted.values())
    assert found["zeros"] == sum(one.zeros for one in counted.values())
    by_zeros = sum((one.macs or 0) * one.zeros // np.prod(one.shape) for one in counted.values())
    assert found["macs_saved"] == pytest.approx(by_zeros, abs=len(counted))


def test_macs_are_the_same_in_all_formats(models: dict[str, Path]) -> None:
    found = [zeros(models[name], FORMATS[models[name].suffix]) for name in FILES[:3]]
    assert len({(one["macs"], one["macs_saved"], one["weights"]) for one in found}) == 1
    assert {tuple(one["patterns"]) for one in found} == {("unstructured",)}


def test_what_is_not_known_has_its_own_reason(tmp_path: Path) -> None:
    """MACs that are not known were said to be so for want of the axes."""
    values = numpy_helper.from_array(np.ones(2, np.float32), "sparse")
    places = numpy_helper.from_array(np.array([0, 5], np.int64), "places")
    noise = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "sparse"], ["h"], name="first"),
            helper.make_node("Det", ["h"], ["d"]),
            helper.make_node("Own", ["d"], ["o"], domain="own"),
            helper.make_node("MatMul", ["o", "w"], ["y"], name="second"),
        ],
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.maximum(noise, 0), "w")],
        sparse_initializer=[helper.make_sparse_tensor(values, places, [4, 3])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    found = zeros(path, "onnx")
    first, second = found["layers"]
    assert (first["zeros"], first["pattern"], first["saved_bytes"]) == (10, None, None)
    assert first["reason"] == f"{UNKNOWN_USES}; {SPARSE}"
    assert (second["macs"], second["reason"]) == (None, UNKNOWN_USES)
    assert second["saved_bytes"] == found["saved_bytes"] > 0
    assert (found["macs"], found["reason"]) == (None, f"{UNKNOWN_USES}; {SPARSE}")
