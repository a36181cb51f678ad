"""Structured pruning: exact widths in every step, and the weakest channels are the ones to go."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import graph, masks
from harness.training.loop import run
from harness.training.structured import structured
from tests.unit.coupled_nets import Brightness, check_resumes, coupled, images

torch.set_num_threads(1)

X = images(2, seed=4)
Widths = dict[str, tuple[int, int]]


def widths(network: nn.Module) -> Widths:
    """Return each layer's inputs and outputs."""
    return {
        name: (layer.in_features, layer.out_features)
        if isinstance(layer, nn.Linear)
        else (layer.in_channels, layer.out_channels)
        for name, layer in masks.layers(network).items()
    }


def through(network: nn.Module, *shares: float, leave: tuple[str, ...] = (), by: int = 1) -> Widths:
    """Return the widths after some steps without training."""
    for step in structured(network, X, shares, 0, leave, by):
        network = step.prepare(network)
    assert network(X).shape == (2, 4)
    return widths(network)


def test_layers_that_share_channels_keep_the_same_ones_and_the_outputs_stay() -> None:
    assert through(coupled(), 0.25) == {
        "stem": (3, 12),  # goes with project, to which it is added
        "grouped": (12, 20),  # 4.5 of 6 in each of its 4 groups, rounded up
        "depthwise": (20, 20),
        "project": (20, 12),
        "head": (12, 4),
    }


def test_shares_are_of_the_dense_network() -> None:
    at_once, in_steps = through(coupled(), 0.5), through(coupled(), 0.1, 0.3, 0.5)
    assert at_once == in_steps
    assert at_once["stem"] == (3, 8)
    assert at_once["grouped"] == (8, 12)


def test_small_steps_reach_a_multiple_that_each_of_them_misses() -> None:
    shares = [0.05 * step for step in range(1, 11)]
    assert through(coupled(), *shares, by=8)["project"] == (16, 8)


def test_a_layer_that_is_left_keeps_its_outputs() -> None:
    found = through(coupled(), 0.5, leave=("stem",))
    assert found["stem"] == (3, 16)
    assert found["project"] == (12, 16)
    assert found["head"] == (16, 4)


@given(width=st.integers(1, 40), share=st.floats(0.01, 0.99), by=st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=25, deadline=None)
def test_the_nearest_multiple_stays(width: int, share: float, by: int) -> None:
    network = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
    (step,) = structured(network, torch.randn(2, 3), [share], 0, multiple=by)
    kept = step.prepare(network)[0].out_features
    if kept < width:
        assert kept % by == 0
        assert kept == by or abs(kept - (1 - share) * width) <= by / 2 + 1e-9
    else:
        assert width <= by or (1 - share) * width >= width - by / 2 - width % by


def test_channels_that_do_nothing_are_the_ones_to_go() -> None:
    network = coupled()
    # A grouped convolution loses the same places in each group, so these are idle.
    idle = torch.cat([6 * part + torch.tensor([0, 2, 5]) for part in range(4)])
    with torch.no_grad():
        for value in (network.grouped.weight, network.grouped.bias, network.depthwise.weight):
            value[idle] = 0
        for value in (network.depthwise_norm.weight, network.depthwise_norm.bias):
            value[idle] = 0
        network.project.weight[:, idle] = 0
    before = network(X)
    (step,) = structured(network, X, [0.5], 0, leave=("stem", "project"))
    narrow = step.prepare(network)
    assert widths(narrow)["depthwise"] == (12, 12)
    assert torch.allclose(narrow(X), before, atol=1e-6)


def test_both_layers_of_a_sum_at_the_end_are_left() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 6)
            self.third = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.first(x))
            total: torch.Tensor = x + self.third(torch.relu(self.second(x)))
            return total

    network, x = Sum(), torch.randn(2, 4)
    assert graph.last(network, x) == ["first", "third"]
    (step,) = structured(network, x, [0.5], 0)
    assert widths(step.prepare(network)) == {"first": (4, 4), "second": (4, 3), "third": (3, 4)}


def test_modes_and_training_stay_as_they_were() -> None:
    network = coupled().train()
    network.stem_norm.eval()
    network.grouped.weight.requires_grad_(False)
    (step,) = structured(network, X, [0.25], 0)
    narrow = step.prepare(network)
    assert narrow.training
    assert narrow.project_norm.training
    assert not narrow.stem_norm.training
    trained = {name for name, one in narrow.named_parameters() if one.requires_grad}
    assert trained == {name for name, _ in narrow.named_parameters()} - {"grouped.weight"}


def test_it_trains_between_the_steps(tmp_path: Path) -> None:
    training = Brightness()
    steps = structured(coupled(), X, [0.25, 0.5], 8)
    narrow = run(coupled(), steps, training, seed=0, checkpoints=tmp_path)
    assert widths(narrow)["stem"] == (3, 8)
    right = (narrow.eval()(training.x).argmax(1) == training.y).double().mean()
    assert right > 0.6  # of four classes


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_was_stopped_ends_in_the_same_bits(stop: int, tmp_path: Path) -> None:
    check_resumes(coupled, lambda: structured(coupled(), X, [0.25, 0.5], 2), stop, tmp_path)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(InputError, match="rises"):
        structured(coupled(), X, [0.5, 0.3], 1)
    with pytest.raises(InputError, match="multiple of 1 or more"):
        structured(coupled(), X, [0.5], 1, multiple=0)
    with pytest.raises(InputError, match="unknown layer 'steem'"):
        structured(coupled(), X, [0.5], 1, leave=("steem",))
    with pytest.raises(InputError, match="no layer may lose channels"):
        structured(nn.Sequential(nn.Linear(3, 2)), torch.randn(2, 3), [0.5], 1)
    (step,) = structured(coupled(), X, [0.5], 1)
    pruned = coupled()
    masks.apply(pruned, masks.magnitude(pruned, 0.5))
    with pytest.raises(InputError, match="has masks"):
        step.prepare(pruned)


def test_code_that_needs_a_width_is_found_out() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.out = nn.Conv2d(3, 8, 3), nn.Linear(36, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.out(
                self.wide(x).reshape(len(x), 8, 6, 6).mean(1).flatten(1)
            )
            return logits

    (step,) = structured(Fixed(), X, [0.5], 1)
    with pytest.raises(InputError, match="does not run without some of its channels") as caught:
        step.prepare(Fixed())
    assert caught.value.next_step is not None
    assert "`leave`" in caught.value.next_step


def test_the_steps_say_all_that_decides_them() -> None:
    steps = structured(coupled(), X, [0.125, 0.4], 3, ("stem",), 8)
    assert [(step.name, step.epochs) for step in steps] == [
        ("remove 12.5% of the channels by magnitude, in multiples of 8, leaving stem", 3),
        ("remove 40% of the channels by magnitude, in multiples of 8, leaving stem", 3),
    ]
