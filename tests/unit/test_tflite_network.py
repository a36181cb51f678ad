"""TFLite files under surgery: what is read, cut and written is what LiteRT runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from harness.errors import InputError
from harness.variants import channels
from harness.variants.network import Network
from harness.variants.networks import tflite as networks
from harness.variants.networks import tflite_file
from harness.variants.recipe import Prune
from tests.unit.tflite_builder import Net
from tests.unit.tflite_nets import (
    NETS,
    attention,
    every_other,
    flattened_by_layer,
    residual,
    split,
)

DIGITS = Path("examples/digits/models/dense.tflite")


def run(path: Path, samples: Any) -> Any:
    """Run a file as a device does, XNNPACK and all."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    given = interpreter.get_input_details()[0]
    interpreter.allocate_tensors()
    outputs = []
    for sample in samples:
        interpreter.set_tensor(given["index"], sample[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(outputs)


def samples(network: Network, count: int = 3) -> Any:
    graph = network.graph
    shape = [size or 1 for size in graph.shapes[graph.inputs[0]]][1:]
    return np.random.default_rng(1).standard_normal((count, *shape)).astype(np.float32)


def kinds(network: Network) -> dict[str, str]:
    return {node.name: node.kind for node in network.graph.nodes}


def operators(path: Path) -> list[str]:
    model = tflite_file.read(path)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    steps = model.subgraphs[0].operators
    return [names[model.operatorCodes[step.opcodeIndex].builtinCode] for step in steps]


def check_slim(path: Path, tmp_path: Path, sparsity: float = 0.5, method: str = "channels") -> Path:
    """Slim a file, compare it with the masked original, and return it."""
    slim, masked = networks.open(path), networks.open(path)
    made = channels.slim(slim, Prune(method=method, sparsity=sparsity), None)  # type: ignore[arg-type]
    channels.masked(masked, made.kept)
    assert any(family.after < family.before for family in made.families)
    slim.save(tmp_path / "slim.tflite")
    masked.save(tmp_path / "masked.tflite")
    feed = samples(masked)
    ours, theirs = (run(tmp_path / f"{name}.tflite", feed) for name in ("slim", "masked"))
    assert ours.std() > 1e-3
    assert np.abs(ours - theirs).max() <= 1e-4 * max(1, np.abs(theirs).max())
    assert not np.allclose(theirs, run(path, feed), atol=1e-3)
    assert (tmp_path / "slim.tflite").stat().st_size < path.stat().st_size
    return tmp_path / "slim.tflite"


def build(make: Callable[[Net], int], tmp_path: Path, seed: int = 0) -> Path:
    net = Net(seed)
    return net.save(tmp_path / "net.tflite", make(net))


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_every_operator_is_known_and_unchanged_files_compute_the_same(
    make: Callable[[Net], int], tmp_path: Path
) -> None:
    path = build(make, tmp_path)
    network = networks.open(path)
    assert "unknown" not in kinds(network).values()
    network.save(tmp_path / "again.tflite")
    feed = samples(network)
    assert (run(path, feed) == run(tmp_path / "again.tflite", feed)).all()


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.8])
def test_a_slim_network_computes_what_the_masked_one_does(
    make: Callable[[Net], int], sparsity: float, tmp_path: Path
) -> None:
    check_slim(build(make, tmp_path, seed=int(sparsity * 100)), tmp_path, sparsity)


def test_attention_heads_go_whole(tmp_path: Path) -> None:
    slim = networks.open(check_slim(build(attention, tmp_path), tmp_path, method="heads"))
    assert slim.graph.shapes["q.apart"] == (1, 5, 2, 8)
    assert slim.constant("q.w").shape == (16, 8)


def test_the_digits_network_loses_40_percent(tmp_path: Path) -> None:
    slim = networks.open(check_slim(DIGITS, tmp_path, sparsity=0.4))
    classes, channels_left = slim.constant("head.weight").shape
    assert classes == 10 and 90 <= channels_left <= 102  # of 160
    model = tflite_file.read(tmp_path / "slim.tflite")
    assert model.signatureDefs[0].signatureKey == b"serving_default"
    tensors = model.subgraphs[0].tensors
    assert all(tensor.shapeSignature[0] == -1 for tensor in tensors if tensor.buffer == 0)


