"""What ONNX operators are said to do to the positions of their axes, held against the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_cases import CASES, Case
from onnx_nets import (
    AT_RANDOM,
    ONE,
    build,
    noise,
    opened,
    run,
)

from harness.variants.network import Network, Node

NAMES = [f"{case.operator}-{at}" for at, case in enumerate(CASES)]


def reached(node: Node, axis: int, at: int) -> tuple[int, list[int]] | None:
    """Say where a position of the input may be seen in the output; null: anywhere."""
    if node.kind in ("elementwise", "identity", "per_channel"):
        return None if axis in node.axes else (axis, [at])
    if node.kind == "mix":
        return None if axis in node.axes else (axis, [at])
    if node.kind == "reduce" and axis not in node.axes:
        gone = 0 if node.keepdims else sum(other < axis for other in node.axes)
        return axis - gone, [at]
    if node.kind == "transpose":
        return node.perm.index(axis), [at]
    if node.kind == "gather":
        assert node.positions is not None
        here = [i for i, source in enumerate(node.positions) if source == at]
        return (axis, here) if axis == node.axis else (axis, [at])
    return None


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_operator_says_what_it_does(case: Case, tmp_path: Path) -> None:
    network = opened(case.model(), tmp_path)
    [node] = network.graph.nodes
    for name, value in case.said.items():
        said = getattr(node, name)
        assert (said.tolist() if name == "positions" else said) == value


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_positions_reach_only_where_the_kind_says(case: Case, tmp_path: Path) -> None:
    """Change one position of the input at a time: the output may move only where it is said to."""
    network = opened(case.model(), tmp_path)
    [node] = network.graph.nodes
    x = AT_RANDOM.normal(size=(2, 4, 6, 6)).astype(np.float32)
    [before] = run(tmp_path / "model.onnx", x)
    moved = 0
    for axis in range(4):
        for at in range(x.shape[axis]):
            changed = x.copy()
            np.moveaxis(changed, axis, 0)[at] += noise(*np.moveaxis(x, axis, 0)[at].shape)
            [after] = run(tmp_path / "model.onnx", changed)
            moved += int((after != before).any())
            where = reached(node, axis, at)
            if where is not None:
                rest = np.delete(after != before, where[1], axis=where[0])
                assert not rest.any(), (axis, at)
    assert moved or node.kind == "unknown"


def product_of(network: Network) -> tuple[Any, ...]:
    [layer] = network.graph.layers()
    assert layer.node.product is not None
    p = layer.node.product
    return p.data_axis, p.output_axis, p.weight_in, p.weight_out, p.groups


@pytest.mark.parametrize(
    ("shape", "node", "weight", "axes", "kind"),
    [
        (ONE, ("Conv", {}), (8, 4, 3, 3), (1, 1, 1, 0, 1), "convolution"),
        (ONE, ("Conv", {"group": 4}), (8, 1, 3, 3), (1, 1, 1, 0, 4), "depthwise"),
        (ONE, ("Conv", {"group": 2}), (8, 2, 3, 3), (1, 1, 1, 0, 2), "convolution"),
        (("n", 4, 6), ("Conv", {}), (8, 4, 3), (1, 1, 1, 0, 1), "convolution"),
        (ONE, ("ConvTranspose", {}), (4, 8, 3, 3), (1, 1, 0, 1, 1), "convolution"),
        (("n", 4), ("Gemm", {}), (4, 8), (1, 1, 0, 1, 1), "linear"),
        (("n", 4), ("Gemm", {"transB": 1}), (8, 4), (1, 1, 1, 0, 1), "linear"),
        ((4, 3), ("Gemm", {"transA": 1}), (4, 8), (0, 1, 0, 1, 1), "linear"),
        (("n", 4), ("MatMul", {}), (4, 8), (1, 1, 0, 1, 1), "linear"),
        (("n", 5, 4), ("MatMul", {}), (4, 8), (2, 2, 0, 1, 1), "linear"),
        (("n", 5, 4), ("MatMul", {}), (1, 4, 8), (2, 2, 1, 2, 1), "linear"),
    ],
)
def test_product_names_its_axes(
    shape: Any, node: Any, weight: Any, axes: Any, kind: str, tmp_path: Path
) -> None:
    made = helper.make_node(node[0], ["x", "w"], ["y"], **node[1])
    network = opened(build([made], {"w": noise(*weight)}, shape), tmp_path)
    assert product_of(network) == axes
    [layer] = network.graph.layers()
    assert (layer.kind, layer.weight, layer.bias) == (kind, "w", None)


def test_constant_on_the_left_is_a_weight(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["w", "x"], ["y"])
    network = opened(build([node], {"w": noise(8, 4)}, ("n", 4, 5)), tmp_path)
    assert product_of(network) == (1, 1, 1, 0, 1)
    assert network.graph.nodes[0].inputs == ("x", "w")


@pytest.mark.parametrize(
    ("made", "weights"),
    [
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=2), (4, 4, 3, 3)),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (6,)),
    ],
)
def test_product_beyond_words_is_unknown(made: Any, weights: Any, tmp_path: Path) -> None:
    network = opened(build([made], {"w": noise(*weights)}), tmp_path)
    assert [node.kind for node in network.graph.nodes] == ["unknown"]
    assert network.graph.nodes[0].inputs == ("x", "w")


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_window_states_pads_that_the_runtime_works_out(auto: str, tmp_path: Path) -> None:
    weight, x = noise(8, 4, 3, 2), noise(1, 4, 6, 6)
    chosen = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=auto, strides=[2, 1])
    network = opened(build([chosen], {"w": weight}), tmp_path)
    product = network.graph.nodes[0].product
    assert product is not None
    window = product.window
    assert window is not None
    flat = [pad[side] for side in (0, 1) for pad in window.pads]
    plain = helper.make_node("Conv", ["x", "w"], ["y"], pads=flat, strides=list(window.strides))
    onnx.save(build([plain], {"w": weight}), tmp_path / "plain.onnx")
    [expected], [stated] = run(tmp_path / "model.onnx", x), run(tmp_path / "plain.onnx", x)
    np.testing.assert_allclose(stated, expected, rtol=1e-5)


def test_products_of_activations_and_look_ups(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"], "look"),
        helper.make_node("Transpose", ["e"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["e", "t"], ["y"]),
    ]
    model = build(nodes, {"table": noise(10, 4)}, ("n", 5), dtype=TensorProto.INT64)
    network = opened(model, tmp_path)
    assert [node.kind for node in network.graph.nodes] == ["embedding", "transpose", "matmul"]
    [layer] = network.graph.layers()
    assert (layer.kind, layer.weight) == ("embedding", "table")
