"""Unfolded inputs: weights times features must be what the operator computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from harness.errors import InputError
from harness.variants.network import Graph, Layer, Node, Product, Window
from harness.variants.sparsity.features import each_sample, grams, squares, unfolded
from harness.variants.sparsity.weights import View, view
from tests.unit.seeded_nets import Net, classifier, samples


def run(operator: str, data: Any, weight: Any, **attributes: Any) -> Any:
    """Let onnxruntime compute one operator."""
    node = helper.make_node(operator, ["x", "w"], ["y"], **attributes)
    ports = [helper.make_tensor_value_info(name, 1, None) for name in ("x", "w", "y")]
    graph = helper.make_graph([node], "one", ports[:2], ports[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": data, "w": weight})[0]


def viewed(weight: Any, product: Product) -> View:
    """See a weight as matrices through a graph of one layer."""
    node = Node("one", "op", "product", ("x", "w"), ("y",), product)
    graph = Graph([node], ["x"], ["y"], {"w": weight.shape}, frozenset({"w"}))
    seen = view(graph, Layer(node, "convolution", "w", None))
    assert isinstance(seen, View)
    return seen


def product_of(data: Any, weight: Any, product: Product) -> Any:
    """Compute [batch x positions, outputs] from features."""
    matrix = viewed(weight, product).matrix(weight)
    result = matrix @ unfolded(product, data)
    return result.reshape(-1, result.shape[-1]).T


def flat(output: Any, axis: int = 1) -> Any:
    """Bring an operator's output to [batch x positions, outputs]."""
    moved = np.moveaxis(output, axis, -1)
    return moved.reshape(-1, moved.shape[-1])


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a convolution: sizes, kernel, strides, dilations, pads, groups."""
    spatial = draw(st.integers(1, 2))

    def some(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(spatial)]

    return {
        "batch": draw(st.integers(1, 2)),
        "groups": draw(st.integers(1, 3)),
        "inputs": draw(st.integers(1, 3)),
        "outputs": draw(st.integers(1, 3)),
        "size": some(6, 9),
        "kernel": some(1, 3),
        "strides": some(1, 3),
        "dilations": some(1, 2),
        "before": some(0, 2),
        "after": some(0, 2),
    }


def drawn(case: dict[str, Any], *shape: int) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    channels = case["groups"] * case["inputs"]
    data = random.standard_normal((case["batch"], channels, *case["size"]))
    return data.astype(np.float32), random.standard_normal(shape).astype(np.float32)


def window_of(case: dict[str, Any], first: int, weight_first: int, transposed: bool) -> Window:
    spatial = range(len(case["size"]))
    return Window(
        axes=tuple(first + axis for axis in spatial),
        weight_axes=tuple(weight_first + axis for axis in spatial),
        kernel=tuple(case["kernel"]),
        strides=tuple(case["strides"]),
        dilations=tuple(case["dilations"]),
        pads=tuple(zip(case["before"], case["after"], strict=True)),
        transposed=transposed,
    )


def attributes(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "strides": case["strides"],
        "dilations": case["dilations"],
        "pads": [*case["before"], *case["after"]],
        "group": case["groups"],
    }


@settings(max_examples=60, deadline=None)
@given(windows())
def test_a_convolution_is_its_weights_times_the_features(case: dict[str, Any]) -> None:
    rows = case["groups"] * case["outputs"]
    data, weight = drawn(case, rows, case["inputs"], *case["kernel"])
    expected = flat(run("Conv", data, weight, **attributes(case)))
    product = Product(1, 1, 1, 0, case["groups"], window=window_of(case, 2, 2, False))
    np.testing.assert_allclose(product_of(data, weight, product), expected, atol=1e-4)
    # The same with channels last, the weight as [outputs, kernel, inputs]: TFLite's layout.
    last = data.ndim - 1
    product = Product(last, last, last, 0, case["groups"], window=window_of(case, 1, 1, False))
    found = product_of(np.moveaxis(data, 1, -1), np.moveaxis(weight, 1, -1), product)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(windows())
def test_a_transposed_convolution_too(case: dict[str, Any]) -> None:
    # Paddings that leave something of the output, which the largest strides need.
    case["before"] = [
        min(pair[0], pair[1] - 1) for pair in zip(case["before"], case["kernel"], strict=True)
    ]
    case["after"] = case["before"]
    groups, inputs, outputs = case["groups"], case["inputs"], case["outputs"]
    data, weight = drawn(case, groups * inputs, outputs, *case["kernel"])
    expected = flat(run("ConvTranspose", data, weight, **attributes(case)))
    # As OpenVINO has it: the groups in an axis of their own.
    apart = weight.reshape(groups, inputs, outputs, *case["kernel"])
    product = Product(1, 1, 1, 2, groups, weight_group=0, window=window_of(case, 2, 3, True))
    np.testing.assert_allclose(product_of(data, apart, product), expected, atol=1e-4)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_weights_with_channels_last(multiplier: int) -> None:
    random = np.random.default_rng(0)
    data = random.standard_normal((1, 6, 5, 4)).astype(np.float32)
    weight = random.standard_normal((1, 3, 2, 4 * multiplier)).astype(np.float32)
    expected = run("Conv", data.transpose(0, 3, 1, 2), weight.transpose(3, 0, 1, 2), group=4)
    window = Window((1, 2), (1, 2), (3, 2), (1, 1), (1, 1), ((0, 0), (0, 0)))
    product = Product(3, 3, 0, 3, groups=4, window=window)
    np.testing.assert_allclose(product_of(data, weight, product), flat(expected), atol=1e-5)


def test_a_negative_padding_cuts_off() -> None:
    random = np.random.default_rng(0)
    data = random.standard_normal((1, 2, 9)).astype(np.float32)
    weight = random.standard_normal((3, 2, 3)).astype(np.float32)
    window = Window((2,), (2,), (3,), (1,), (1,), ((-2, -1),))
    product = Product(1, 1, 1, 0, window=window)
    expected = flat(run("Conv", data[..., 2:-1], weight))
    np.testing.assert_allclose(product_of(data, weight, product), expected, atol=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_matrix_products(turned: bool) -> None:
    random = np.random.default_rng(0)
    data = random.standard_normal((1, 7, 4)).astype(np.float32)
    weight = random.standard_normal((4, 3)).astype(np.float32)
    product = Product(2, 2, 1, 0) if turned else Product(2, 2, 0, 1)
    found = product_of(data, weight.T if turned else weight, product)
    np.testing.assert_allclose(found, (data @ weight)[0], atol=1e-5)
    # With the weight on the left, the data's rows are the channels.
    found = product_of(data.transpose(0, 2, 1), weight.T[None], Product(1, 1, 2, 1))
    np.testing.assert_allclose(found, (data @ weight)[0], atol=1e-5)


def test_views_restore_what_they_show() -> None:
    random = np.random.default_rng(0)
    window = Window((1, 2), (1, 2), (3, 2), (1, 1), (1, 1), ((0, 0), (0, 0)))
    for shape, product in [
        ((6, 3, 2, 5), Product(3, 3, 3, 0, window=window)),
        ((1, 3, 2, 8), Product(3, 3, 0, 3, groups=4, window=window)),
        ((1, 4, 3), Product(2, 2, 1, 2)),
    ]:
        weight = random.standard_normal(shape)
        seen = viewed(weight, product)
        assert np.array_equal(seen.restore(seen.matrix(weight)), weight)


def test_columns_hold_the_inputs_of_one_kernel_position_side_by_side() -> None:
    weight = np.arange(2 * 3 * 4).reshape(2, 3, 4)  # [outputs, inputs, kernel]
    window = Window((2,), (2,), (4,), (1,), (1,), ((0, 0),))
    matrix = viewed(weight, Product(1, 1, 1, 0, window=window)).matrix(weight)
    assert matrix[0, 1].tolist() == [weight[1, i, k] for k in range(4) for i in range(3)]


def test_a_weight_with_a_strange_axis_is_said_to_be_one() -> None:
    node = Node("one", "op", "product", ("x", "w"), ("y",), Product(2, 2, 1, 2))
    graph = Graph([node], ["x"], ["y"], {"w": (5, 4, 3)}, frozenset({"w"}))
    assert "neither output, input nor kernel" in str(view(graph, graph.layers()[0]))


def test_a_choice_of_positions_is_the_same_whatever_the_channels() -> None:
    product = Product(1, 1, 1, 0)
    data = np.arange(50.0).reshape(50, 1)
    narrow = unfolded(product, data, limit=9, seed=3)
    wide = unfolded(product, np.repeat(data, 4, axis=1), limit=9, seed=3)
    assert narrow.shape == (1, 1, 9)
    assert np.array_equal(wide, np.repeat(narrow, 4, axis=1))
    assert not np.array_equal(narrow, unfolded(product, data, limit=9, seed=4))


def test_sums_over_samples(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    layers = network.graph.layers()
    feeds = {"": samples(4, 3, 8, 8)}
    each = list(each_sample(network, layers, feeds))
    sums, diagonals = grams(network, layers, feeds), squares(network, layers, feeds)
    for index in range(len(layers)):
        features = np.concatenate([sample[index] for sample in each], axis=2).astype(np.float64)
        np.testing.assert_allclose(sums[index], features @ features.transpose(0, 2, 1), rtol=1e-4)
        np.testing.assert_allclose(
            diagonals[index], np.diagonal(sums[index], axis1=1, axis2=2), rtol=1e-4
        )


def test_features_that_are_not_finite_name_layer_and_sample(tmp_path: Path) -> None:
    network = Net(["n", 4]).gemm("one", 4, 3).gemm("two", 3, 2).open(tmp_path)
    data = samples(3, 4)
    data[1] *= 1e15  # its squares are finite, those of what follows are not
    network.replace("one.w", 1e15 * network.constant("one.w"))
    with pytest.raises(InputError, match=r"layer two: calibration sample 1 .* not finite"):
        grams(network, network.graph.layers(), {"": data})


def test_no_samples_are_refused(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    with pytest.raises(InputError, match="no calibration samples"):
        grams(network, network.graph.layers(), {"": samples(0, 3, 8, 8)})
