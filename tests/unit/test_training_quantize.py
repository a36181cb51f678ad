"""Quantisation-aware training: what it simulates is what the int8 file in ONNX Runtime computes."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import masks
from harness.training.distil import Teacher
from harness.training.export import export
from harness.training.loop import Step, run
from harness.training.quantize import plain, quantize_aware, simulate
from harness.variants.network import Array
from harness.variants.outputs import outputs
from harness.variants.parity import check
from harness.variants.quantize import quantize
from harness.variants.recipe import Quantize
from tests.unit.coupled_nets import Brightness, Coupled, check_resumes, coupled, images

torch.set_num_threads(1)


def int8_file(network: nn.Module, samples: torch.Tensor, folder: Path) -> Path:
    """Make the int8 file of a float network as a study does."""
    export(network, folder / "float.onnx", {"x": samples[:4]})
    feeds = {"x": samples.numpy()}
    quantize(folder / "float.onnx", "onnx", folder / "int8.onnx", Quantize(to="int8"), feeds)
    return folder / "int8.onnx"


def stored_weights(path: Path) -> list[tuple[Array, Array]]:
    """Return the integers and the scales of each layer's weight in an int8 file, in order."""
    graph = onnx.load(path).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    widened = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    sources = [widened[node.input[1]].input for node in layers]
    return [(constants[values], constants[scales]) for values, scales, *_ in sources]


def ranges_from(network: nn.Module, samples: torch.Tensor) -> dict[str, tuple[float, float]]:
    """Return the least and largest input of each layer, as a calibration finds them."""
    found: dict[str, tuple[float, float]] = {}
    hooks = []
    for name, layer in masks.layers(network).items():

        def note(_: nn.Module, seen: tuple[torch.Tensor, ...], name: str = name) -> None:
            found[name] = (min(0.0, seen[0].min().item()), max(0.0, seen[0].max().item()))

        hooks.append(layer.register_forward_pre_hook(note))
    with torch.no_grad():
        network.eval()(samples)
    for hook in hooks:
        hook.remove()
    return found


def calibrated(network: nn.Module, samples: torch.Tensor) -> nn.Module:
    """Return a copy that computes as int8, with the ranges that calibration finds."""
    found = ranges_from(network, samples)
    copied = simulate(deepcopy(network))
    for name, (low, high) in found.items():
        copied.get_submodule(name).get_buffer("input_low").fill_(low)
        copied.get_submodule(name).get_buffer("input_high").fill_(high)
    return copied.eval()


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return run(coupled(), quantize_aware(8), Brightness(), seed=0)


def test_the_file_stores_the_very_weights_of_the_training(
    trained: nn.Module, tmp_path: Path
) -> None:
    """Though batch norms are folded in the file only: their factors change no rounding."""
    simulated = simulate(deepcopy(trained))
    with torch.no_grad():
        simulated.eval()(images(2, seed=5))
    stored = stored_weights(int8_file(trained, images(50, seed=6), tmp_path))
    assert isinstance(simulated, Coupled)
    norms = {"stem": simulated.stem_norm, "project": simulated.project_norm}
    norms["depthwise"] = simulated.depthwise_norm
    names = list(masks.layers(simulated))
    assert len(stored) == len(names)
    for name, (values, scales) in zip(names, stored, strict=True):
        weight = simulated.get_submodule(name).weight.detach()
        factor = torch.ones(len(weight))
        if name in norms:
            norm = norms[name]
            factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        folded = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).numpy()
        by_channel = scales.reshape(-1, *[1] * (values.ndim - 1))
        assert np.array_equal(np.rint(folded / by_channel), values), name
        assert np.allclose(folded, values * by_channel, rtol=1e-5, atol=1e-7), name


