"""INT8 and float16 files of real networks: they run, agree with their source, and keep zeros."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.errors import InputError
from harness.formats import onnx as onnx_contents
from harness.formats import tflite as tflite_contents
from harness.variants import openvino_host
from harness.variants.convert import convert
from harness.variants.half import halve
from harness.variants.network import Array
from harness.variants.outputs import outputs
from harness.variants.parity import check
from harness.variants.quantize import quantize
from harness.variants.recipe import Quantize
from tests.unit.tflite_builder import Net

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
INT8 = Quantize(to="int8")
FORMATS = ("onnx", "openvino", "tflite")
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite"}
SAMPLES = np.load(DIGITS / "eval.npz")
CALIBRATION, TESTED = SAMPLES["x"][:60], SAMPLES["x"][100:250]
LABELS = SAMPLES["y"][100:250]
OPENED = [
    f"from harness.variants.networks import {name}" for name in ("openvino", "openvino_model")
]
# What keeps their telemetry silent by itself.
QUIETENING = ("CI", "TF_BUILD", "JENKINS_URL", "NNCF_CI", "NNCF_DEV")
# A layer in each format, by the name that a study gives it.
LAYER = {"onnx": "head", "openvino": "head/WithoutBiases", "tflite": "y"}


def model(folder: Path, format: str, name: str = "dense") -> Path:
    """Return a copy of a network of the digits in a format."""
    target = folder / f"{name}{SUFFIX[format]}"
    if format == "openvino":
        convert(DIGITS / "models" / f"{name}.onnx", "onnx", "openvino", target)
    else:
        shutil.copyfile(DIGITS / "models" / target.name, target)
    return target


def fingerprint(folder: Path) -> dict[str, str]:
    """Return the sum of every file in a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module", params=FORMATS)
def made(request: Any, tmp_path_factory: Any) -> Iterator[tuple[str, Path, Path, list[str]]]:
    """Quantise the dense network once in each format: format, source, INT8 file, notes."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    source = model(folder, request.param)
    before = fingerprint(folder)
    target = folder / "made" / f"int8{SUFFIX[request.param]}"
    notes = quantize(source, request.param, target, INT8, {"": CALIBRATION})
    assert fingerprint(folder) == before  # the source is as it was, and nothing lies beside it
    yield request.param, source, target, notes


def test_int8_agrees_and_is_as_accurate(made: tuple[str, Path, Path, list[str]]) -> None:
    format, source, target, _ = made
    found = [outputs(path, format, {"": TESTED}) for path in (source, target)]
    assert check(found[0], found[1], "integer", str(target)).samples == len(TESTED)
    top1 = [float(np.mean(values[0].argmax(axis=1) == LABELS)) for values in found]
    assert top1[1] >= top1[0] - 0.01


def test_every_layer_is_int8_and_the_file_smaller(
    made: tuple[str, Path, Path, list[str]],
) -> None:
    format, source, target, notes = made
    assert notes[0].startswith("14 of 14 layers in INT8")
    sizes = [weights(path, format).stat().st_size for path in (source, target)]
    assert sizes[1] < 0.5 * sizes[0]


def test_only_what_was_asked_for_is_left_behind(made: tuple[str, Path, Path, list[str]]) -> None:
    format, _, target, _ = made
    expected = {target.name, weights(target, format).name}
    assert {path.name for path in target.parent.iterdir()} == expected


def test_any_batch_runs(made: tuple[str, Path, Path, list[str]]) -> None:
    format, _, target, _ = made
    one = outputs(target, format, {"": TESTED[:8]})[0]
    assert np.allclose(in_batches_of_eight(target, format, TESTED[:8]), one, atol=0.3)


@pytest.mark.parametrize("format", FORMATS)
def test_a_layer_is_left_by_name(tmp_path: Path, format: str) -> None:
    target = tmp_path / "out" / f"int8{SUFFIX[format]}"
    ask = Quantize(to="int8", leave=(LAYER[format],))
    notes = quantize(model(tmp_path, format), format, target, ask, {"": CALIBRATION[:5]})
    assert notes[0].startswith("13 of 14 layers in INT8")


@pytest.mark.parametrize("format", FORMATS)
def test_an_unknown_layer_is_named_with_the_nearest(tmp_path: Path, format: str) -> None:
    ask = Quantize(to="int8", leave=(LAYER[format] + "s",))
    source, target = model(tmp_path, format), tmp_path / f"out{SUFFIX[format]}"
    with pytest.raises(InputError, match=f"did you mean '{LAYER[format]}'"):
        quantize(source, format, target, ask, {"": CALIBRATION[:2]})
    assert not target.exists()


@pytest.mark.parametrize("format", FORMATS)
def test_pruned_weights_stay_zero(tmp_path: Path, format: str) -> None:
    source = model(tmp_path, format, "pruned-70")
    target = tmp_path / "out" / f"int8{SUFFIX[format]}"
    quantize(source, format, target, INT8, {"": CALIBRATION[:5]})
    before, after = zeros(source, format), zeros(target, format)
    assert before > 0.6
    assert after >= before


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_what_is_quantised_is_refused(tmp_path: Path, format: str) -> None:
    source = model(tmp_path, format, "int8")
    with pytest.raises(InputError, match="quantised"):
        quantize(source, format, tmp_path / f"out{SUFFIX[format]}", INT8, {"": CALIBRATION[:2]})


def test_samples_are_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs calibration samples"):
        quantize(model(tmp_path, "onnx"), "onnx", tmp_path / "out.onnx", INT8, {})
    with pytest.raises(InputError, match="the samples are for a, b"):
        feeds = {"a": CALIBRATION[:2], "b": CALIBRATION[:2]}
        quantize(model(tmp_path, "onnx"), "onnx", tmp_path / "out.onnx", INT8, feeds)


def test_a_tool_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for format in FORMATS:
        source = model(tmp_path, format)
        quantize(source, format, tmp_path / f"o{SUFFIX[format]}", INT8, {"": CALIBRATION[:5]})
        halve(source, format, tmp_path / f"h{SUFFIX[format]}")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "load", ["from harness.variants import openvino_host", *OPENED, "import harness.variants, nncf"]
)
def test_openvino_and_nncf_call_nobody(load: str) -> None:
    """In a process of its own: under pytest NNCF sends nothing anyway, and CI stops OpenVINO."""
    script = f"""
