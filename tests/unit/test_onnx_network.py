"""Opening ONNX files for surgery, running them, and saving them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import model_files
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_cases import CASES, Case
from onnx_nets import (
    AT_RANDOM,
    FLOAT,
    ONE,
    Array,
    attention,
    build,
    ints,
    node_of,
    noise,
    opened,
    run,
)

from harness.errors import InputError
from harness.variants.networks import onnx as networks

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def test_digits_open_and_save_unchanged(tmp_path: Path) -> None:
    path = DIGITS / "models" / "dense.onnx"
    network = networks.open(path)
    network.save(tmp_path / "same.onnx")
    x = np.load(DIGITS / "eval.npz")["x"][:3].astype(np.float32)
    [before], [after] = run(path, x), run(tmp_path / "same.onnx", x)
    np.testing.assert_array_equal(after, before)
    assert float(np.ptp(before)) > 1
    kinds = {node.kind for node in network.graph.nodes}
    assert kinds == {"transpose", "product", "elementwise", "reduce", "reshape"}
    assert network.graph.shapes["x"] == (None, 96, 96, 3)
    assert len(network.graph.layers()) == 14
    assert [item.name for item in tmp_path.iterdir()] == ["same.onnx"]


@pytest.mark.parametrize("batch", ["n", None, 2])
def test_shape_arithmetic_vanishes_and_a_free_batch_stays_free(
    batch: str | int | None, tmp_path: Path
) -> None:
    network = opened(attention(batch), tmp_path)
    network.save(tmp_path / "same.onnx")
    operators = {node.operator for node in network.graph.nodes}
    assert operators == {"MatMul", "Split", "Reshape", "Transpose", "Softmax"}
    assert "unknown" not in {node.kind for node in network.graph.nodes}
    assert network.graph.shapes["q4"] == (batch if isinstance(batch, int) else None, 6, 2, 4)
    for rows in (2,) if isinstance(batch, int) else (1, 3):
        x = noise(rows, 6, 8)
        [before], [after] = run(tmp_path / "model.onnx", x), run(tmp_path / "same.onnx", x)
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def test_reshape_to_what_is_left_over_is_a_constant(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Shape", ["p"], ["dims"]),
        helper.make_node("Gather", ["dims", "zero"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["p", "shape"], ["y"]),
    ]
    network = opened(build(nodes, {"zero": ints(0), "rest": ints(-1)}), tmp_path)
    assert [node.kind for node in network.graph.nodes] == ["reduce", "reshape"]
    assert network.graph.shapes["y"] == (None, 4)


def test_resize_to_computed_sizes_becomes_one_by_scales(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"]),
        helper.make_node("Slice", ["dims", "zero", "two"], ["kept"]),
        helper.make_node("Concat", ["kept", "wanted"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear"),
    ]
    given = {"zero": ints(0), "two": ints(2), "wanted": ints(12, 18)}
    network = opened(build(nodes, given), tmp_path)
    network.save(tmp_path / "same.onnx")
    assert [(node.kind, node.axes) for node in network.graph.nodes] == [("mix", (2, 3))]
    x = noise(2, 4, 6, 6)
    [before], [after] = run(tmp_path / "model.onnx", x), run(tmp_path / "same.onnx", x)
    np.testing.assert_array_equal(after, before)


def test_gemm_factors_are_folded(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0)
    given = {"w": noise(4, 8), "b": noise(1, 8)}
    network = opened(build([node], given, ("n", 4)), tmp_path)
    network.save(tmp_path / "same.onnx")
    [layer] = network.graph.layers()
    np.testing.assert_array_equal(network.constant(layer.weight), given["w"] / 2)
    assert network.graph.shapes[layer.bias or ""] == (8,)
    x = noise(3, 4)
    [before], [after] = run(tmp_path / "model.onnx", x), run(tmp_path / "same.onnx", x)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def test_weights_stored_in_few_bits_are_widened_under_their_own_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"], axis=0),
        helper.make_node("Transpose", ["w"], ["wt"]),
        helper.make_node("MatMul", ["x", "wt"], ["y"]),
    ]
    w8 = AT_RANDOM.integers(-99, 99, (8, 4)).astype(np.int8)
    given = {"w8": w8, "scale": abs(noise(8)), "zero": np.zeros(8, np.int8)}
    network = opened(build(nodes, given, ("n", 4)), tmp_path)
    [layer] = network.graph.layers()
    assert layer.weight == "wt"
    np.testing.assert_allclose(network.constant("wt"), (w8 * given["scale"][:, None]).T, rtol=1e-6)


def test_nodes_get_names_of_their_own(tmp_path: Path) -> None:
    names = ["", "a", "a", "Relu_0"]
    tensors = ["x", "t0", "t1", "t2", "y"]
    nodes = [
        helper.make_node("Relu", [tensors[at]], [tensors[at + 1]], name)
        for at, name in enumerate(names)
    ]
    network = opened(build(nodes, {}), tmp_path)
    assert [node.name for node in network.graph.nodes] == ["Relu_0_", "a", "Relu_2", "Relu_0"]


def test_subgraph_reads_what_it_takes_from_outside(tmp_path: Path) -> None:
    branches = [
        helper.make_graph(
            [helper.make_node("Mul", ["outer", "inner"], ["r"])],
            "branch",
            [],
            [helper.make_tensor_value_info("r", FLOAT, None)],
            [numpy_helper.from_array(np.array(factor, np.float32), "inner")],
        )
        for factor in (2, 3)
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["outer"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "limit"], ["big"]),
        helper.make_node("If", ["big"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    network = opened(build(nodes, {"limit": np.float32(0)}), tmp_path)
    branch = node_of(network, "If")
    assert (branch.kind, branch.inputs) == ("unknown", ("big", "outer"))


def test_functions_of_the_model_are_opened_up(tmp_path: Path) -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["r"])]
    opsets = [helper.make_opsetid("", 17)]
    layer = helper.make_function("own", "Layer", ["a", "b"], ["r"], body, opsets)
    model = build([helper.make_node("Layer", ["x", "w"], ["y"], domain="own")], {"w": noise(4, 8)})
    model.functions.append(layer)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", FLOAT, ("n", 4)))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, ("n", 8)))
    network = opened(model, tmp_path)
    assert [node.operator for node in network.graph.nodes] == ["MatMul", "Relu"]
    assert [layer.weight for layer in network.graph.layers()] == ["w"]


def test_operators_of_other_domains_are_unknown(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    model = build([node], {})
    network = opened(model, tmp_path)
    assert [each.kind for each in network.graph.nodes] == ["unknown"]


@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        ({"w": np.full((4, 8), np.nan, np.float32)}, "has NaN values in w"),
        ({"w": np.full((4, 8), np.inf, np.float32)}, "has infinite values in w"),
        ({"w": np.full((4, 8), np.nan, np.float16)}, "has NaN values in w"),
    ],
)
def test_spoiled_weights_are_refused(constants: Any, expected: str, tmp_path: Path) -> None:
    dtype = TensorProto.FLOAT16 if constants["w"].dtype == np.float16 else FLOAT
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    with pytest.raises(InputError, match=expected):
        opened(build([node], constants, ("n", 4), dtype=dtype), tmp_path)


def test_masks_may_be_infinite(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "mask"], ["y"])
    mask = np.triu(np.full((6, 6), -np.inf, np.float32), 1)
    assert opened(build([node], {"mask": mask}), tmp_path).graph.nodes[0].kind == "elementwise"


def test_unfit_files_are_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match=r"damaged|cut short"):
        networks.open(path)
    with pytest.raises(InputError, match="cannot be read"):
        networks.open(tmp_path / "none.onnx")
    with pytest.raises(InputError, match=r"is quantised: .*\n.*prune, then quantise") as caught:
        networks.open(DIGITS / "models" / "int8.onnx")
    assert caught.value.exit_code == 2
    old = build([helper.make_node("Relu", ["x"], ["y"])], {}, opset=17)
    old.opset_import[0].version = 6
    with pytest.raises(InputError, match="opset 6"):
        opened(old, tmp_path)
    model = model_files.matmul(noise(4, 4))
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(InputError, match="weights in other files"):
        networks.open(path)


def test_broken_graph_is_refused(tmp_path: Path) -> None:
    short = build([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": noise(4, 8)}, ("n", 4))
    short.graph.initializer[0].raw_data = short.graph.initializer[0].raw_data[:9]
    with pytest.raises(InputError):
        opened(short, tmp_path)
    model = build([helper.make_node("Relu", ["x"], ["y"])], {})
    model.graph.node[0].input[0] = "nothing"
    with pytest.raises(InputError):
        opened(model, tmp_path)


def test_values_come_from_inside_sample_by_sample(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    given = {"w": noise(4, 8)}
    network = opened(build(nodes, given, ("n", 4)), tmp_path)
    samples = AT_RANDOM.normal(size=(3, 4))
    found = list(network.values(["x", "h", "y"], {"": samples}))
    assert len(found) == 3
    for values, sample in zip(found, samples.astype(np.float32), strict=True):
        np.testing.assert_array_equal(values["x"], sample[None])
        np.testing.assert_allclose(values["h"], sample[None] @ given["w"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(values["y"], np.maximum(values["h"], 0))


def test_values_of_half_precision_networks(tmp_path: Path) -> None:
    weight = noise(8, 4, 3, 3).astype(np.float16)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    network = opened(build([node], {"w": weight}, ONE, dtype=TensorProto.FLOAT16), tmp_path)
    [values] = network.values(["y"], {"": noise(1, 4, 6, 6)})
    assert (values["y"].dtype, values["y"].shape) == (np.float16, (1, 8, 4, 4))
    assert float(values["y"].std()) > 1


def test_fixed_batch_is_filled_with_copies(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    given = {"w": noise(4, 8)}
    network = opened(build([node], given, (5, 4)), tmp_path)
    sample = noise(1, 4)
    [values] = network.values(["x", "y"], {"x": sample})
    assert (values["x"].shape, values["y"].shape) == ((1, 4), (1, 8))
    np.testing.assert_allclose(values["y"], sample @ given["w"], rtol=1e-5, atol=1e-6)


def test_samples_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    network = opened(model_files.matmul(noise(4, 4)), tmp_path)
    with pytest.raises(InputError, match="a sample of 'x' is"):
        list(network.values(["y"], {"x": noise(2, 5)}))
    with pytest.raises(InputError, match="takes the inputs x"):
        list(network.values(["y"], {"x": noise(2, 4), "z": noise(2, 4)}))


def test_samples_are_taken_as_outputs_takes_them(tmp_path: Path) -> None:
    """By position where a converter has renamed the inputs, and for inputs without a batch."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    given = {"w": noise(4, 8)}
    network = opened(build([node], given, (4,)), tmp_path)
    samples = noise(2, 4)
    found = [values["y"] for values in network.values(["y"], {"renamed": samples})]
    np.testing.assert_allclose(found, samples @ given["w"], rtol=1e-5, atol=1e-6)


