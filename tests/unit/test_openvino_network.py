"""OpenVINO IR files under surgery: what is read, cut and written is what OpenVINO runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from harness.errors import InputError
from harness.variants import channels
from harness.variants.network import Network
from harness.variants.networks import openvino as networks
from harness.variants.recipe import Prune
from tests.unit.openvino_nets import (
    NETS,
    Net,
    attention,
    flattened,
    fused_attention,
    residual,
    resized,
    sliced,
    split,
)

F32 = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert the example's network."""
    path = tmp_path_factory.mktemp("digits") / "dense.xml"
    model = ov.convert_model("examples/digits/models/dense.onnx")
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def run(path: Path, samples: Any) -> Any:
    compiled = ov.Core().compile_model(str(path), "CPU", F32)
    return np.concatenate([compiled([sample[np.newaxis]])[0].copy() for sample in samples])


def samples(network: Network, count: int = 3) -> Any:
    graph = network.graph
    shape = [size or 1 for size in graph.shapes[graph.inputs[0]]][1:]
    return np.random.default_rng(1).standard_normal((count, *shape)).astype(np.float32)


def operators(path: Path) -> list[str]:
    model = ov.Core().read_model(str(path))
    names = [op.get_type_name() for op in model.get_ordered_ops()]
    return sorted(name for name in names if name not in ("Constant", "Convert"))


def build(make: Callable[[Net], Any], tmp_path: Path, seed: int = 0, half: bool = False) -> Path:
    net = Net(seed)
    return net.save(tmp_path / "net.xml", make(net), half=half)


def check_slim(path: Path, tmp_path: Path, sparsity: float = 0.5, method: str = "channels") -> Path:
    """Slim a file, compare it with the masked original, and return it."""
    slim, masked = networks.open(path), networks.open(path)
    made = channels.slim(slim, Prune(method=method, sparsity=sparsity), None)  # type: ignore[arg-type]
    channels.masked(masked, made.kept)
    assert any(family.after < family.before for family in made.families)
    slim.save(tmp_path / "slim.xml")
    masked.save(tmp_path / "masked.xml")
    feed = samples(masked)
    ours, theirs = (run(tmp_path / f"{name}.xml", feed) for name in ("slim", "masked"))
    assert ours.std() > 1e-3
    assert np.abs(ours - theirs).max() <= 1e-4 * max(1, np.abs(theirs).max())
    assert not np.allclose(theirs, run(path, feed), atol=1e-4)
    sizes = [found.with_suffix(".bin").stat().st_size for found in (tmp_path / "slim.xml", path)]
    assert sizes[0] < sizes[1]
    return tmp_path / "slim.xml"


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_every_operator_is_known_and_unchanged_files_compute_the_same(
    make: Callable[[Net], Any], tmp_path: Path
) -> None:
    path = build(make, tmp_path)
    network = networks.open(path)
    assert "unknown" not in {node.kind for node in network.graph.nodes}
    network.save(tmp_path / "again.xml")
    feed = samples(network)
    assert (run(path, feed) == run(tmp_path / "again.xml", feed)).all()


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("sparsity", [0.3, 0.6])
def test_a_slim_network_computes_what_the_masked_one_does(
    make: Callable[[Net], Any], sparsity: float, tmp_path: Path
) -> None:
    path = build(make, tmp_path, seed=int(sparsity * 100), half=sparsity == 0.6)
    slim = check_slim(path, tmp_path, sparsity)
    network = networks.open(slim)
    activations = [name for node in network.graph.nodes for name in node.outputs]
    found = next(network.values(activations, {"": samples(network, 1)}))
    for name, values in found.items():
        told = network.graph.shapes[name]
        assert len(values.shape) == len(told)
        assert all(size in (None, real) for size, real in zip(told, values.shape, strict=True))


@pytest.mark.parametrize("make", [attention, fused_attention])
def test_attention_heads_go_whole(make: Callable[[Net], Any], tmp_path: Path) -> None:
    slim = networks.open(check_slim(build(make, tmp_path), tmp_path, method="heads"))
    assert slim.graph.shapes["q.apart"] == (None, 5, 2, 8)
    assert slim.constant("q.w").shape == (16, 8)