import os, socket, sys, time
# Written to the descriptor, since they send from a forked process.
socket.getaddrinfo = lambda *where, **more: os.write(1, repr(where).encode()) and []
{load}
import openvino
time.sleep(1)
assert sys.modules["openvino_telemetry"] is None, "it is loaded"
"""
    plain = {key: value for key, value in os.environ.items() if key not in QUIETENING}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=plain, check=True
    )
    assert done.stdout == ""


def test_a_channel_of_zeros_is_quantised_too(tmp_path: Path) -> None:
    source = residual(tmp_path / "net.onnx", empty_channel=True)
    samples = np.random.default_rng(1).normal(size=(40, 3, 8, 8)).astype(np.float32)
    target = tmp_path / "int8.onnx"
    quantize(source, "onnx", target, INT8, {"": samples})
    found = [outputs(path, "onnx", {"": samples}) for path in (source, target)]
    check(found[0], found[1], "integer", str(target))


def test_a_bias_of_a_transposed_convolution_is_kept_where_it_has_no_weights(tmp_path: Path) -> None:
    """Its inputs come in another order: (shape, weight, data, bias)."""
    net = Net()
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    weight = net.random.standard_normal((6, 3, 3, 8)).astype(np.float32) / 8
    weight[2] = 0
    shape = net.constant("shape", [1, 8, 8, 6], np.int32)
    bias = net.constant("bias", np.linspace(1, 2, 6).astype(np.float32))
    inputs = [shape, net.constant("weight", weight), maps, bias]
    steps = {"strideH": 2, "strideW": 2}
    up = net.op("TRANSPOSE_CONV", inputs, "y", [1, 8, 8, 6], like="TransposeConvOptions", **steps)
    source, target = net.save(tmp_path / "net.tflite", up), tmp_path / "int8.tflite"
    samples = np.random.default_rng(1).normal(size=(40, 4, 4, 3)).astype(np.float32)
    quantize(source, "tflite", target, INT8, {"x": samples})
    made = outputs(target, "tflite", {"x": samples})[0]
    assert made[..., 2] == pytest.approx(1.4, abs=0.05)
    check(outputs(source, "tflite", {"x": samples}), [made], "integer", "net")


def test_a_fused_layer_is_left_by_its_name_before_fusing(tmp_path: Path) -> None:
    source = residual(tmp_path / "net.onnx")
    samples = np.random.default_rng(1).normal(size=(5, 3, 8, 8)).astype(np.float32)
    for name, left in (("second", 1), ("product", 1), ("sum", 1), ("first", 1)):
        ask = Quantize(to="int8", leave=(name,))
        notes = quantize(source, "onnx", tmp_path / "int8.onnx", ask, {"": samples})
        assert notes[0].startswith(f"{3 - left} of 3 layers"), name


@pytest.mark.parametrize("format", FORMATS)
def test_float16_agrees_and_keeps_its_ports(tmp_path: Path, format: str) -> None:
    source, target = model(tmp_path, format), tmp_path / "out" / f"half{SUFFIX[format]}"
    before = fingerprint(tmp_path)
    halve(source, format, target)
    assert fingerprint(tmp_path) == before
    samples = {"": TESTED[:20]}
    found = [outputs(path, format, samples) for path in (source, target)]
    check(found[0], found[1], "half", str(target))
    assert in_batches_of_eight(target, format, TESTED[:8]).dtype == np.float32
    sizes = [weights(path, format).stat().st_size for path in (source, target)]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_file_in_float16_is_not_halved_again(tmp_path: Path) -> None:
    halve(model(tmp_path, "onnx"), "onnx", tmp_path / "half.onnx")
    with pytest.raises(InputError, match="in float16 already"):
        halve(tmp_path / "half.onnx", "onnx", tmp_path / "again.onnx")


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    source = residual(tmp_path / "net.onnx", factor=1e6)
    with pytest.raises(InputError, match=r"'first\.weight' go beyond 65504"):
        halve(source, "onnx", tmp_path / "half.onnx")


def test_a_limit_beyond_float16_stays_float32(tmp_path: Path) -> None:
    source = residual(tmp_path / "net.onnx", limit=1e9)
    samples = np.random.default_rng(1).normal(size=(9, 3, 8, 8)).astype(np.float32)
    notes = halve(source, "onnx", tmp_path / "half.onnx")
    assert "1 operators with constants beyond 65504" in notes[0]
    found = [outputs(tmp_path / name, "onnx", {"": samples}) for name in ("net.onnx", "half.onnx")]
    check(found[0], found[1], "half", "half.onnx")


def weights(path: Path, format: str) -> Path:
    """Return the file that the weights are in."""
    return path.with_suffix(".bin") if format == "openvino" else path


def zeros(path: Path, format: str) -> float:
    """Return the share of zeros among the weights."""
    if format == "onnx":
        return onnx_contents.read(path).sparsity or 0.0
    if format == "tflite":
        return tflite_contents.read(path).sparsity or 0.0
    operators = openvino_host.read(path).get_ops()
    constants = (op for op in operators if op.get_type_name() == "Constant")
    # Not the biases, [1, n, 1, 1], nor the scales, [n, 1, 1, 1].
    found = [
        op.data for op in constants if op.shape and min(op.shape[0], np.prod(op.shape[1:])) > 1
    ]
    return float(sum((array == 0).sum() for array in found) / sum(array.size for array in found))


def in_batches_of_eight(path: Path, format: str, samples: Array) -> Array:
    """Run eight samples at once, as an agent does."""
    if format == "openvino":
        compiled = openvino.Core().compile_model(str(path), "CPU")
        return np.array(compiled([samples])[0])
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return np.array(session.run(None, {"x": samples})[0])
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    port, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(port["index"], samples.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(port["index"], quantised(samples, *port["quantization"]))
    interpreter.invoke()
    found: Array = interpreter.get_tensor(result["index"])
    scale, zero_point = result["quantization"]
    return np.array((found.astype(np.float32) - zero_point) * scale) if scale else found


def quantised(samples: Array, scale: float, zero_point: int) -> Array:
    """Return what an input takes: codes if it has a scale."""
    if not scale:
        return samples
    return np.clip(np.round(samples / scale) + zero_point, -128, 127).astype(np.int8)


def residual(
    path: Path, *, empty_channel: bool = False, factor: float = 1.0, limit: float | None = None
) -> Path:
    """Write a small network with a fused batch normalisation, a residual sum and MatMul + Add."""
    random = np.random.default_rng(3)
    first = random.normal(size=(4, 3, 3, 3)).astype(np.float32) * factor
    if empty_channel:
        first[1] = 0
    constants = {
        "first.weight": first,
        "first.bias": np.array([0.1, 0.3, -0.2, 0.4], np.float32),
        "second.weight": random.normal(size=(4, 4, 3, 3)).astype(np.float32),
        "scale": np.array([1.0, 0.5, 2.0, 1.5], np.float32),
        "shift": np.zeros(4, np.float32),
        "mean": np.zeros(4, np.float32),
        "variance": np.ones(4, np.float32),
        "product.weight": random.normal(size=(256, 5)).astype(np.float32),
        "sum.bias": random.normal(size=5).astype(np.float32),
        "limit": np.array(limit or 0, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "first.weight", "first.bias"], ["a"], "first", pads=[1] * 4),
        helper.make_node("Conv", ["a", "second.weight"], ["b"], "second", pads=[1] * 4),
        helper.make_node(
            "BatchNormalization", ["b", "scale", "shift", "mean", "variance"], ["c"], "norm"
        ),
        helper.make_node("Add", ["a", "c"], ["d"], "residual"),
        helper.make_node("Flatten", ["d"], ["e"], "flatten"),
        helper.make_node("MatMul", ["e", "product.weight"], ["f"], "product"),
        helper.make_node("Add", ["f", "sum.bias"], ["g"], "sum"),
    ]
    last = "g"
    if limit:
        nodes.append(helper.make_node("Min", ["g", "limit"], ["h"], "limited"))
        last = "h"
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path