def test_cut_by_hand(tmp_path: Path) -> None:
    """Three of eight hidden values stay: the result is that of the small matrices."""
    net = Net()
    hidden = net.linear(net.input("x", 1, 6), "hidden", 6, [1, 8])
    path = net.save(tmp_path / "net.tflite", net.linear(hidden, "y", 8, [1, 4]))
    network = networks.open(path)
    before = {name: network.constant(name) for name in network.graph.constants}
    stay = np.array([1, 4, 7])
    network.keep(
        {"hidden.w": {0: stay}, "hidden.b": {0: stay}, "hidden": {1: stay}, "y.w": {1: stay}}
    )
    network.save(path)
    feed = samples(network)
    small = feed @ before["hidden.w"][stay].T + before["hidden.b"][stay]
    expected = small @ before["y.w"][:, stay].T + before["y.b"]
    assert network.graph.shapes["hidden"] == (1, 3)
    np.testing.assert_allclose(run(path, feed), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_the_shapes_told_are_those_that_run(make: Callable[[Net], int], tmp_path: Path) -> None:
    path = check_slim(build(make, tmp_path), tmp_path)
    network = networks.open(path)
    activations = [
        node.outputs[0] for node in network.graph.nodes if "flattened" not in node.outputs[0]
    ]
    found = next(network.values(activations, {"": samples(network, 1)}))
    for name, values in found.items():
        assert values.shape == network.graph.shapes[name], name


def test_operators_change_only_where_a_cut_demands_it(tmp_path: Path) -> None:
    path = build(residual, tmp_path)
    assert operators(check_slim(path, tmp_path)) == operators(path)
    made = operators(check_slim(build(every_other, tmp_path), tmp_path))
    assert "GATHER" in made and "STRIDED_SLICE" not in made


def test_a_split_into_unequal_parts(tmp_path: Path) -> None:
    path = build(split, tmp_path)
    slim, masked = networks.open(path), networks.open(path)
    stay = np.array([0, 2, 3, 7, 8, 9, 10, 11, 15])  # four of the first half, five of the second
    halves = [stay[:4], stay[4:] - 8]
    for at, half in enumerate(halves):
        weight = masked.constant(f"conv{at}.w")
        weight[..., np.setdiff1d(np.arange(8), half)] = 0
        masked.replace(f"conv{at}.w", weight)
    whole = {"stem": {3: stay}, "stem.w": {0: stay}, "stem.b": {0: stay}}
    parts = {f"part{at}": {3: half} for at, half in enumerate(halves)}
    readers = {f"conv{at}.w": {3: half} for at, half in enumerate(halves)}
    slim.keep({**whole, **parts, **readers})
    slim.save(tmp_path / "slim.tflite")
    masked.save(tmp_path / "masked.tflite")
    feed = samples(masked)
    ours, theirs = (run(tmp_path / f"{name}.tflite", feed) for name in ("slim", "masked"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert "SPLIT_V" in operators(tmp_path / "slim.tflite")
    assert "SPLIT" not in operators(tmp_path / "slim.tflite")


def test_values_are_those_on_the_way(tmp_path: Path) -> None:
    network = networks.open(build(flattened_by_layer, tmp_path))
    (layer,) = [layer for layer in network.graph.layers() if layer.kind == "linear"]
    feed = samples(network)
    wanted = ["stem", layer.node.inputs[0], "y"]
    for found in network.values(wanted, {"x": feed}):
        flat = found[layer.node.inputs[0]]
        assert (flat == found["stem"].reshape(1, 128)).all()
        assert found["stem"].min() == 0  # after the ReLU that is fused into it
        expected = flat @ network.constant("y.w").T + network.constant("y.b")
        np.testing.assert_allclose(found["y"], expected, rtol=0, atol=1e-5)
    assert len(list(network.values(["y"], {"": feed}))) == 3


def test_a_fixed_batch_is_filled_with_copies(tmp_path: Path) -> None:
    net = Net()
    path = net.save(tmp_path / "net.tflite", net.linear(net.input("x", 2, 6), "y", 6, [2, 4]))
    network = networks.open(path)
    feed = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    expected = feed @ network.constant("y.w").T + network.constant("y.b")
    found = [sample["y"] for sample in network.values(["y"], {"": feed})]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match=r"a sample of 'x' is \[7\]; the input is \[2, 6\]"):
        next(network.values(["y"], {"": np.zeros((1, 7), np.float32)}))


def test_tensors_that_share_data_are_changed_one_by_one(tmp_path: Path) -> None:
    net = Net()
    maps = net.conv(net.input("x", 1, 4, 4, 3), "one", 8)
    path = build_shared(net, maps, tmp_path)
    network = networks.open(path)
    other = network.constant("two.b")
    network.replace("one.b", np.zeros(8))
    assert (network.constant("two.b") == other).all() and other.any()
    assert network.constant("one.b").dtype == np.float32
    check_slim(path, tmp_path)
    with pytest.raises(ValueError, match=r"'one.b' is"):
        network.replace("one.b", np.zeros(7))


def build_shared(net: Net, maps: int, tmp_path: Path) -> Path:
    output = net.head(net.conv(maps, "two", 8), 8)
    tensors = {tensor.name: tensor for tensor in net.graph.tensors}
    tensors["two.b"].buffer = tensors["one.b"].buffer
    return net.save(tmp_path / "shared.tflite", output)


def test_what_no_rule_covers_stays_whole(tmp_path: Path) -> None:
    net = Net()
    maps = net.conv(net.input("x", 1, 4, 4, 3), "stem", 8)
    options = {"like": "SpaceToDepthOptions", "blockSize": 2}
    deep = net.op("SPACE_TO_DEPTH", [maps], "deep", [1, 2, 2, 32], **options)
    path = net.save(tmp_path / "net.tflite", net.head(net.conv(deep, "last", 6), 6))
    network = networks.open(path)
    assert kinds(network)["deep"] == "unknown"
    made = channels.slim(network, Prune(method="channels", sparsity=0.5), None)
    assert [family.layers for family in made.families] == [("last",)]
    assert network.graph.shapes["stem"] == (1, 4, 4, 8)


def test_constants_behind_the_flatbuffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, plain = networks.open(DIGITS), tmp_path / "plain.tflite"
    network.save(plain)
    monkeypatch.setattr(tflite_file, "MAX_FLATBUFFER", 1000)
    network.save(tmp_path / "split.tflite")
    reader = tflite.Model.GetRootAs((tmp_path / "split.tflite").read_bytes(), 0)
    offsets = [reader.Buffers(at).Offset() for at in range(reader.BuffersLength())]
    assert max(offsets) > 1 and not any(offset % 16 for offset in offsets)
    feed = samples(network)
    assert (run(tmp_path / "split.tflite", feed) == run(plain, feed)).all()
    monkeypatch.undo()
    again = networks.open(tmp_path / "split.tflite")
    again.save(tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == plain.read_bytes()


def test_constants_are_aligned(tmp_path: Path) -> None:
    networks.open(DIGITS).save(tmp_path / "net.tflite")
    data = (tmp_path / "net.tflite").read_bytes()
    model = tflite.Model.GetRootAs(data, 0)
    starts = [
        data.index(bytes(model.Buffers(at).DataAsNumpy()))
        for at in range(model.BuffersLength())
        if not model.Buffers(at).DataIsNone() and model.Buffers(at).DataLength() > 64
    ]
    assert starts and not any(start % 16 for start in starts)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        networks.open(path)
    assert caught.value.where == str(path)
    return str(caught.value)


def test_quantised_files_are_refused() -> None:
    said = refusal(Path("examples/digits/models/int8.tflite"))
    assert "is quantised (tensor 'x')" in said and "prune that, then quantise" in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_named(value: float, tmp_path: Path) -> None:
    network = networks.open(build(residual, tmp_path))
    weight = network.constant("two.w")
    weight[0, 0, 0, 0] = value
    network.replace("two.w", weight)
    network.save(tmp_path / "broken.tflite")
    assert "1 NaN or infinite values in 'two.w'" in refusal(tmp_path / "broken.tflite")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    assert "cannot be read" in refusal(path)
    path.write_bytes(b"no model at all")
    assert "is no TFLite file" in refusal(path)
    whole = DIGITS.read_bytes()
    for size in (12, 1000, len(whole) // 2):
        path.write_bytes(whole[:size])
        assert "damaged or cut short" in refusal(path)


def test_control_flow_is_refused(tmp_path: Path) -> None:
    net = Net()
    output = residual(net)
    net.model.subgraphs.append(net.graph)
    assert "has 2 subgraphs" in refusal(net.save(tmp_path / "net.tflite", output))


def test_nameless_tensors_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    net = Net()
    output = residual(net)
    for tensor in net.graph.tensors:
        tensor.name = "same" if tensor.name in ("one", "two") else tensor.name
    net.graph.tensors[output].name = ""
    path = net.save(tmp_path / "net.tflite", output)
    names = [node.name for node in networks.open(path).graph.nodes]
    assert len(set(names)) == len(names) and all(names)
    check_slim(path, tmp_path)