def test_the_digits_network_loses_40_percent(digits: Path, tmp_path: Path) -> None:
    slim = networks.open(check_slim(digits, tmp_path, sparsity=0.4))
    classes, channels_left = slim.constant("head.weight").shape
    assert classes == 10 and 90 <= channels_left <= 102  # of 160
    before, after = (ov.Core().read_model(str(path)) for path in (digits, tmp_path / "slim.xml"))
    for ports in ("inputs", "outputs"):
        names = [[port.get_names() for port in getattr(it, ports)] for it in (before, after)]
        assert names[0] == names[1]
        shapes = [
            [str(port.partial_shape) for port in getattr(it, ports)] for it in (before, after)
        ]
        assert shapes[0] == shapes[1]


def test_cut_by_hand(tmp_path: Path) -> None:
    """Three of eight hidden values stay: the result is that of the small matrices."""
    net = Net()
    hidden = net.linear(net.input(6), "hidden", 6, 8)
    network = networks.open(net.save(tmp_path / "net.xml", net.linear(hidden, "y", 8, 4)))
    before = {name: network.constant(name) for name in network.graph.constants}
    stay = np.array([1, 4, 7])
    network.keep(
        {"hidden.w": {0: stay}, "hidden.b": {1: stay}, "hidden": {1: stay}, "y.w": {1: stay}}
    )
    network.save(tmp_path / "net.xml")
    feed = samples(network)
    small = feed @ before["hidden.w"][stay].T + before["hidden.b"][:, stay]
    expected = small @ before["y.w"][:, stay].T + before["y.b"]
    assert network.graph.shapes["hidden"] == (None, 3)
    np.testing.assert_allclose(run(tmp_path / "net.xml", feed), expected, rtol=0, atol=1e-5)


