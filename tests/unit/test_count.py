"""Parameters, zeros and multiply-accumulates of networks, against figures worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from harness.variants.count import count, totals
from harness.variants.networks import open_network
from tests.unit.seeded_nets import Net, classifier
from tests.unit.tflite_builder import Net as TfliteNet

DIGITS = Path(__file__).parents[2] / "examples/digits/models"


def macs(net: Net, folder: Path) -> list[int | None]:
    return [layer.macs for layer in count(net.open(folder))]


def test_layers_of_all_kinds(tmp_path: Path) -> None:
    layers = count(classifier().open(tmp_path))
    assert [(one.name, one.kind, one.shape, one.parameters, one.macs) for one in layers] == [
        ("stem", "convolution", (16, 3, 3, 3), 16 * 27 + 16, 64 * 16 * 27),
        ("depth", "depthwise", (16, 1, 3, 3), 16 * 9 + 16, 64 * 16 * 9),
        ("point", "convolution", (32, 16, 1, 1), 32 * 16 + 32, 64 * 32 * 16),
        ("grouped", "convolution", (16, 8, 3, 3), 16 * 72 + 16, 9 * 16 * 72),
        ("hidden", "linear", (16, 24), 16 * 24 + 24, 16 * 24),
        ("head", "linear", (24, 5), 24 * 5 + 5, 24 * 5),
    ]
    whole = totals(classifier().open(tmp_path))
    assert whole.macs == sum(one.macs or 0 for one in layers)
    assert whole.parameters == sum(one.parameters for one in layers)
    assert whole.sparsity == 0


def test_zeros(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    weights = network.constant("point.w")
    weights[:8] = 0
    network.replace("point.w", weights)
    network.replace("point.b", np.zeros(32))  # zeros in a bias are no sparsity
    whole = totals(network)
    assert [one.zeros for one in whole.layers] == [0, 0, 128, 0, 0, 0]
    assert whole.sparsity == 128 / (432 + 144 + 512 + 1152 + 384 + 120)


def test_a_bias_that_is_computed_is_no_constant_of_the_layer(tmp_path: Path) -> None:
    net = TfliteNet()
    x, bias = net.input("x", 1, 6), net.input("b", 4)
    inputs = [x, net.weight("w", 4, 6), bias]
    y = net.op("FULLY_CONNECTED", inputs, "y", [1, 4], like="FullyConnectedOptions")
    network = open_network(net.save(tmp_path / "net.tflite", y), "tflite")
    [layer] = network.graph.layers()
    assert layer.bias is None
    assert [one.parameters for one in count(network)] == [24]


def test_norms_are_parameters_but_no_layers(tmp_path: Path) -> None:
    net = Net(["n", 3, 8, 8]).conv("one", (4, 3, 1, 1)).relu()
    net.op("BatchNormalization", "norm", *(np.ones(4, np.float32) for _ in range(4)))
    whole = totals(net.conv("two", (4, 4, 1, 1)).open(tmp_path))
    assert [one.name for one in whole.layers] == ["one", "two"]
    assert whole.parameters == 4 * 3 + 4 + 4 * 4 + 4 + 4 * 4


def test_the_same_network_in_both_formats() -> None:
    """The TFLite file has a batch of 1, the ONNX file a free one."""
    one, other = (
        totals(open_network(DIGITS / f"dense.{format}", format)) for format in ("onnx", "tflite")
    )
    assert one.macs == other.macs and one.parameters == other.parameters
    assert [layer.macs for layer in one.layers] == [layer.macs for layer in other.layers]
    # 3 x 3 x 3 weights of 16 filters at 48 x 48 positions; 80 x 80 weights at 48 x 48.
    assert one.layers[0].macs == 48 * 48 * 16 * 27
    assert one.layers[4].macs == 48 * 48 * 80 * 80


@pytest.mark.parametrize("half", [False, True])
def test_a_converted_file_has_all_layers(tmp_path: Path, half: bool) -> None:
    """OpenVINO's reader of ONNX puts reshapes by computed shapes before depthwise weights."""
    import openvino

    source, target = DIGITS / "dense.onnx", tmp_path / "dense.xml"
    openvino.save_model(openvino.Core().read_model(source), target, compress_to_fp16=half)
    whole = totals(open_network(source, "onnx"))
    again = totals(open_network(target, "openvino"))
    assert [layer.macs for layer in again.layers] == [layer.macs for layer in whole.layers]
    sizes = [int(np.prod(layer.shape)) for layer in whole.layers]
    assert [int(np.prod(layer.shape)) for layer in again.layers] == sizes
    # The numbers that Gemm scales by are constants of their own.
    assert 0 <= again.parameters - whole.parameters <= 2
    assert again.macs == whole.macs