def test_replace_keeps_type_and_shape(tmp_path: Path) -> None:
    half = noise(4, 4).astype(np.float16)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = build([node], {"w": half}, ("n", 4), dtype=TensorProto.FLOAT16)
    network = opened(model, tmp_path)
    network.replace("w", np.zeros((4, 4)))
    assert network.constant("w").dtype == np.float16
    assert not network.constant("w").any()
    with pytest.raises(ValueError, match="has shape"):
        network.replace("w", np.zeros((4, 5)))


STEPS = [
    case for case in CASES if case.opset == 17 and case.operator not in ("Shape", "ArgMax", "Cast")
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), st.integers(0, 2**16))
def test_unchanged_network_computes_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Case], seed: int
) -> None:
    """Chain operators at random, as long as the runtime takes them; then open and save."""
    folder = tmp_path_factory.mktemp("chain")
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Array] = {}
    x = np.random.default_rng(seed).normal(size=(2, 4, 6, 6)).astype(np.float32)
    for at, (operator, attributes, given_constants, *_) in enumerate(steps):
        named = {f"{name}{at}" if name else "": v for name, v in given_constants.items()}
        source = nodes[-1].output[0] if nodes else "x"
        node = helper.make_node(operator, [source, *named], [f"t{at}"], **attributes)
        more = {name: values for name, values in named.items() if name}
        try:
            model = build([*nodes, node], {**constants, **more}, outputs=[f"t{at}"])
            onnx.save(model, folder / "model.onnx")
            run(folder / "model.onnx", x)
        except Exception:
            continue
        nodes.append(node)
        constants |= more
    if not nodes:
        return
    model = build(nodes, constants, outputs=[nodes[-1].output[0]])
    opened(model, folder).save(folder / "same.onnx")
    [before], [after] = run(folder / "model.onnx", x), run(folder / "same.onnx", x)
    np.testing.assert_array_equal(after, before)