def test_a_split_into_unequal_parts(tmp_path: Path) -> None:
    path = build(split, tmp_path)
    slim, masked = networks.open(path), networks.open(path)
    stay = np.array([0, 2, 3, 7, 8, 9, 10, 11, 15])  # four of the first half, five of the second
    halves = [stay[:4], stay[4:] - 8]
    for at, half in enumerate(halves):
        weight = masked.constant(f"conv{at}.w")
        weight[:, np.setdiff1d(np.arange(8), half)] = 0
        masked.replace(f"conv{at}.w", weight)
    parts = {f"parts:{at}": {1: half} for at, half in enumerate(halves)}
    readers = {f"conv{at}.w": {1: half} for at, half in enumerate(halves)}
    split_node = next(node for node in slim.graph.nodes if node.name == "parts")
    whole = {name: {1: stay} for name in ("stem", "stem.b", split_node.inputs[0])}
    slim.keep({**whole, "stem.w": {0: stay}, **parts, **readers})
    slim.save(tmp_path / "slim.xml")
    masked.save(tmp_path / "masked.xml")
    feed = samples(masked)
    ours, theirs = (run(tmp_path / f"{name}.xml", feed) for name in ("slim", "masked"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert "VariadicSplit" in operators(tmp_path / "slim.xml")


def test_operators_change_only_where_a_cut_demands_it(tmp_path: Path) -> None:
    path = build(residual, tmp_path)
    assert operators(check_slim(path, tmp_path)) == operators(path)
    path = build(sliced, tmp_path)
    assert operators(path).count("StridedSlice") == 2
    made = operators(check_slim(path, tmp_path))
    assert made.count("Gather") == 1 and made.count("StridedSlice") == 1  # the corner


def test_half_precision_stays(tmp_path: Path) -> None:
    slim = check_slim(build(flattened, tmp_path, half=True), tmp_path)
    network = networks.open(slim)
    assert network.constant("hidden.w").dtype == np.float16
    network.replace("hidden.w", np.zeros(network.graph.shapes["hidden.w"]))  # type: ignore[arg-type]
    assert network.constant("hidden.w").dtype == np.float16
    with pytest.raises(ValueError, match=r"'hidden.w' is"):
        network.replace("hidden.w", np.zeros(7))


def test_values_are_those_on_the_way(tmp_path: Path) -> None:
    network = networks.open(build(flattened, tmp_path))
    (hidden, _) = [layer for layer in network.graph.layers() if layer.kind == "linear"]
    feed = samples(network)
    data, made = hidden.node.inputs[0], hidden.node.outputs[0]
    for found in network.values([data, made, "x"], {"x": feed}):
        expected = found[data] @ network.constant(hidden.weight).T
        np.testing.assert_allclose(found[made], expected, rtol=0, atol=1e-5)
        assert found["x"].shape == (1, 3, 4, 4)
    assert len(list(network.values([made], {"": feed}))) == 3
    with pytest.raises(InputError, match=r"a sample of 'x' is \[7\]"):
        next(network.values([made], {"": np.zeros((1, 7), np.float32)}))


def test_one_constant_of_two_layers(tmp_path: Path) -> None:
    net = Net()
    weight = net.weight("shared", 8, 8)
    hidden = ops.matmul(net.input(8), net.weight("first", 8, 8), False, True)
    twice = ops.matmul(ops.relu(ops.matmul(hidden, weight, False, True)), weight, False, True)
    path = net.save(tmp_path / "net.xml", net.linear(ops.relu(twice), "y", 8, 4), half=True)
    network = networks.open(check_slim(path, tmp_path))
    assert network.constant("shared").shape == (4, 4)


def test_operators_of_one_name_are_told_apart(tmp_path: Path) -> None:
    path = build(residual, tmp_path)
    text = path.read_text().replace('name="one"', 'name="two"')
    path.write_text(text)
    names = [node.name for node in networks.open(path).graph.nodes]
    assert len(set(names)) == len(names)
    check_slim(path, tmp_path)


def test_what_no_rule_covers_stays_whole(tmp_path: Path) -> None:
    net = Net()
    deep = ops.space_to_depth(net.conv(net.input(3, 4, 4), "stem", 8), "blocks_first", 2)
    path = net.save(tmp_path / "net.xml", net.head(net.conv(deep, "last", 6), 6))
    network = networks.open(path)
    made = channels.slim(network, Prune(method="channels", sparsity=0.5), None)
    assert [family.layers for family in made.families] == [("last",)]
    assert network.constant("stem.w").shape == (8, 3, 3, 3)


def test_resizes_state_new_sizes(tmp_path: Path) -> None:
    network = networks.open(check_slim(build(resized, tmp_path), tmp_path))
    assert (1, 4, 8, 8) in network.graph.shapes.values()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        networks.open(path)
    assert caught.value.where == str(path)
    return str(caught.value)


def test_quantised_files_are_refused(tmp_path: Path) -> None:
    net = Net()
    x = net.input(6)
    limits = [ops.constant(np.float32(number)) for number in (-1, 1, -1, 1)]
    path = net.save(tmp_path / "net.xml", ops.fake_quantize(x, *limits, 256))
    assert "is quantised" in refusal(path) and "prune that, then quantise" in refusal(path)
    stored = ops.convert(ops.constant(np.ones((4, 6), np.int8)), "f32")
    scaled = ops.multiply(stored, ops.constant(np.float32(0.1)))
    path = net.save(tmp_path / "net.xml", ops.matmul(x, scaled, False, True))
    assert "is quantised" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_named(value: float, tmp_path: Path) -> None:
    network = networks.open(build(residual, tmp_path))
    weight = network.constant("two.w")
    weight[0, 0, 0, 0] = value
    network.replace("two.w", weight)
    network.save(tmp_path / "broken.xml")
    assert "1 NaN or infinite values in 'two.w'" in refusal(tmp_path / "broken.xml")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.xml")
    path = build(residual, tmp_path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert "is damaged or no OpenVINO IR" in refusal(path)
    path.write_text(whole)
    path.with_suffix(".bin").write_bytes(b"short")
    assert "is damaged or no OpenVINO IR" in refusal(path)
    path.with_suffix(".bin").unlink()
    assert "has no net.bin" in refusal(path)
