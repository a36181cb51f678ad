"""Structured pruning of real files: exactness on random networks, shares, what is left and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from harness.errors import InputError
from harness.variants import channels
from harness.variants.channels import Slimmed
from harness.variants.network import Network
from harness.variants.networks import open_network
from harness.variants.recipe import Prune
from tests.unit import random_networks
from tests.unit.random_networks import RandomNetwork

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "models" / "dense.onnx"
SEEDS = range(200)


def outputs(path: Path, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Run samples one by one; [samples, all outputs]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    runs = [session.run(None, {name: sample[None]}) for sample in samples]
    return np.array([np.concatenate([part.reshape(-1) for part in run]) for run in runs])


def parameters(path: Path) -> int:
    """Count the values of all float constants of a file."""
    constants = onnx.load(path).graph.initializer
    arrays = [numpy_helper.to_array(constant) for constant in constants]
    return sum(array.size for array in arrays if array.dtype == np.float32)


def slim_both(
    source: Path, folder: Path, ask: Prune, samples: npt.NDArray[Any]
) -> tuple[Slimmed, Path, Path]:
    """Slim a file, and set to zero in another what was removed."""
    slim, masked = open_network(source, "onnx"), open_network(source, "onnx")
    done = channels.slim(slim, ask, {"": samples})
    channels.masked(masked, done.kept)
    paths = folder / "slim.onnx", folder / "masked.onnx"
    slim.save(paths[0])
    masked.save(paths[1])
    return done, *paths


def assert_exact(slim: Path, masked: Path, samples: npt.NDArray[Any]) -> None:
    """Slim and masked must agree, and on something: outputs that differ from input to input."""
    got, expected = outputs(slim, samples), outputs(masked, samples)
    assert expected.std(axis=0).max() > 1e-3
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slim_random_network_computes_what_the_masked_one_does(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    source, samples = tmp_path / "dense.onnx", random_networks.samples(seed, 3)
    random_networks.write(seed, source)
    families = channels.find(open_network(source, "onnx").graph).families
    for method in sorted({"heads" if family.heads else "channels" for family in families}):
        ask = Prune.model_validate(
            {
                "method": method,
                "sparsity": random.uniform(0.3, 0.6),
                "scope": random.choice(["local", "global"]),
                "criterion": random.choice(["l1", "l2", "activation"]),
            }
        )
        done, slim, masked = slim_both(source, tmp_path, ask, samples)
        onnx.checker.check_model(str(slim), full_check=True)
        assert_exact(slim, masked, samples)
        assert parameters(slim) < parameters(source)
        before = sum(family.before for family in done.families)
        assert ask.sparsity is not None
        assert abs(done.reached - ask.sparsity) * before <= 0.5 + 1e-9
        assert all(family.after >= 1 for family in done.families)


def test_the_random_networks_are_of_every_sort(tmp_path: Path) -> None:
    seen, attending = set(), 0
    for seed in SEEDS:
        random_networks.write(seed, tmp_path / "net.onnx")
        operators = {node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node}
        seen |= operators
        attending += "LayerNormalization" in operators
    assert {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Div", "Concat"} <= seen
    assert {"Split", "Slice", "Reshape", "Transpose", "Flatten", "Gather", "Softmax"} <= seen
    assert {"BatchNormalization", "InstanceNormalization", "Resize", "MaxPool", "Pad"} <= seen
    assert attending >= 10


def digits() -> Network:
    return open_network(DIGITS, "onnx")


def asked(**keys: Any) -> Prune:
    return Prune.model_validate({"method": "channels", "sparsity": 0.4, **keys})


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("sparsity", [0.1, 0.4, 0.777])
def test_the_share_is_exact_to_one_channel(sparsity: float, scope: str) -> None:
    done = channels.slim(digits(), asked(sparsity=sparsity, scope=scope), None)
    before = sum(family.before for family in done.families)
    after = sum(family.after for family in done.families)
    assert before == 656
    assert before - after == round(sparsity * before)
    assert done.reached == pytest.approx(1 - after / before)


def test_whole_blocks_of_channels_stay_but_in_one_family() -> None:
    done = channels.slim(digits(), asked(), None)
    uneven = [family for family in done.families if family.after % 4]
    assert len(uneven) <= 1
    assert sum(family.after == 48 for family in done.families) == 6


def test_digits_is_exact(tmp_path: Path) -> None:
    samples = np.load(DIGITS.parents[1] / "eval.npz")["x"][:8]
    _, slim, masked = slim_both(DIGITS, tmp_path, asked(criterion="activation"), samples)
    assert_exact(slim, masked, samples)
    assert parameters(slim) < 0.5 * parameters(DIGITS)


def test_what_is_left_stays_whole_and_says_why() -> None:
    network = digits()
    done = channels.slim(network, asked(leave=["conv4", "first"]), None)
    assert done.left["conv4"] == "leave: conv4"
    assert done.left["conv0"] == "leave: first"
    assert done.left["conv1"] == "shares its channels with conv0 (leave: first)"
    assert done.left["head"] == "they reach an output of the network"
    assert all("conv4" not in family.layers for family in done.families)
    shapes = {
        layer.node.name: network.constant(layer.weight).shape for layer in network.graph.layers()
    }
    assert shapes["conv4"][0] == 80
    assert shapes["conv0"][0] == 16


def test_a_layer_to_leave_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown layer 'conv44'; did you mean 'conv4'\?"):
        channels.slim(digits(), asked(leave=["conv44"]), None)


def test_all_layers_left_is_refused() -> None:
    with pytest.raises(InputError, match="no channels can be removed") as caught:
        channels.slim(digits(), asked(leave=["convolution", "linear", "depthwise"]), None)
    assert caught.value.next_step == "leave out fewer layers"


def test_a_network_without_heads_is_refused() -> None:
    with pytest.raises(InputError, match="no attention heads can be removed"):
        channels.slim(digits(), asked(method="heads"), None)


def test_a_share_that_cannot_be_reached_is_refused_with_one_that_can() -> None:
    with pytest.raises(InputError, match="a tenth of each family stays") as caught:
        channels.slim(digits(), asked(sparsity=0.95, scope="global"), None)
    most = float(str(caught.value.next_step).split()[4])
    channels.slim(digits(), asked(sparsity=most, scope="global"), None)
    with pytest.raises(InputError, match="less than one"):
        channels.slim(digits(), asked(sparsity=0.0001), None)


def test_activations_need_samples() -> None:
    with pytest.raises(InputError, match="needs samples"):
        channels.slim(digits(), asked(criterion="activation"), None)


def weighted(net: RandomNetwork, source: str, weight: npt.NDArray[Any]) -> str:
    """Add a bare 1x1 convolution with a weight [outputs, inputs]."""
    last = net.op("Conv", [source, net.constant(weight[:, :, None, None])])
    return net.note(last, len(weight), net.size[source])


def tail(net: RandomNetwork, source: str) -> None:
    flat = net.op("Flatten", [net.op("GlobalAveragePool", [source])])
    net.end(net.linear(flat, net.channels[source], random_networks.CLASSES, gemm=True))


@pytest.mark.parametrize(
    ("criterion", "stay"), [("l1", [0, 1]), ("l2", [0, 3]), ("activation", [1, 2])]
)
def test_the_least_important_channels_go(criterion: str, stay: list[int], tmp_path: Path) -> None:
    # Inputs are (1, 1, 0): channel 2 is all that is active, but for 1, whatever the norms say.
    weight = np.array([[-3, 3, 0], [2.9, 0.4, 2.9], [0, 2, 0], [0, 0, -5.0]])
    net, path = RandomNetwork(np.random.default_rng(1)), tmp_path / "small.onnx"
    tail(net, weighted(net, "x", weight))
    net.save(path, 1)
    samples = np.ones((2, 3, random_networks.SIZE, random_networks.SIZE), np.float32)
    samples[:, 2] = 0
    network = open_network(path, "onnx")
    done = channels.slim(network, asked(sparsity=0.5, criterion=criterion), {"": samples})
    (layer, _) = network.graph.layers()
    assert done.kept[layer.weight][0].tolist() == stay
    assert np.allclose(network.constant(layer.weight)[:, :, 0, 0], weight[stay])


def test_layers_that_share_channels_count_alike_whatever_their_scale(tmp_path: Path) -> None:
    net, path = RandomNetwork(np.random.default_rng(1)), tmp_path / "small.onnx"
    left = weighted(net, "x", 100 * np.array([[1, 0, 0], [1.1, 0, 0], [1.2, 0, 0], [1, 0, 0]]))
    right = weighted(net, "x", np.array([[5, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [3.0, 0, 0]]))
    tail(net, net.op("Add", [left, right], like=left))
    net.save(path, 1)
    network = open_network(path, "onnx")
    done = channels.slim(network, asked(sparsity=0.5), None)
    assert done.kept[network.graph.layers()[0].weight][0].tolist() == [0, 3]


def test_a_network_that_an_unknown_operator_holds_names_it(tmp_path: Path) -> None:
    net, path = RandomNetwork(np.random.default_rng(1)), tmp_path / "small.onnx"
    last = net.conv("x", 8)
    last = net.op("DepthToSpace", [last], blocksize=2)
    tail(net, net.note(last, 2, 2 * random_networks.SIZE))
    net.save(path, 1)
    with pytest.raises(InputError, match=r"DepthToSpace_\d: no rule for this operator"):
        channels.slim(open_network(path, "onnx"), asked(), None)


def test_masking_keeps_what_the_readers_do_not_read(tmp_path: Path) -> None:
    """The logarithm of a channel set to zero would spoil the masked network; nothing reads it."""
    net, path = RandomNetwork(np.random.default_rng(1)), tmp_path / "small.onnx"
    positive = net.op("Exp", [weighted(net, "x", np.eye(8, 3))], like="x")
    net.note(positive, 8, random_networks.SIZE)
    scaled = net.op("Div", [positive, net.near(2, 8, 1, 1)], like=positive)
    tail(net, net.op("Log", [scaled], like=positive))
    net.save(path, 1)
    samples = random_networks.samples(0, 3)
    _, slim, masked = slim_both(path, tmp_path, asked(), samples)
    assert_exact(slim, masked, samples)


def test_one_residual_of_a_branch_and_the_stem_goes_as_one(tmp_path: Path) -> None:
    net, path = RandomNetwork(np.random.default_rng(1)), tmp_path / "small.onnx"
    stem = weighted(net, "x", np.random.default_rng(2).standard_normal((8, 3)))
    branch = weighted(net, stem, np.random.default_rng(3).standard_normal((8, 8)))
    tail(net, net.op("Add", [branch, stem], like=stem))
    net.save(path, 1)
    network = open_network(path, "onnx")
    done = channels.slim(network, asked(sparsity=0.5), None)
    assert [(family.before, family.after) for family in done.families] == [(8, 4)]
    shapes = [network.constant(layer.weight).shape for layer in network.graph.layers()]
    assert shapes == [(4, 3, 1, 1), (4, 4, 1, 1), (5, 4)]
