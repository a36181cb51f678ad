"""The loop: what is called when, and that a run stopped anywhere ends in the same bits."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

import contextlib
import copy
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import masks
from harness.training.iterative import iterative
from harness.training.loop import Step, run
from harness.training.lottery import lottery
from tests.unit.training_nets import BATCHES, Training, bits, classifier

torch.set_num_threads(1)


def permanent(network: nn.Module) -> nn.Module:
    masks.make_permanent(network)
    return network


# Pruning, going back to early weights, a step without training, one with an ending.
STEPS = [
    *lottery([0.3, 0.6], epochs=4, rewind=1),
    *iterative([0.7], epochs=0),
    *iterative([0.8, 0.9], epochs=3, leave=("head",)),
    Step("end with plain layers", 1, lambda network: network, after=permanent),
]
EPOCHS = sum(step.epochs for step in STEPS)


class StopError(Exception):
    """Stands for the end of a process."""


def stop_at(number: int, now: int) -> None:
    if now == number:
        raise StopError


def test_the_extra_is_named_where_torch_is_missing() -> None:
    program = "import sys; sys.modules['torch'] = None\nimport harness.training.schedule"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert "InputError" in done.stderr and "pip install 'edgeproof[author]'" in done.stderr


def test_a_step_is_prepared_trained_and_ended_in_this_order() -> None:
    calls: list[Any] = []

    class Calls(Training):
        def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
            calls.append("optimizer")
            return super().optimizer(network)

        def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
            calls.append("epoch")

    def called(name: str, network: nn.Module) -> nn.Module:
        calls.append(name)
        return network

    def during(network: nn.Module, index: int) -> None:
        calls.append(index)

    steps = [
        Step("one", 2, partial(called, "prepare one"), during, partial(called, "end one")),
        Step("two", 1, partial(called, "prepare two")),
    ]
    run(classifier(), steps, Calls(), seed=1)
    first = ["prepare one", "optimizer", 0, "epoch", 1, "epoch", "end one"]
    assert calls == [*first, "prepare two", "optimizer", "epoch"]


def test_a_step_may_give_another_network() -> None:
    other = classifier(1)
    trained = run(classifier(), [Step("swap", 1, lambda network: other)], Training(), seed=1)
    assert trained is other and bits(other) != bits(classifier(1))


def test_the_seed_decides_everything() -> None:
    def train(seed: int) -> dict[str, bytes]:
        for draw in (torch.rand, np.random.rand):
            draw(3)
        random.random()
        return bits(run(classifier(), STEPS, Training(), seed))

    assert train(1) == train(1) != train(2)


@pytest.mark.parametrize("fails", [True, False])
def test_torch_is_deterministic_only_meanwhile(fails: bool) -> None:
    seen = []

    def look(network: nn.Module) -> nn.Module:
        seen.append(torch.are_deterministic_algorithms_enabled())
        if fails:
            raise StopError
        return network

    with pytest.raises(StopError) if fails else contextlib.nullcontext():
        run(classifier(), [Step("look", 0, look)], Training(), 1)
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_a_run_stopped_anywhere_ends_in_the_same_bits(tmp_path: Path, optimizer: Any) -> None:
    class Chosen(Training):
        def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
            rates = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
            return optimizer(network.parameters(), lr=0.01, **rates)

    expected = bits(run(classifier(), STEPS, Chosen(), seed=3))
    for number in range(1, EPOCHS * BATCHES + 1, 5):
        folder = tmp_path / str(number)
        with pytest.raises(StopError):
            run(classifier(), STEPS, Chosen(partial(stop_at, number)), 3, folder)
        rest = Chosen()
        assert bits(run(classifier(), STEPS, rest, 3, folder)) == expected
        # Only the epoch that was stopped is trained again.
        assert rest.batches == EPOCHS * BATCHES - (number - 1) // BATCHES * BATCHES


def test_a_run_stopped_in_every_batch_ends_in_the_same_bits(tmp_path: Path) -> None:
    expected = bits(run(classifier(), STEPS, Training(), seed=3))
    for _ in range(EPOCHS):  # each goes on for one epoch and one batch
        with pytest.raises(StopError):
            run(classifier(), STEPS, Training(partial(stop_at, BATCHES + 1)), 3, tmp_path)
            raise StopError  # the last has no batch left to stop in
    done = Training()
    assert bits(run(classifier(), STEPS, done, 3, tmp_path)) == expected
    assert done.batches == 0


@pytest.mark.parametrize("call", ["prepare", "during", "after"])
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_run_stopped_in_a_step_ends_in_the_same_bits(
    tmp_path: Path, call: str, number: int
) -> None:
    def stop(*_: object) -> Any:
        raise StopError

    steps = list(STEPS)
    expected = bits(run(classifier(), steps, Training(), seed=3))
    steps[number] = replace(steps[number], **{call: stop})
    if call == "during" and steps[number].epochs == 0:
        assert bits(run(classifier(), steps, Training(), 3, tmp_path)) == expected
        return
    with pytest.raises(StopError):
        run(classifier(), steps, Training(), 3, tmp_path)
    assert bits(run(classifier(), STEPS, Training(), 3, tmp_path)) == expected


def test_a_trained_network_can_be_read_and_copied() -> None:
    network = run(classifier(), iterative([0.5], epochs=1), Training(), seed=1)
    assert all(parameter.grad is None for parameter in network.parameters())
    for one in (network, copy.deepcopy(network)):
        layer = one.get_submodule("hidden")
        assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)


def test_checkpoints_change_nothing(tmp_path: Path) -> None:
    expected = bits(run(classifier(), STEPS, Training(), seed=5))
    assert bits(run(classifier(), STEPS, Training(), 5, tmp_path)) == expected


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: run(classifier(), STEPS, Training(), seed=-1), "a seed is a whole number"),
        (lambda: run(classifier(), STEPS, Training(), seed=2**32), "a seed is a whole number"),
        (
            lambda: run(classifier(), [replace(STEPS[0], epochs=-1)], Training(), seed=1),
            "trains for -1 epochs",
        ),
    ],
)
def test_what_makes_no_run_is_refused(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask()