def chain() -> nn.Module:
    """Make a network in which only the output is rounded by the file and not in training."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 4)),
    )
    for _ in range(5):
        network(images(16))
    return network.eval()


def test_the_int8_file_computes_what_the_training_simulates(tmp_path: Path) -> None:
    network, samples = chain(), images(300, seed=6)
    (found,) = outputs(int8_file(network, samples, tmp_path), "onnx", {"x": samples.numpy()})
    with torch.no_grad():
        simulated, exact = calibrated(network, samples)(samples), network(samples)
    level = (exact.max().clamp(min=0) - exact.min().clamp(max=0)).item() / 255
    apart = np.rint(simulated.numpy() / level) - np.rint(found / level)
    assert np.abs(apart).max() <= 1
    assert np.mean(apart == 0) > 0.95
    assert np.mean(np.rint(exact.numpy() / level) == np.rint(found / level)) < 0.8


def test_sums_and_poolings_that_the_file_also_rounds_change_little(
    trained: nn.Module, tmp_path: Path
) -> None:
    samples = images(300, seed=6)
    found = outputs(int8_file(trained, samples, tmp_path), "onnx", {"x": samples.numpy()})
    with torch.no_grad():
        simulated = [calibrated(trained, samples)(samples).numpy()]
        exact = [trained.eval()(samples).numpy()]
    parity, other = (check(one, found, "integer", "int8.onnx") for one in (simulated, exact))
    assert parity.relative_rms < 0.02
    assert parity.relative_rms < other.relative_rms
    assert parity.agreement is not None
    assert parity.agreement > 0.98


def test_training_wins_back_what_int8_alone_loses(tmp_path: Path) -> None:
    """A large weight that meets only zeros leaves the others of its channel a few levels."""
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
    dense.append(nn.Linear(16, 4))
    x = torch.randn(512, 8)
    with torch.no_grad():
        dense[0].weight[:, 0] = 60
        x[:, 0] = 0
    wanted = Teacher(dense)(x)

    class Copied:
        def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
            return torch.optim.Adam(network.parameters(), 1e-2)

        def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            network.train()
            for chosen in torch.randperm(len(x)).chunk(16):
                optimizer.zero_grad()
                (network(x[chosen]) - wanted[chosen]).square().mean().backward()
                optimizer.step()

    def lost(network: nn.Module, folder: str) -> float:
        (tmp_path / folder).mkdir()
        path = int8_file(network, x[:200], tmp_path / folder)
        (found,) = outputs(path, "onnx", {"x": x.numpy()})
        return float(np.square(found - wanted.numpy()).mean() / wanted.var().item())

    before = lost(dense, "dense")
    after = lost(run(deepcopy(dense), quantize_aware(8), Copied(), seed=0), "trained")
    assert before > 0.1
    assert after < before / 2


def test_the_result_is_a_plain_float_network(trained: nn.Module) -> None:
    assert trained.state_dict().keys() == coupled().state_dict().keys()
    assert not any(layer._forward_pre_hooks for layer in trained.modules())
    assert {name for name, _ in trained.named_parameters()} == {
        name for name, _ in coupled().named_parameters()
    }


def test_back_from_int8_nothing_has_changed() -> None:
    network = coupled()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert plain(simulate(network)) is network
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_masks_stay_and_pruned_weights_stay_zero() -> None:
    network = coupled()
    masks.apply(network, masks.magnitude(network, 0.6, leave=("stem",)))
    before = masks.of(network)
    after = run(network, quantize_aware(2), Brightness(), seed=0)
    assert masks.of(after).keys() == before.keys()
    for name, mask in masks.of(after).items():
        assert torch.equal(mask, before[name])
        assert not after.get_submodule(name).weight[~mask].any()


def test_rounding_passes_gradients_and_range_stops_them() -> None:
    network = simulate(nn.Sequential(nn.Linear(3, 1, bias=False)))
    network(torch.tensor([[-1.0, 0.5, 3.0]]))
    x = torch.tensor([[-5.0, 0.3, 4.0]], requires_grad=True)
    network.eval()(x).sum().backward()
    weight, rounded = network[0].weight_orig, network[0].weight.detach()
    assert x.grad is not None
    assert torch.allclose(x.grad, rounded * torch.tensor([[0.0, 1.0, 0.0]]))
    seen = torch.tensor([[-1.0, 0.3, 3.0]])
    assert torch.allclose(weight.grad, seen, atol=4 / 255)
    assert torch.allclose(weight.detach(), rounded, atol=weight.abs().max().item() / 127 / 2)


def test_ranges_are_those_of_the_last_epoch() -> None:
    seen = []

    class Shrinking(Brightness):
        def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            super().epoch(network, optimizer)
            stem = network.get_submodule("stem")
            seen.append((stem.get_buffer("input_low").item(), stem.get_buffer("input_high").item()))
            self.x = self.x / 2

    run(coupled(), quantize_aware(2), Shrinking(), seed=0)
    assert seen[1] == (seen[0][0] / 2, seen[0][1] / 2)


def test_inputs_are_exact_until_their_range_is_known() -> None:
    network = simulate(nn.Sequential(nn.Linear(3, 3, bias=False))).eval()
    with torch.no_grad():
        network[0].weight_orig.copy_(torch.eye(3))
    x = torch.tensor([[0.1, -7.3, 4.2]])
    assert torch.equal(network(x), x)


def test_layers_that_are_left_stay_float() -> None:
    network = simulate(coupled(), leave=("stem", "head"))
    found = [name for name, layer in network.named_modules() if "input_low" in layer._buffers]
    assert found == ["grouped", "depthwise", "project"]
    with pytest.raises(InputError, match="unknown layer 'stemm'"):
        quantize_aware(1, leave=("stemm",))[0].prepare(coupled())


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.ConvTranspose2d, nn.Conv3d])
def test_every_output_channel_has_its_own_scale(kind: type[nn.Module]) -> None:
    layer = kind(2, 3, 2)
    sizes = [1] * layer.weight.ndim
    channel = 1 if kind is nn.ConvTranspose2d else 0
    sizes[channel] = 3
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([1e-3, 1.0, 1e3]).reshape(sizes))
    network = simulate(nn.Sequential(layer))
    network(torch.ones(1, 2, *[3] * (layer.weight_orig.ndim - 2)))
    exact, rounded = (one.detach().movedim(channel, 0) for one in (layer.weight_orig, layer.weight))
    for before, after in zip(exact, rounded, strict=True):
        step = before.abs().max() / 127
        assert (after / step - (after / step).round()).abs().max() < 1e-3
        assert (before - after).abs().max() <= step * 0.501


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_was_stopped_ends_in_the_same_bits(stop: int, tmp_path: Path) -> None:
    def steps() -> list[Step]:
        return [*quantize_aware(2), *quantize_aware(2, ("head",))]

    check_resumes(coupled, steps, stop, tmp_path)


def test_the_step_says_all_that_decides_it() -> None:
    (step,) = quantize_aware(3, ("stem", "head"))
    assert (step.name, step.epochs) == ("train as int8, leaving stem, head", 3)
