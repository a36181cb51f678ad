"""Outputs of a file on the host: inputs by name and position, fixed batches, codes and types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.errors import InputError
from harness.variants import openvino_host, samples
from harness.variants.network import Array
from harness.variants.outputs import batches, outputs

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
A: Array = np.arange(15, dtype=np.float32).reshape(5, 3)
B: Array = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)


def difference(path: Path, batch: Any = "n", kind: int = TensorProto.FLOAT) -> Path:
    """Write a net of two inputs, `a` minus `b`, and the sum over its first axis."""
    rows = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["a", "b"], ["difference"]),
            helper.make_node("ReduceSum", ["difference", "axes"], ["total"], keepdims=0),
        ],
        "difference",
        [rows("a", kind, [batch, 3]), rows("b", kind, [batch, 3])],
        [rows("difference", kind, [batch, 3]), rows("total", kind, [3])],
        [numpy_helper.from_array(np.array([0], np.int64), "axes")],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def test_inputs_go_by_name_whatever_their_order(tmp_path: Path) -> None:
    path = difference(tmp_path / "net.onnx")
    found = outputs(path, "onnx", {"b": B, "a": A})
    assert np.allclose(found[0], A - B)


def test_an_output_without_a_batch_has_a_row_for_each_sample(tmp_path: Path) -> None:
    found = outputs(difference(tmp_path / "net.onnx"), "onnx", {"a": A, "b": B})
    assert found[1].shape == (5, 3)
    assert np.allclose(found[1], A - B)


def test_names_that_a_file_lacks_go_by_position(tmp_path: Path) -> None:
    path = difference(tmp_path / "net.onnx")
    assert np.allclose(outputs(path, "onnx", {"first": A, "second": B})[0], A - B)
    for feeds in ({"a": A, "second": B}, {"a": A}, {"": A}, {"a": A, "b": B, "c": B}):
        with pytest.raises(InputError, match="takes the inputs a, b"):
            outputs(path, "onnx", feeds)


def test_openvino_agrees(tmp_path: Path) -> None:
    path = difference(tmp_path / "net.onnx")
    openvino_host.save(openvino_host.read(path), tmp_path / "net.xml")
    found = outputs(tmp_path / "net.xml", "openvino", {"b": B, "a": A})
    assert np.allclose(found[0], A - B)


def test_a_fixed_batch_is_filled_and_cut(tmp_path: Path) -> None:
    graph = onnx.load(difference(tmp_path / "net.onnx", 2))
    del graph.graph.output[1]
    onnx.save(graph, tmp_path / "net.onnx")
    found = outputs(tmp_path / "net.onnx", "onnx", {"a": A, "b": B})
    assert found[0].shape == (5, 3)
    assert np.allclose(found[0], A - B)
    sizes = [chunk["a"].shape for chunk in batches(tmp_path / "net.onnx", "onnx", {"a": A, "b": B})]
    assert sizes == [(2, 3)] * 3


def test_an_output_that_mixes_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    path = difference(tmp_path / "net.onnx", 2)
    with pytest.raises(InputError, match=r"'total' .* no axis of the batch 2"):
        outputs(path, "onnx", {"a": A, "b": B})


def test_float16_goes_in_and_comes_out_as_float32(tmp_path: Path) -> None:
    path = difference(tmp_path / "net.onnx", kind=TensorProto.FLOAT16)
    found = outputs(path, "onnx", {"a": A, "b": B})
    assert found[0].dtype == np.float32
    assert np.allclose(found[0], A - B, atol=1e-2)


def test_reals_are_no_whole_numbers(tmp_path: Path) -> None:
    path = difference(tmp_path / "net.onnx", kind=TensorProto.INT32)
    whole = {"a": A.astype(np.int64), "b": A.astype(np.int64)}
    assert (outputs(path, "onnx", whole)[0] == 0).all()
    with pytest.raises(InputError, match="names no scale"):
        outputs(path, "onnx", {"a": A, "b": B})


def test_codes_of_a_quantised_file_are_undone() -> None:
    archive = np.load(DIGITS / "eval.npz")
    found = [
        outputs(DIGITS / "models" / f"{name}.tflite", "tflite", {"": archive["x"][:40]})[0]
        for name in ("dense", "int8")
    ]
    assert found[1].dtype == np.float32
    assert np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1] > 0.99


def test_an_output_whose_size_depends_on_the_data_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"])],
        "found",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [2, "found"])],
    )
    opset = helper.make_opsetid("", 17)
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    found = np.array([[1, 0, 0, 0], [1, 1, 0, 0]], np.float32)
    with pytest.raises(InputError, match=r"output 'y' differs in shape .* \[2, 1\], \[2, 2\]"):
        outputs(path, "onnx", {"x": found})


@pytest.mark.parametrize("batch", [3, "n"])
def test_random_samples_for_a_fixed_batch(tmp_path: Path, batch: Any) -> None:
    path = difference(tmp_path / "net.onnx", batch)
    graph = onnx.load(path)
    del graph.graph.output[1]
    onnx.save(graph, path)
    feeds = samples.random(path, "onnx", {})
    assert {name: array.shape for name, array in feeds.items()} == {"a": (8, 3), "b": (8, 3)}
    assert outputs(path, "onnx", feeds)[0].shape == (8, 3)
    stated = samples.random(path, "onnx", {"a": (3, None), "b": (3, None)})
    assert stated["a"].shape == (8, 3)


def test_what_cannot_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"nothing")
    for format in ("onnx", "tflite", "openvino"):
        with pytest.raises(InputError, match="does not run on this host"):
            outputs(tmp_path / "net.onnx", format, {"a": A})
    with pytest.raises(InputError, match="cannot be run on the host"):
        outputs(tmp_path / "net.param", "ncnn", {"a": A})


@pytest.mark.parametrize("feeds", [{"a": A, "b": B[:3]}, {"a": A[:0], "b": B[:0]}, {}])
def test_inputs_need_equally_many_samples(tmp_path: Path, feeds: dict[str, Array]) -> None:
    with pytest.raises(InputError, match="equally many samples"):
        outputs(difference(tmp_path / "net.onnx"), "onnx", feeds)


def test_a_program_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")
    network = torch.nn.Linear(3, 2).eval()
    program = torch.export.export(network, (torch.from_numpy(A[:1]),))
    torch.export.save(program, tmp_path / "net.pt2")
    weight, bias = (value.detach().numpy() for value in network.parameters())
    [found] = outputs(tmp_path / "net.pt2", "torch", {"": A})
    np.testing.assert_allclose(found, A @ weight.T + bias, rtol=1e-5, atol=1e-5)