@pytest.mark.parametrize("batch", ["n", 1, 8])
def test_macs_are_those_of_one_sample_whatever_the_batch(tmp_path: Path, batch: Any) -> None:
    def net() -> Net:
        net = Net([batch, 10, 16])
        return net.op("MatMul", "wide", net.values(16, 32))

    assert macs(net(), tmp_path) == [10 * 16 * 32]
    # [batch, 10, 32] -> [batch x 10, 32]: a free axis that counts 10 for one sample.
    flat = net().op("Reshape", "flat", np.array([-1, 32])).gemm("deep", 32, 4)
    assert macs(flat, tmp_path) == [10 * 16 * 32, 10 * 32 * 4]
    back = flat.op("Reshape", "back", np.array([-1, 40])).gemm("head", 40, 3)
    assert macs(back, tmp_path)[2] == 40 * 3


def test_a_size_that_is_not_known_leaves_null_and_the_reason(tmp_path: Path) -> None:
    for batch in ("n", 1):
        net = Net([batch, "t", 16])
        net.op("MatMul", "wide", net.values(16, 32)).op("ReduceMean", "mean", axes=[1])
        network = net.op("Flatten", "flat").gemm("head", 32, 4).open(tmp_path)
        wide = count(network)[0]
        assert wide.macs is None and wide.reason is not None
        assert "the shape of 'wide' is not known" in wide.reason
        whole = totals(network)
        assert whole.macs is None and whole.parameters == 16 * 32 + 32 * 4 + 4


def test_after_an_unknown_operator_the_samples_are_lost(tmp_path: Path) -> None:
    net = Net(["n", 12]).gemm("one", 12, 6)
    net.op("Einsum", "strange", equation="ij->ji").op("Transpose", "back", perm=[1, 0])
    layers = count(net.gemm("two", 6, 4).open(tmp_path))
    assert layers[0].macs == 12 * 6
    assert layers[1].macs is None
    assert layers[1].reason == "what one sample is of 'two' [?, 4] is not known"


def test_a_transposed_convolution_counts_its_inputs_positions(tmp_path: Path) -> None:
    net = Net(["n", 3, 5, 5])
    net.op("ConvTranspose", "up", net.values(3, 8, 2, 2), strides=[2, 2])
    assert macs(net, tmp_path) == [25 * 3 * 8 * 4]


def test_an_embedding_looks_up(tmp_path: Path) -> None:
    net = Net(["n", 7])
    net.input = helper.make_tensor_value_info("x", 7, ["n", 7])
    table = net.values(50, 16)
    net.op("Gather", "table", table)
    net.nodes[0].input[:] = ["table.w", "x"]
    net.op("MatMul", "wide", net.values(16, 4))
    layers = count(net.open(tmp_path))
    assert [(one.name, one.kind, one.parameters, one.macs) for one in layers] == [
        ("table", "embedding", 800, 0),
        ("wide", "linear", 64, 7 * 64),
    ]


def test_a_shared_weight_counts_once_in_the_whole(tmp_path: Path) -> None:
    net = Net(["n", 6]).gemm("a", 6, 6).relu().gemm("b", 6, 6)
    net.nodes[2].input[1] = "a.w"
    whole = totals(net.open(tmp_path))
    assert whole.macs == 72 and whole.parameters == 36 + 6 + 6 and whole.sparsity == 0
