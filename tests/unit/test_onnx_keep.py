"""Cutting ONNX networks: they compute what the whole ones do with zeros in place of what went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_nets import (
    attention,
    build,
    ints,
    node_of,
    noise,
    opened,
    run,
)

from harness.errors import InputError
from harness.variants.network import Kept, Network


def each(names: Iterable[str], axes: Any) -> dict[str, Any]:
    """Say the same of several tensors."""
    return dict.fromkeys(names, axes)


def parameters(network: Network) -> int:
    """Count the float values of the constants."""
    constants = [network.constant(name) for name in network.graph.constants]
    return sum(values.size for values in constants if values.dtype.kind == "f")


def close_to_masked(
    model: onnx.ModelProto, kept: Kept, zeroed: Mapping[str, tuple[int, Sequence[int]]], at: Path
) -> Network:
    """Cut, and compare with the original whose weights read zeros for what went."""
    network, masked = opened(model, at), opened(model, at)
    for name, (axis, gone) in zeroed.items():
        values = masked.constant(name)
        np.moveaxis(values, axis, 0)[list(gone)] = 0
        masked.replace(name, values)
    network.keep({name: {a: ints(*p) for a, p in axes.items()} for name, axes in kept.items()})
    masked.save(at / "masked.onnx")
    network.save(at / "slim.onnx")
    [port] = onnx.load(at / "model.onnx").graph.input
    sizes = [dim.dim_value or 3 for dim in port.type.tensor_type.shape.dim]
    x = noise(*sizes)
    expected, found = run(at / "masked.onnx", x), run(at / "slim.onnx", x)
    assert parameters(network) < parameters(masked)
    for slim, whole in zip(found, expected, strict=True):
        assert float(np.std(whole)) > 1e-3
        np.testing.assert_allclose(slim, whole, rtol=1e-4, atol=1e-4)
    return network


def test_keep_follows_a_residual_network(tmp_path: Path) -> None:
    """Conv, BN, ReLU, a residual add, a concat, flatten and Gemm, cut by hand."""
    add = helper.make_node
    nodes = [
        add("Conv", ["x", "w1", "b1"], ["c1"], "stem", pads=[1] * 4),
        add("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n1"]),
        add("Relu", ["n1"], ["r1"]),
        add("Conv", ["r1", "w2"], ["c2"], "block", pads=[1] * 4),
        add("Add", ["c2", "r1"], ["sum"]),
        add("Conv", ["x", "w3"], ["side"], "side"),
        add("Concat", ["sum", "side"], ["both"], axis=1),
        add("GlobalAveragePool", ["both"], ["pooled"]),
        add("Flatten", ["pooled"], ["flat"]),
        add("Gemm", ["flat", "wh", "bh"], ["y"], "head", transB=1),
    ]
    given = {
        "w1": noise(8, 4, 3, 3),
        "b1": noise(8),
        "w2": noise(8, 8, 3, 3),
        "w3": noise(3, 4, 1, 1),
        "wh": noise(5, 11),
        "bh": noise(5),
        "s": noise(8),
        "b": noise(8),
        "m": noise(8),
        "v": abs(noise(8)) + 1,
    }
    stay = ints(0, 2, 3, 6, 7)
    after = np.concatenate([stay, ints(8, 9, 10)])
    kept: dict[str, dict[int, Any]] = each(("c1", "n1", "r1", "c2", "sum"), {1: stay})
    kept |= each(("b1", "s", "b", "m", "v"), {0: stay})
    kept |= {"w1": {0: stay}, "w2": {0: stay, 1: stay}, "wh": {1: after}}
    kept |= each(("both", "pooled", "flat"), {1: after})
    zeroed = {"w2": (1, (1, 4, 5)), "wh": (1, (1, 4, 5))}
    network = close_to_masked(build(nodes, given), kept, zeroed, tmp_path)
    assert network.graph.shapes["both"] == (None, 8, 6, 6)
    assert network.constant("w2").shape == (5, 5, 3, 3)


def test_keep_shrinks_groups(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"]),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], "grouped", group=4),
        helper.make_node("Conv", ["c2", "w3"], ["c3"], "depth", group=12),
        helper.make_node("Conv", ["c3", "w4"], ["y"]),
    ]
    given = {"w1": noise(8, 4, 1, 1), "w2": noise(12, 2, 3, 3)}
    given |= {"w3": noise(12, 1, 3, 3), "w4": noise(5, 12, 1, 1)}
    pairs, triples = (0, 1, 4, 5, 6, 7), (0, 1, 2, 6, 7, 8, 9, 10, 11)
    kept: Any = {"w1": {0: pairs}, "c1": {1: pairs}, "w2": {0: triples}, "c2": {1: triples}}
    kept |= {"w3": {0: triples}, "c3": {1: triples}, "w4": {1: triples}}
    close_to_masked(build(nodes, given), kept, {"w4": (1, (3, 4, 5))}, tmp_path)
    groups = [
        item.i
        for node in onnx.load(tmp_path / "slim.onnx").graph.node
        for item in node.attribute
        if item.name == "group"
    ]
    assert groups == [3, 9]


@pytest.mark.parametrize(("opset", "form"), [(17, "sizes"), (11, "attribute"), (18, "number")])
def test_keep_rewrites_splits(opset: int, form: str, tmp_path: Path) -> None:
    given = {"w": noise(8, 4, 1, 1), "wa": noise(5, 4, 1, 1), "wb": noise(5, 4, 1, 1)}
    more: dict[str, Any] = {"split": [4, 4]} if form == "attribute" else {}
    if form == "number":
        more = {"num_outputs": 2}
    names = ["c", "sizes"] if form == "sizes" else ["c"]
    given |= {"sizes": ints(4, 4)} if form == "sizes" else {}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Split", names, ["a", "b"], axis=1, **more),
        helper.make_node("Conv", ["a", "wa"], ["ya"]),
        helper.make_node("Conv", ["b", "wb"], ["yb"]),
        helper.make_node("Mul", ["ya", "yb"], ["y"]),
    ]
    kept: Any = {"w": {0: (0, 1, 3, 6)}, "c": {1: (0, 1, 3, 6)}, "a": {1: (0, 1, 3)}, "b": {1: [2]}}
    kept |= {"wa": {1: (0, 1, 3)}, "wb": {1: [2]}}
    zeroed = {"wa": (1, [2]), "wb": (1, [0, 1, 3])}
    network = close_to_masked(build(nodes, given, opset=opset), kept, zeroed, tmp_path)
    assert network.graph.shapes["b"] == (None, 1, 6, 6)


@pytest.mark.parametrize(
    ("start", "end", "step", "stay", "becomes"),
    [
        (2, 8, 1, (0, 2, 3, 4, 5, 6, 7), "Slice"),
        (2, 8, 1, (0, 3, 5), "Slice"),
        (7, -9, -1, (0, 2, 5), "Slice"),
        (0, 8, 2, (0, 1, 4, 6, 7), "Gather"),
    ],
)
def test_keep_renumbers_slices(
    start: int, end: int, step: int, stay: tuple[int, ...], becomes: str, tmp_path: Path
) -> None:
    taken = list(range(8)[slice(start, None if step < 0 else end, step)])
    after = [at for at, source in enumerate(taken) if source in stay]
    given = {"w": noise(8, 4, 1, 1), "w2": noise(5, len(taken), 1, 1)}
    given |= {"from": ints(start), "to": ints(end), "axes": ints(1), "steps": ints(step)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Slice", ["c", "from", "to", "axes", "steps"], ["s"], "cut"),
        helper.make_node("Conv", ["s", "w2"], ["y"]),
    ]
    kept: Any = {"w": {0: stay}, "c": {1: stay}, "s": {1: after}, "w2": {1: after}}
    gone = [at for at in range(len(taken)) if at not in after]
    network = close_to_masked(build(nodes, given), kept, {"w2": (1, gone)}, tmp_path)
    assert network.graph.nodes[1].operator == becomes


def test_keep_renumbers_gathers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Gather", ["c", "order"], ["g"], axis=1),
        helper.make_node("Conv", ["g", "w2"], ["y"]),
    ]
    given = {"w": noise(6, 4, 1, 1), "w2": noise(5, 4, 1, 1), "order": ints(-1, 0, 3, 3)}
    kept: Any = {"w": {0: (0, 1, 3)}, "c": {1: (0, 1, 3)}, "g": {1: (1, 2, 3)}}
    kept |= {"w2": {1: (1, 2, 3)}}
    network = close_to_masked(build(nodes, given), kept, {"w2": (1, [0])}, tmp_path)
    positions = node_of(network, "Gather").positions
    assert positions is not None
    assert positions.tolist() == [0, 2, 2]


def test_keep_gives_each_reshape_a_shape_of_its_own(tmp_path: Path) -> None:
    """Two reshapes share one constant; only one of them is cut."""
    add = helper.make_node
    nodes = [
        add("MatMul", ["x", "wa"], ["a"]),
        add("MatMul", ["x", "wb"], ["b"]),
        add("Reshape", ["a", "shape"], ["a2"]),
        add("Reshape", ["b", "shape"], ["b2"]),
        add("MatMul", ["a2", "va"], ["ya"]),
        add("MatMul", ["b2", "vb"], ["yb"]),
        add("Add", ["ya", "yb"], ["y"]),
    ]
    given = {name: noise(4, 6) for name in ("wa", "wb")}
    given |= {name: noise(6, 5) for name in ("va", "vb")} | {"shape": ints(-1, 6)}
    stay = (1, 2, 5)
    kept: Any = {"wa": {1: stay}, "a": {2: stay}, "a2": {1: stay}, "va": {0: stay}}
    model = build(nodes, given, ("n", 3, 4))
    network = close_to_masked(model, kept, {"va": (0, (0, 3, 4))}, tmp_path)
    assert network.graph.shapes["b2"] == (None, 6)


def test_keep_rewrites_stated_sizes(tmp_path: Path) -> None:
    """Resize and Expand state the channels too; a transposed convolution reads what stays."""
    add = helper.make_node
    nodes = [
        add("Conv", ["x", "w"], ["c"]),
        add("Resize", ["c", "", "", "sizes"], ["r"], mode="nearest"),
        add("GlobalAveragePool", ["r"], ["p"]),
        add("Expand", ["p", "shape"], ["e"]),
        add("Mul", ["r", "e"], ["m"]),
        add("ConvTranspose", ["m", "wt"], ["y"], strides=[2, 2]),
    ]
    given = {"w": noise(6, 4, 1, 1), "wt": noise(6, 5, 2, 2)}
    given |= {"sizes": ints(2, 6, 12, 9), "shape": ints(1, 6, 12, 9)}
    stay = (1, 2, 5)
    kept: Any = {"w": {0: stay}, "wt": {0: stay}}
    kept |= each(("c", "r", "p", "e", "m"), {1: stay})
    model = build(nodes, given, (2, 4, 6, 6))
    network = close_to_masked(model, kept, {"wt": (0, (0, 3, 4))}, tmp_path)
    assert network.graph.shapes["e"] == (2, 3, 12, 9)


def test_keep_rewrites_sizes_of_some_axes(tmp_path: Path) -> None:
    """Resize may name the axes it states, and Expand may state the last ones only."""
    add = helper.make_node
    nodes = [
        add("Conv", ["x", "w"], ["c"]),
        add("Resize", ["c", "", "", "sizes"], ["r"], mode="nearest", axes=[3, 1]),
        add("ReduceMean", ["r", "axes"], ["p"]),
        add("Expand", ["p", "shape"], ["e"]),
        add("Conv", ["e", "w2"], ["y"]),
    ]
    given = {"w": noise(6, 4, 1, 1), "w2": noise(5, 6, 1, 1), "axes": ints(2, 3)}
    given |= {"sizes": ints(9, 6), "shape": ints(6, 2, 9)}
    stay = (1, 2, 5)
    kept: Any = {"w": {0: stay}, "w2": {1: stay}} | each(("c", "r", "p", "e"), {1: stay})
    model = build(nodes, given, opset=18)
    network = close_to_masked(model, kept, {"w2": (1, (0, 3, 4))}, tmp_path)
    assert network.graph.shapes["r"] == (None, 3, 6, 9)
    assert network.graph.shapes["e"] == (None, 3, 2, 9)


def test_keep_cuts_weights_on_the_left_and_tables(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "i"], ["e"]),
        helper.make_node("MatMul", ["wl", "e"], ["m"]),
        helper.make_node("MatMul", ["m", "wr"], ["y"]),
        helper.make_node("ArgMax", ["x"], ["i"], axis=2, keepdims=0),
    ]
    given = {"table": noise(7, 6), "wl": noise(3, 5), "wr": noise(6, 4)}
    stay = (0, 2, 3)
    kept: Any = {"table": {1: stay}, "e": {2: stay}, "m": {2: stay}, "wr": {0: stay}}
    model = build([nodes[-1], *nodes[:-1]], given, ("n", 5, 7))
    network = close_to_masked(model, kept, {"wr": (0, (1, 4, 5))}, tmp_path)
    assert {layer.kind for layer in network.graph.layers()} == {"embedding", "linear"}


def test_keep_cuts_attention_heads(tmp_path: Path) -> None:
    """One of two heads goes: 4 of 8 columns of each of q, k and v, and half the reshapes."""
    head = (4, 5, 6, 7)
    qkv = [at + offset for offset in (0, 8, 16) for at in head]
    kept: Any = {"w": {1: qkv}, "qkv": {2: qkv}, "w2": {0: head}, "oj": {2: head}}
    kept |= each("qkv", {2: head}) | each(("q4", "k4", "v4"), {2: [1]})
    kept |= each(("qt", "kt", "vt", "scores", "shares", "o"), {1: [1]}) | {"ot": {2: [1]}}
    network = close_to_masked(attention("n"), kept, {"w2": (0, (0, 1, 2, 3))}, tmp_path)
    assert network.graph.shapes["qt"] == (None, 1, 6, 4)


def test_inconsistent_cut_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["y"], "second"),
    ]
    model = build(nodes, {"w": noise(6, 4, 1, 1), "w2": noise(5, 6, 1, 1)})
    network = opened(model, tmp_path)
    with pytest.raises(InputError, match="not consistent"):
        network.keep({"c": {1: ints(0, 1)}})
    with pytest.raises(InputError, match="leaves nothing of axis 0 of 'w'"):
        network.keep({"w": {0: ints()}})
