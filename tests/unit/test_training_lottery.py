"""Lottery tickets: masks of the trained network on the weights of an early epoch."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import masks
from harness.training.loop import Step, run
from harness.training.lottery import lottery
from tests.unit.training_nets import Training, bits, classifier

torch.set_num_threads(1)
TRAIN = Step("train", 4, lambda network: network)


def tickets(count: int) -> list[Step]:
    """The steps up to one ticket, which is not trained: what it starts from can be seen."""
    *before, last = lottery([0.3, 0.5, 0.7][:count], epochs=4, rewind=1)
    return [*before, replace(last, epochs=0)]


def early(rewind: int) -> nn.Module:
    """The network as the run with this seed has it after `rewind` epochs."""
    return run(classifier(), [replace(TRAIN, epochs=rewind)], Training(), seed=1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_ticket_starts_from_the_early_weights_under_its_mask(count: int) -> None:
    ticket = run(classifier(), tickets(count), Training(), seed=1)
    found, start = masks.of(ticket), early(1).state_dict()
    masks.make_permanent(ticket)
    for name, mask in found.items():
        start[f"{name}.weight"] *= mask
    state = ticket.state_dict()
    assert set(state) == set(start)
    assert all(torch.equal(state[name], value) for name, value in start.items())
    zeros = sum(int((~mask).sum()) for mask in found.values())
    assert zeros == round([0.3, 0.5, 0.7][count - 1] * (36 + 512 + 24))


def test_the_trained_weights_choose_the_mask() -> None:
    trained = run(classifier(), [TRAIN], Training(), seed=1)
    expected, other = masks.magnitude(trained, 0.3), masks.magnitude(early(1), 0.3)
    found = masks.of(run(classifier(), tickets(1), Training(), seed=1))
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())
    assert any(not torch.equal(found[name], mask) for name, mask in other.items())


def test_rewinding_to_epoch_0_is_the_start_itself() -> None:
    *before, last = lottery([0.5], epochs=2, rewind=0)
    ticket = run(classifier(), [*before, replace(last, epochs=0)], Training(), seed=1)
    start = classifier()
    assert torch.equal(ticket.get_parameter("hidden.weight_orig"), start.hidden.weight)
    assert torch.equal(ticket.get_parameter("hidden.bias"), start.hidden.bias)


def test_nothing_of_the_early_weights_is_left_in_the_end() -> None:
    ticket = run(classifier(), lottery([0.3, 0.5], 2, 1), Training(), seed=1)
    plain = classifier()
    masks.apply(plain, masks.magnitude(plain, 0.5))
    assert set(vars(ticket)) == set(vars(plain))
    assert set(bits(ticket)) == set(bits(plain))


def test_steps_train_what_is_left_of_the_epochs() -> None:
    steps = lottery([0.3, 0.5], epochs=5, rewind=2, scope="local", leave=("head",))
    assert [(step.name, step.epochs) for step in steps] == [
        ("train, keeping epoch 2", 5),
        ("prune 30% by magnitude, local, leaving head; back to epoch 2", 3),
        ("prune 50% by magnitude, local, leaving head; back to epoch 2", 3),
    ]


def test_early_weights_outlive_the_process(tmp_path: Path) -> None:
    steps = lottery([0.3, 0.5], epochs=3, rewind=1)
    expected = bits(run(classifier(), steps, Training(), seed=1))

    def stop(number: int) -> None:
        if number == 8:  # after the epoch to go back to, before anything goes back
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(classifier(), steps, Training(stop), 1, tmp_path)
    assert bits(run(classifier(), steps, Training(), 1, tmp_path)) == expected


@pytest.mark.parametrize("rewind", [-1, 3, 4])
def test_an_epoch_that_is_not_there_is_refused(rewind: int) -> None:
    with pytest.raises(InputError, match=f"cannot go back to epoch {rewind} of 3"):
        lottery([0.5], epochs=3, rewind=rewind)
