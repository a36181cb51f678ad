"""Model files on the host: what is read from them, and what is said of those that are none."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from harness.artifact import Artifact, Unresolvable, inspect, resolve_inputs
from harness.errors import InputError
from harness.formats import Contents, Port
from tests.unit.model_files import (
    Operator,
    Tensor,
    matmul,
    onnx_model,
    save_dense_tflite,
    save_onnx,
    save_tflite,
)

OP, KIND = tflite.BuiltinOperator, tflite.TensorType
MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8)))


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def half_zero(shape: tuple[int, ...] = (4, 4), dtype: Any = np.float32) -> Any:
    values = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)
    values.reshape(-1)[::2] = 0
    return values


# --- identity and sizes


def test_identity_and_sizes(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "m.onnx", half_zero())
    data = path.read_bytes()
    found = inspect(path, "onnx")
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.bytes, found.compressed_bytes) == (len(data), len(zlib.compress(data, 6)))
    assert found.parts == {".onnx": found.sha256}
    assert (found.sparsity, found.reason, found.provenance) == (0.5, None, None)
    assert found.inputs == (Port("x", "float32", (None, 4)),)
    assert found.outputs == (Port("y", "float32", (None, 4)),)
    assert found.record().file == "m.onnx"
    assert found.record().sparsity == 0.5


def test_sidecar_is_attached_when_it_parses(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "m.onnx")
    (tmp_path / "m.json").write_text(json.dumps({"seed": 1}))
    assert inspect(path, "onnx").provenance == {"seed": 1}
    for other in ("[1]", "{", "\xff", "[" * 100_000):
        (tmp_path / "m.json").write_text(other, encoding="latin-1")
        assert inspect(path, "onnx").provenance is None


# --- files that are no models


@pytest.mark.parametrize("format", ["onnx", "tflite", "openvino"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"name: study\n", b"\x89PNG\r\n\x1a\n" * 40, b"PK\x03\x04" + b"\x00" * 64],
)
def test_no_model(tmp_path: Path, format: str, content: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        inspect(path, format)
    assert caught.value.where == str(path)
    assert caught.value.next_step
    assert ("is empty" in caught.value.what) == (content == b"")


@pytest.mark.parametrize("format", ["onnx", "tflite", "openvino"])
def test_missing_file_and_folder(tmp_path: Path, format: str) -> None:
    with pytest.raises(InputError, match="no such model file"):
        inspect(tmp_path / "none", format)
    with pytest.raises(InputError):
        inspect(tmp_path, format)


def test_the_other_format(tmp_path: Path) -> None:
    onnx_file = save_onnx(tmp_path / "a.onnx")
    tflite_file = save_dense_tflite(tmp_path / "b.tflite", half_zero())
    for path, format in ((onnx_file, "tflite"), (tflite_file, "onnx"), (onnx_file, "openvino")):
        with pytest.raises(InputError):
            inspect(path, format)


@given(share=st.floats(0.0, 0.97))
@settings(max_examples=60, deadline=None)
def test_truncated(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    for whole, format in (
        (save_onnx(folder / "a.onnx", weights, ("n", 64)), "onnx"),
        (save_dense_tflite(folder / "b.tflite", weights), "tflite"),
    ):
        cut = folder / "cut"
        cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
        with pytest.raises(InputError):
            inspect(cut, format)


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_never_crash(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    for path, format in (
        (save_onnx(folder / "a.onnx"), "onnx"),
        (save_dense_tflite(folder / "b.tflite", half_zero()), "tflite"),
    ):
        data = bytearray(path.read_bytes())
        data[at % len(data)] = byte
        path.write_bytes(data)
        try:
            found = inspect(path, format)
        except InputError:
            continue
        assert found.sparsity is None or 0 <= found.sparsity <= 1


@pytest.mark.parametrize("operator", ["MatMul", "Constant"])
def test_an_operator_without_output_is_refused(tmp_path: Path, operator: str) -> None:
    model = matmul(half_zero(), ("n", 4))
    value = numpy_helper.from_array(half_zero())
    given = {"value": value} if operator == "Constant" else {}
    inputs = [] if given else list(model.graph.node[0].input)
    model.graph.node.append(helper.make_node(operator, inputs, [], **given))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=f"{operator} without an output"):
        inspect(tmp_path / "m.onnx", "onnx")


def test_external_data_asks_to_embed(tmp_path: Path) -> None:
    model = matmul(np.ones((64, 64), np.float32), ("n", 64))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(InputError, match="embed them"):
        inspect(path, "onnx")


def test_initializer_too_short(tmp_path: Path) -> None:
    model = matmul(np.ones((4, 4), np.float32))
    model.graph.initializer[0].raw_data = b"\x00" * 8
    with pytest.raises(InputError, match="damaged tensor 'w'"):
        inspect(save(model, tmp_path / "m.onnx"), "onnx")


# --- sparsity, ONNX


@given(mask=MASKS)
@settings(max_examples=50, deadline=None)
def test_sparsity_of_random_masks(tmp_path_factory: pytest.TempPathFactory, mask: Any) -> None:
    folder = tmp_path_factory.mktemp("mask")
    share = float((~mask).mean())
    weights = mask.astype(np.float32)
    rows = inspect(save_onnx(folder / "a.onnx", weights, ("n", len(mask))), "onnx")
    dense = inspect(save_dense_tflite(folder / "b.tflite", weights), "tflite")
    # The same network as sparse tensors stores the non-zeros only.
    stored = save_dense_tflite(folder / "c.tflite", weights[mask], sparse=True, shape=mask.shape)
    assert rows.sparsity == pytest.approx(share)
    assert dense.sparsity == pytest.approx(share)
    sparse = inspect(stored, "tflite").sparsity
    assert sparse == (pytest.approx(share) if mask.any() else None)


@given(mask=MASKS, seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_quantised_zero_is_the_zero_point(
    tmp_path_factory: pytest.TempPathFactory, mask: Any, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("zero")
    columns = mask.shape[1]
    points = np.random.default_rng(seed).integers(-100, 100, columns).astype(np.int8)
    weights = np.where(mask, points + 1, points).astype(np.int8)
    path = save(quantised(weights, points, axis=1), folder / "a.onnx")
    assert inspect(path, "onnx").sparsity == pytest.approx(float((~mask).mean()))
    more = {"scales": [0.1] * columns, "zero_points": points.tolist(), "dimension": 1}
    path = save_dense_tflite(folder / "b.tflite", weights, KIND.INT8, **more)
    assert inspect(path, "tflite").sparsity == pytest.approx(float((~mask).mean()))


def quantised(weights: Any, points: Any, axis: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=axis),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    constants = {"w": weights, "s": np.full(points.shape, 0.1, np.float32), "z": points}
    return onnx_model(nodes, constants, {"x": (TensorProto.FLOAT, ["n", len(weights)])})


def test_constants_behind_other_operators_count_once(tmp_path: Path) -> None:
    weights = half_zero((4, 4), np.float16)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(weights)),
        helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["h"]),
        helper.make_node("MatMul", ["h", "t"], ["h2"]),
        helper.make_node("Add", ["h2", "bias"], ["y"]),
    ]
    model = onnx_model(
        nodes, {"bias": np.zeros(4, np.float32)}, {"x": (TensorProto.FLOAT, ["n", 4])}
    )
    assert inspect(save(model, tmp_path / "m.onnx"), "onnx").sparsity == 0.5


def test_float_weights_before_fake_quantisation(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    constants = {"w": half_zero(), "s": np.float32(0.1), "z": np.int8(1)}
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    model = onnx_model(nodes, arrays, {"x": (TensorProto.FLOAT, ["n", 4])})
    assert inspect(save(model, tmp_path / "m.onnx"), "onnx").sparsity == 0.5


def test_integer_operators_take_their_own_zero_point(tmp_path: Path) -> None:
    weights = half_zero((3, 2, 3, 3), np.uint8)
    weights[weights == 0] = 7
    node = helper.make_node("ConvInteger", ["x", "w", "xz", "wz"], ["y"])
    constants = {"w": weights, "xz": np.uint8(1), "wz": np.full(3, 7, np.uint8)}
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    ports: Any = {"x": (TensorProto.UINT8, ["n", 2, 8, 8])}
    model = onnx_model([node], arrays, ports, {"y": (TensorProto.INT32, [None])})
    found = inspect(save(model, tmp_path / "m.onnx"), "onnx")
    assert found.sparsity == pytest.approx(np.mean(weights == 7))


def test_zero_points_that_do_not_fit_leave_sparsity_null(tmp_path: Path) -> None:
    model = quantised(np.ones((4, 4), np.int8), np.ones(3, np.int8), axis=1)
    found = inspect(save(model, tmp_path / "m.onnx"), "onnx")
    assert found.sparsity is None
    assert found.reason == "zero points do not fit their weights"


def test_sparse_initializer(tmp_path: Path) -> None:
    model = matmul(np.ones((4, 4), np.float32))
    del model.graph.initializer[:]
    values = numpy_helper.from_array(np.ones(3, np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 5, 10], np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 4]))
    assert inspect(save(model, tmp_path / "m.onnx"), "onnx").sparsity == 13 / 16


def test_weights_of_subgraphs_count(tmp_path: Path) -> None:
    branch = matmul(half_zero()).graph
    del branch.input[:]
    branch.node[0].output[0] = branch.output[0].name = "b"
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    ports: Any = {"x": (TensorProto.FLOAT, ["n", 4]), "flag": (TensorProto.BOOL, [])}
    found = inspect(save(onnx_model([node], {}, ports), tmp_path / "m.onnx"), "onnx")
    assert found.sparsity == 0.5


def test_no_weights_has_a_reason(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    path = save(onnx_model([node], {}, {"x": (TensorProto.FLOAT, ["n", 4])}), tmp_path / "m.onnx")
    found = inspect(path, "onnx")
    assert found.sparsity is None
    assert "no weights" in str(found.reason)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    weights = half_zero()
    weights[0, 1] = value
    for path, format in (
        (save_onnx(tmp_path / "a.onnx", weights), "onnx"),
        (save_dense_tflite(tmp_path / "b.tflite", weights), "tflite"),
    ):
        found = inspect(path, format)
        assert found.reason == "NaN or infinite weights in w"
        assert found.sparsity == 0.5


# --- sparsity, TFLite


def test_float16_weights_behind_dequantize(tmp_path: Path) -> None:
    tensors = [
        Tensor("x", [1, 4]),
        Tensor("w16", [4, 4], KIND.FLOAT16, half_zero(dtype=np.float16).tobytes()),
        Tensor("w", [4, 4]),
        Tensor("y", [1, 4]),
    ]
    steps = [Operator(OP.DEQUANTIZE, [1], [2]), Operator(OP.FULLY_CONNECTED, [0, 2, -1], [3])]
    assert inspect(save_tflite(tmp_path / "m.tflite", tensors, steps), "tflite").sparsity == 0.5


def test_sparse_tensor_behind_densify(tmp_path: Path) -> None:
    stored = np.array([1, 2, 0, 4], np.float32)  # a block may hold zeros of its own
    tensors = [
        Tensor("x", [1, 4]),
        Tensor("sparse", [4, 4], data=stored.tobytes(), sparse=True),
        Tensor("w", [4, 4]),
        Tensor("y", [1, 4]),
    ]
    steps = [Operator(OP.DENSIFY, [1], [2]), Operator(OP.CONV_2D, [0, 2], [3])]
    found = inspect(save_tflite(tmp_path / "m.tflite", tensors, steps), "tflite")
    assert found.sparsity == 13 / 16


def test_int4_weights_are_unpacked(tmp_path: Path) -> None:
    packed = np.array([0x10, 0x00, 0xF0, 0x21], np.uint8)  # 0,1 0,0 0,-1 1,2
    path = save_dense_tflite(tmp_path / "m.tflite", packed, KIND.INT4, shape=[2, 4])
    assert inspect(path, "tflite").sparsity == 0.5


def test_biases_and_activations_do_not_count(tmp_path: Path) -> None:
    tensors = [
        Tensor("x", [1, 4]),
        Tensor("w", [4, 4], data=half_zero().tobytes()),
        Tensor("bias", [4], data=np.zeros(4, np.float32).tobytes()),
        Tensor("y", [1, 4]),
    ]
    steps = [Operator(OP.FULLY_CONNECTED, [0, 1, 2], [3])]
    assert inspect(save_tflite(tmp_path / "m.tflite", tensors, steps), "tflite").sparsity == 0.5


def test_quantised_input_of_tflite(tmp_path: Path) -> None:
    tensors = [
        Tensor("x", [1, 4], KIND.INT8, signature=[-1, 4], scales=[0.5], zero_points=[83]),
        Tensor("w", [4, 4], KIND.INT8, np.ones((4, 4), np.int8).tobytes()),
        Tensor("y", [1, 4], KIND.INT8),
    ]
    path = save_tflite(
        tmp_path / "m.tflite", tensors, [Operator(OP.FULLY_CONNECTED, [0, 1, -1], [2])]
    )
    assert inspect(path, "tflite").inputs == (Port("x", "int8", (None, 4), 0.5, 83),)


def test_quantised_input_of_onnx(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    arrays = {"s": np.asarray(np.float32(0.25)), "z": np.asarray(np.int8(-3)), "w": half_zero()}
    model = onnx_model(nodes, arrays, {"x": (TensorProto.INT8, ["n", 4])})
    found = inspect(save(model, tmp_path / "m.onnx"), "onnx")
    assert found.inputs == (Port("x", "int8", (None, 4), 0.25, -3),)


# --- OpenVINO

IR = """<?xml version="1.0"?><net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?,4" element_type="f32"/>
<output><port id="0" precision="FP32" names="x,alias"><dim>-1</dim><dim>4</dim></port></output>
</layer>
<layer id="1" name="y/sink" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>-1</dim><dim>4</dim></port></input></layer>
</layers></net>"""


def test_openvino_is_two_files(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    path.write_text(IR)
    with pytest.raises(InputError, match=r"has no m\.bin"):
        inspect(path, "openvino")
    (tmp_path / "m.bin").write_bytes(b"12345678")
    found = inspect(path, "openvino")
    assert found.bytes == len(IR) + 8
    assert found.parts == {
        ".xml": hashlib.sha256(IR.encode()).hexdigest(),
        ".bin": hashlib.sha256(b"12345678").hexdigest(),
    }
    assert found.sha256 == hashlib.sha256(IR.encode() + b"12345678").hexdigest()
    assert found.inputs == (Port("x", "float32", (None, 4)),)
    assert found.outputs == (Port("y/sink", "float32", (None, 4)),)
    assert (found.sparsity, found.reason) == (
        None,
        "no weights of a convolution or matrix product found",
    )


@pytest.mark.parametrize("text", ["<net/>", IR[:200], "<a></a>", "<!DOCTYPE net []>" + IR[21:]])
def test_no_openvino_ir(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.xml"
    path.write_text(text)
    with pytest.raises(InputError):
        inspect(path, "openvino")


# --- shapes of inputs


def artifact(*ports: Port, format: str = "onnx") -> Artifact:
    contents = Contents(ports, (), None, None)
    return Artifact(Path("m"), format, (), "0" * 64, {}, 1, contents)


def shapes_of(found: Artifact, batch: int, shapes: Any = ()) -> list[list[int]]:
    return [spec["shape"] for spec in resolve_inputs(found, batch, dict(shapes))]


def test_free_batch_is_filled_in() -> None:
    port = Port("x", "int8", (None, 4), 0.5, 83)
    assert resolve_inputs(artifact(port), 8, {}) == [
        {"name": "x", "dtype": "int8", "shape": [8, 4], "scale": 0.5, "zero_point": 83}
    ]


def test_fixed_batch() -> None:
    port = Port("x", "float32", (1, 4))
    assert shapes_of(artifact(port), 1) == [[1, 4]]
    with pytest.raises(Unresolvable, match="input 'x' has a fixed batch of 1, not 8"):
        resolve_inputs(artifact(port), 8, {})
    assert shapes_of(artifact(port, format="tflite"), 8) == [[8, 4]]
    assert shapes_of(artifact(port, format="tflite"), 8, {"x": (None, 4)}) == [[8, 4]]


def test_several_inputs() -> None:
    image, state, scale = (
        Port("x", "float32", (None, 4)),
        Port("h", "float32", (2, 16)),
        Port("s", "float32", ()),
    )
    assert shapes_of(artifact(image, state, scale), 8) == [[8, 4], [2, 16], []]
    assert shapes_of(artifact(image, state, scale, format="tflite"), 8) == [[8, 4], [2, 16], []]
    with pytest.raises(Unresolvable, match="scalar"):
        resolve_inputs(artifact(scale), 1, {})


def test_free_dimensions_need_shapes() -> None:
    found = artifact(Port("x", "float32", (None, 3, None, None)))
    with pytest.raises(Unresolvable, match="input 'x' has free dimension 2; give its whole shape"):
        resolve_inputs(found, 1, {})
    assert shapes_of(found, 2, {"x": (None, 3, 8, 8)}) == [[2, 3, 8, 8]]
    assert shapes_of(found, 1, {"x": (1, 3, 8, 8), "another-format": (1,)}) == [[1, 3, 8, 8]]
    with pytest.raises(Unresolvable, match="fixed batch of 1"):
        resolve_inputs(found, 2, {"x": (1, 3, 8, 8)})
    with pytest.raises(Unresolvable, match="4 dimensions, its shapes 2"):
        resolve_inputs(found, 1, {"x": (1, 3)})
    with pytest.raises(Unresolvable, match="3 in dimension 1, its shapes ask for 5"):
        resolve_inputs(found, 1, {"x": (1, 5, 8, 8)})


def test_unknown_rank_and_absurd_size() -> None:
    found = artifact(Port("x", "float32", None))
    with pytest.raises(Unresolvable, match="declares no shape"):
        resolve_inputs(found, 1, {})
    assert shapes_of(found, 2, {"x": (None, 4)}) == [[2, 4]]
    with pytest.raises(Unresolvable, match="would hold"):
        resolve_inputs(found, 4096, {"x": (None, 1 << 20)})


@pytest.mark.parametrize("dtype", ["string", "bfloat16", "sequence", "complex64", "unknown"])
def test_types_that_cannot_be_fed(dtype: str) -> None:
    with pytest.raises(Unresolvable, match=f"of type {dtype}"):
        resolve_inputs(artifact(Port("x", dtype, (1, 4))), 1, {})


def test_inputs_of_several_types_are_read(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["a", "w"], ["y"])
    ports: dict[str, Any] = {
        "a": (TensorProto.FLOAT, ["n", 4]),
        "b": (TensorProto.INT64, [0, 2]),
        "c": (TensorProto.STRING, ["n"]),
        "d": (TensorProto.BOOL, []),
        "e": (TensorProto.BFLOAT16, None),
    }
    model = onnx_model([node], {"w": half_zero()}, ports)
    model.graph.input.append(helper.make_tensor_sequence_value_info("f", TensorProto.FLOAT, [1, 2]))
    found = inspect(save(model, tmp_path / "m.onnx"), "onnx").inputs
    assert [(port.dtype, port.shape) for port in found] == [
        ("float32", (None, 4)),
        ("int64", (None, 2)),
        ("string", (None,)),
        ("bool", ()),
        ("bfloat16", None),
        ("sequence", None),
    ]


def test_initializers_are_no_inputs(tmp_path: Path) -> None:
    model = matmul(half_zero())
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    found = inspect(save(model, tmp_path / "m.onnx"), "onnx")
    assert [port.name for port in found.inputs] == ["x"]
