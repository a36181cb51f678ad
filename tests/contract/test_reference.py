"""The reference networks: what is published of them, and the same answers in every runtime."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tflite
from ai_edge_litert.interpreter import Interpreter

from harness import artifact, reference
from harness.errors import InputError
from harness.reference import execute, to_onnx, to_tflite, weights
from harness.reference.graph import Convolution, Graph, Upscale, Weighted
from harness.reference.weights import Weights
from tests.contract.reference_files import NETWORKS, Array, groups, images, small

# Millions of parameters and of multiply-accumulates; the modules' docstrings name the sources.
PUBLISHED = {
    "resnet18": (11.69, 1814),
    "mobilenet-v1": (4.2, 569),
    "mobilenet-v2": (3.505, 301),
    "yolov8s-seg": (11.8, 21300),
    "deeplabv3-mobilenetv3": (11.029, 10452),
}
TOLERANCE = 1e-4  # of the largest value of an output


def by_numpy(graph: Graph, learnt: Mapping[str, Weights], x: Array) -> list[Array]:
    values = {graph.input: np.moveaxis(x, -1, 1).astype("float64")}
    for operation in graph.operations:
        sources = [values[tensor] for tensor in operation.inputs]
        if isinstance(operation, Weighted):
            layer = learnt[operation.name]
            sums = execute.product(operation, sources[0], layer.weight.astype("float64"))
            sums += layer.bias.reshape(-1, *[1] * len(operation.output.positions))
            activation = operation.activation if isinstance(operation, Convolution) else None
            values[operation.output] = execute.activated(sums, activation)
        else:
            made = execute.outputs(operation, *sources)
            values.update(zip(operation.outputs, made, strict=True))
    return [values[tensor] for tensor in graph.outputs]


def by_onnxruntime(path: Path, x: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


def by_litert(path: Path, x: Array) -> list[Array]:
    """Maps are put channels first, as the ONNX files have them."""
    interpreter = Interpreter(str(path), num_threads=1)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, x)
    interpreter.invoke()
    found = [interpreter.get_tensor(it["index"]) for it in interpreter.get_output_details()]
    return [np.moveaxis(it, -1, 1) if it.ndim == 4 else it for it in found]


def agree(these: list[Array], those: list[Array]) -> None:
    for one, other in zip(these, those, strict=True):
        assert one.shape == other.shape
        for a, b in zip(groups(one), groups(other), strict=True):
            assert np.abs(a - b).max() <= TOLERANCE * np.abs(a).max()


def test_names() -> None:
    assert reference.names() == sorted(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_published_size(name: str) -> None:
    described, (parameters, macs) = reference.describe(name), PUBLISHED[name]
    counted = described.macs
    if name == "yolov8s-seg":
        # The published figure counts the transposed convolution four times.
        operations = NETWORKS[name](640).operations
        counted += 3 * sum(it.macs for it in operations if isinstance(it, Upscale))
    assert described.parameters / 1e6 == pytest.approx(parameters, rel=0.01)
    assert counted / 1e6 == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_small_ones_agree(name: str, tmp_path: Path) -> None:
    """Both files give what numpy gives; further runtimes and precisions: test_agreement.py."""
    graph, learnt = small(name)
    to_onnx.write(graph, learnt, name, tmp_path / "net.onnx")
    to_tflite.write(graph, learnt, name, tmp_path / "net.tflite")
    x = images(graph, 2)
    expected = by_numpy(graph, learnt, x)
    agree(expected, by_onnxruntime(tmp_path / "net.onnx", x))
    agree(expected, by_litert(tmp_path / "net.tflite", x))
    agree([it[:1] for it in expected], by_litert(tmp_path / "net.tflite", x[:1]))


@pytest.mark.parametrize("name", NETWORKS)
def test_full_size(name: str, tmp_path: Path) -> None:
    """The files that users get: as described, equal in both formats, and alive."""
    described = reference.describe(name)
    reference.build(name, "onnx", tmp_path / "net.onnx")
    reference.build(name, "tflite", tmp_path / "net.tflite")
    x = np.random.default_rng(2).standard_normal((2, *described.input)).astype("float32")
    found = by_onnxruntime(tmp_path / "net.onnx", x)
    assert [it.shape[1:] for it in found] == list(described.outputs.values())
    agree([it[:1] for it in found], by_litert(tmp_path / "net.tflite", x[:1]))
    for output in found:
        for part in groups(output):
            moved = np.abs(part[0] - part[1]).mean()
            assert moved > 0.002 * np.abs(part).mean()  # most of a box is its place
    scores = found[0]
    if scores.ndim == 2:
        assert 0.5 < scores.std() < 3
        assert scores.std(axis=0).mean() > 0.2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("format", reference.FORMATS)
def test_ports(format: reference.Format, tmp_path: Path) -> None:
    """What the harness reads in the files: names, and a batch that is free."""
    path = tmp_path / f"net.{format}"
    write = {"onnx": to_onnx, "tflite": to_tflite}[format].write
    write(*small("yolov8s-seg"), "yolov8s-seg", path)
    found = artifact.inspect(path, format)
    assert [(it.name, it.dtype, it.shape) for it in found.inputs] == [
        ("x", "float32", (None, 96, 96, 3))
    ]
    protos = (None, 32, 24, 24) if format == "onnx" else (None, 24, 24, 32)
    assert [(it.name, it.shape) for it in found.outputs] == [
        ("output0", (None, 116, 189)),
        ("protos", protos),
    ]


def test_layers_have_names_of_their_own() -> None:
    for network in NETWORKS.values():
        operations = network(96).operations
        assert len({it.name for it in operations}) == len(operations)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_have_tails(name: str) -> None:
    """As trained weights have: so that there are small ones for pruning to find."""
    for layer in small(name)[1].values():
        if layer.weight.size > 10_000:
            rows = layer.weight.reshape(len(layer.weight), -1).astype("float64")
            values = rows / rows.std(axis=1, keepdims=True)
            assert (values**4).mean() > 4  # a normal distribution has 3
            assert 0.5 < (np.abs(values) < 0.5).mean() < 0.8  # and 0.38


def test_onnx_for_old_boards(tmp_path: Path) -> None:
    to_onnx.write(*small("mobilenet-v1"), "mobilenet-v1", tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert (model.ir_version, [it.version for it in model.opset_import]) == (8, [17])
    assert Counter(node.op_type for node in model.graph.node)["Transpose"] == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_tflite_for_old_boards(name: str, tmp_path: Path) -> None:
    """Versions that tflite-runtime 2.14 knows, and constants aligned as the schema asks."""
    path = tmp_path / "net.tflite"
    to_tflite.write(*small(name), name, path)
    data = path.read_bytes()
    model = tflite.Model.GetRootAs(data, 0)
    codes = [model.OperatorCodes(at) for at in range(model.OperatorCodesLength())]
    newer = {it.BuiltinCode(): it.Version() for it in codes if it.Version() > 1}
    allowed = {
        tflite.BuiltinOperator.DEPTHWISE_CONV_2D: 2,  # dilation
        tflite.BuiltinOperator.RESIZE_BILINEAR: 3,  # half-pixel centres
    }
    assert newer.items() <= allowed.items()
    whole = np.frombuffer(data, dtype=np.uint8)
    buffers = [model.Buffers(at) for at in range(1, model.BuffersLength())]
    starts = [_address(it.DataAsNumpy()) - _address(whole) for it in buffers]
    assert starts
    assert not any(start % 16 for start in starts)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_files_name_layers_alike(name: str, tmp_path: Path) -> None:
    """So that `leave:` of a study means the same layers in both; but an output names its own."""
    graph, learnt = small(name)
    to_onnx.write(graph, learnt, name, tmp_path / "net.onnx")
    to_tflite.write(graph, learnt, name, tmp_path / "net.tflite")
    nodes = {it.name for it in onnx.load(tmp_path / "net.onnx").graph.node}
    main = tflite.Model.GetRootAs((tmp_path / "net.tflite").read_bytes(), 0).Subgraphs(0)
    tensors = [main.Tensors(at).Name().decode() for at in range(main.TensorsLength())]
    assert len(set(tensors)) == len(tensors)
    layers = {it.name for it in graph.operations if isinstance(it, Weighted)}
    assert layers <= nodes
    assert layers - {"fc", "classifier"} <= set(tensors)


def _address(values: Array) -> int:
    return int(values.__array_interface__["data"][0])


def _digest(learnt: Mapping[str, Weights]) -> str:
    found = hashlib.sha256()
    for name, layer in learnt.items():
        found.update(name.encode() + layer.weight.tobytes() + layer.bias.tobytes())
    return found.hexdigest()


@pytest.mark.parametrize(
    "processor",
    [
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3"},
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2"},
    ],
)
def test_same_weights_on_every_processor(processor: dict[str, str]) -> None:
    """Older instructions round sums differently; the statistics must not show it."""
    command = [sys.executable, "-W", "ignore", "-m", __name__]
    found = subprocess.run(
        command, env={**os.environ, **processor}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == _digest(small("mobilenet-v2")[1])


def test_seed(tmp_path: Path) -> None:
    """The same seed gives the same bytes, another seed gives others."""
    graph, learnt = small("mobilenet-v1")
    again, other = weights.make(graph, 0), weights.make(graph, 1)
    for write in (to_onnx.write, to_tflite.write):
        files = []
        for made in (learnt, again, other):
            write(graph, made, "mobilenet-v1", tmp_path / "net")
            files.append((tmp_path / "net").read_bytes())
        assert files[0] == files[1] != files[2]


def test_unknown() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        reference.describe("resnet-18")
    with pytest.raises(InputError, match="unknown format 'onx'; did you mean 'onnx'"):
        reference.build("resnet18", "onx", Path("net"))  # type: ignore[arg-type]


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "harness.reference.to_tflite")
    monkeypatch.delitem(sys.modules, "harness.reference.flatbuffer")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(InputError) as caught:
        reference.build("mobilenet-v1", "tflite", tmp_path / "net.tflite")
    assert caught.value.next_step == "pip install 'edgeproof[build]'"
    assert not list(tmp_path.iterdir())


if __name__ == "__main__":
    print(_digest(small("mobilenet-v2")[1]))
