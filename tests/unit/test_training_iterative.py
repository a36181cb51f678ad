"""Iterative pruning: each step prunes what it says, and training in between pays."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import masks, schedule
from harness.training.iterative import iterative
from harness.training.loop import Step, run
from tests.unit.training_nets import Training, classifier

torch.set_num_threads(1)
WEIGHTS = 36 + 512 + 24


def accuracy(network: nn.Module, training: Training) -> float:
    with torch.no_grad():
        return float((network.eval()(training.x).argmax(1) == training.y).double().mean())


def test_each_step_says_all_that_decides_it() -> None:
    steps = iterative([0.125, 0.3], 4, "local", ("head", "body"))
    assert [(step.name, step.epochs) for step in steps] == [
        ("prune 12.5% by magnitude, local, leaving head, body", 4),
        ("prune 30% by magnitude, local, leaving head, body", 4),
    ]
    assert iterative([0.3], 1)[0].name == "prune 30% by magnitude, global"


@pytest.mark.parametrize("scope", ["local", "global"])
def test_every_step_reaches_its_share_exactly_and_revives_nothing(scope: masks.Scope) -> None:
    shares, seen = schedule.steps(0.2, 0.8, 0.1), []

    class Watched(Training):
        def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            super().epoch(network, optimizer)
            seen.append(masks.of(network))

    run(classifier(), iterative(shares, 1, scope), Watched(), seed=1)
    for share, found in zip(shares, seen, strict=True):
        zeros = {name: int((~mask).sum()) for name, mask in found.items()}
        if scope == "global":
            assert sum(zeros.values()) == round(share * WEIGHTS)
        else:
            sizes = {"body.0": 36, "hidden": 512, "head": 24}
            assert zeros == {name: round(share * size) for name, size in sizes.items()}
    for before, after in pairwise(seen):
        assert not any((after[name] & ~before[name]).any() for name in after)


def test_training_between_steps_keeps_what_pruning_at_once_loses() -> None:
    training = Training()
    train = Step("train", 15, lambda network: network)
    dense = run(classifier(), [train], training, seed=1)
    parent, learned = dense.state_dict(), accuracy(dense, training)
    at_once, slowly = classifier(), classifier()
    for network in (at_once, slowly):
        network.load_state_dict(parent)
    masks.apply(at_once, masks.magnitude(at_once, 0.9))
    slowly = run(slowly, iterative(schedule.steps(0.3, 0.9, 0.2), 8), training, seed=1)
    assert learned > 0.9
    assert accuracy(slowly, training) > accuracy(at_once, training) + 0.2
    assert sum(int((~mask).sum()) for mask in masks.of(slowly).values()) == round(0.9 * WEIGHTS)


def test_a_schedule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.2 follows 0\.3"):
        iterative([0.3, 0.2], 1)
