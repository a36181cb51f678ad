"""Movement pruning: scores get the paper's gradients, and end as ordinary masks."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import masks
from harness.training.loop import run
from harness.training.movement import movement
from harness.training.schedule import cubic
from tests.unit.coupled_nets import Brightness, check_resumes, coupled, images

torch.set_num_threads(1)


def zeros(network: nn.Module) -> dict[str, int]:
    return {name: int((~mask).sum()) for name, mask in masks.of(network).items()}


def test_every_layer_loses_exactly_its_share() -> None:
    network = run(coupled(), movement(0.7, 4, leave=("stem",)), Brightness(), seed=0)
    sizes = {name: layer.weight.numel() for name, layer in masks.layers(network, ("stem",)).items()}
    assert zeros(network) == {name: round(0.7 * size) for name, size in sizes.items()}
    for name, count in zeros(network).items():
        assert int((network.get_submodule(name).weight == 0).sum()) == count


def test_nothing_but_ordinary_masks_remains() -> None:
    network = run(coupled(), movement(0.5, 2), Brightness(), seed=0)
    expected = coupled()
    masks.apply(expected, masks.magnitude(expected, 0.5))
    assert network.state_dict().keys() == expected.state_dict().keys()
    for name, layer in masks.layers(network).items():
        hooks = [type(hook) for hook in layer._forward_pre_hooks.values()]
        twin = expected.get_submodule(name)
        assert hooks == [type(hook) for hook in twin._forward_pre_hooks.values()]


def test_sparsity_rises_by_the_cubic_schedule() -> None:
    seen = []

    class Watched(Brightness):
        def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            super().epoch(network, optimizer)
            seen.append(zeros(network)["project"])

    run(coupled(), movement(0.8, 5), Watched(), seed=0)
    weights = 16 * 24
    learned = [round(share * weights) for share in (0, *cubic(0.8, 4))]
    assert seen == [*learned, learned[-1]]


def test_gradients_pass_the_mask_to_the_scores_and_stop_at_it_for_the_weights() -> None:
    (step, _) = movement(0.5, 2)
    network = step.prepare(nn.Sequential(nn.Linear(6, 4, bias=False)))
    layer, x = network[0], torch.randn(8, 6)
    assert step.during is not None
    with torch.no_grad():
        layer.weight_scores.copy_(torch.randn(4, 6))
    step.during(network, 1)
    network(x).square().sum().backward()
    mask, weight = layer.weight_mask, layer.weight_orig.detach()
    plain = (weight * mask).requires_grad_()
    (x @ plain.T).square().sum().backward()
    assert int(mask.sum()) == 12
    assert plain.grad is not None
    assert torch.allclose(layer.weight_scores.grad, plain.grad * weight, atol=1e-5)
    assert torch.allclose(layer.weight_orig.grad, plain.grad * mask, atol=1e-5)


def test_a_weight_comes_back_when_its_score_does() -> None:
    (step, _) = movement(0.5, 2)
    network = step.prepare(nn.Sequential(nn.Linear(4, 1, bias=False)))
    assert step.during is not None
    step.during(network, 1)
    for order in ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]):
        with torch.no_grad():
            network[0].weight_scores.copy_(torch.tensor([order]))
        network(torch.ones(1, 4))
        assert network[0].weight_mask.tolist() == [[float(one > 2) for one in order]]


class Grown:
    """A training in which the small weights must grow and the large ones must vanish."""

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), 0.02)

    def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(20):
            x = torch.randn(64, 8)
            optimizer.zero_grad()
            (network(x)[:, 0] - 2 * x[:, 4:].sum(1)).square().mean().backward()
            optimizer.step()


def test_movement_counts_and_size_does_not() -> None:
    def start() -> nn.Module:
        network = nn.Sequential(nn.Linear(8, 1, bias=False))
        with torch.no_grad():
            network[0].weight.copy_(torch.tensor([[0.9] * 4 + [0.1] * 4]))
        return network

    small = torch.tensor([[False] * 4 + [True] * 4])
    assert torch.equal(masks.magnitude(start(), 0.5)["0"], ~small)
    moved = run(start(), movement(0.5, 3), Grown(), seed=0)
    assert torch.equal(masks.of(moved)["0"], small)


@pytest.mark.parametrize("stop", [2, 4])
def test_a_run_that_was_stopped_ends_in_the_same_bits(stop: int, tmp_path: Path) -> None:
    check_resumes(coupled, lambda: movement(0.6, 4, settle=2), stop, tmp_path)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(InputError, match="two epochs or more"):
        movement(0.5, 1)
    with pytest.raises(InputError, match="between 0 and 1"):
        movement(50, 3)
    with pytest.raises(InputError, match="unknown layer 'stemm'"):
        run(coupled(), movement(0.5, 2, leave=("stemm",)), Brightness(), seed=0)
    pruned = coupled()
    masks.apply(pruned, masks.magnitude(pruned, 0.5))
    with pytest.raises(InputError, match="has masks already"):
        run(pruned, movement(0.8, 2), Brightness(), seed=0)


def test_scores_that_are_no_numbers_are_refused() -> None:
    first, second = movement(0.5, 2)
    network = first.prepare(coupled())
    network(images(2))
    with torch.no_grad():
        network.project.weight_scores.fill_(torch.nan)
    with pytest.raises(InputError, match="diverged"):
        second.prepare(network)


def test_the_steps_say_all_that_decides_them() -> None:
    steps = movement(0.75, 6, 2, ("stem",))
    assert [(step.name, step.epochs) for step in steps] == [
        ("learn which 75% of each layer to prune by movement, leaving stem", 6),
        ("prune these 75%", 2),
    ]
