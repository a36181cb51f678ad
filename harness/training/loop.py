"""The loop that all methods share: prepare the network, train it, keep a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from harness.errors import InputError
from harness.training import checkpoints as kept
from harness.training import masks


class Trainer(Protocol):
    """The user's training code.

    What it carries from one epoch to the next must lie in the network, in the optimiser (a learning
    rate in its `param_groups`) or in the global generators of torch, numpy and Python: that is what
    a checkpoint holds. A generator or scheduler of its own starts anew in a run that is resumed.
    """

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser of one step, after the step has prepared the network."""

    def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Train for one pass over the data."""


@dataclass(frozen=True)
class Step:
    """One change of the network and the training that follows it.

    A run may be killed and resumed between `prepare`, any epoch and `after`, so what one of them
    hands to the next must lie in the network, never in a closure or in an object beside it. All
    that the network holds must be picklable: no lambda, no local function or class.
    """

    name: str  # says what is done, and all that decides it: it tells one run from another
    epochs: int
    prepare: Callable[[nn.Module], nn.Module]  # changes the network in place or gives another
    during: Callable[[nn.Module, int], None] | None = None  # before each epoch, with its index
    after: Callable[[nn.Module], nn.Module] | None = None  # when the epochs are done


@dataclass(frozen=True)
class _State:
    """What one action hands to the next; no optimiser: no step is prepared."""

    network: nn.Module
    optimizer: torch.optim.Optimizer | None = None


_Action = Callable[[_State], _State]


def run(
    network: nn.Module,
    steps: Sequence[Step],
    trainer: Trainer,
    seed: int,
    checkpoints: Path | None = None,
) -> nn.Module:
    """Do all steps and return the trained network; the given one may be changed.

    Seeds torch, numpy and Python once, and makes torch deterministic meanwhile. With `checkpoints`,
    a folder for this run alone, a checkpoint is written after each preparation, epoch and ending,
    and the same call goes on from there after a kill. On the same machine, with as many threads, it
    ends in the same bits as a run that was never stopped. Raises InputError for a checkpoint of
    another run, a damaged one, and a network that cannot be pickled.
    """
    _check(steps, seed)
    fingerprint = kept.Fingerprint(
        steps=tuple((step.name, step.epochs) for step in steps),
        seed=seed,
        start=kept.sha256_of(network),
        torch=str(torch.__version__),
    )
    actions = [action for step in steps for action in _actions(step, trainer)]
    with _deterministic():
        _seed(seed)
        if checkpoints is None:
            state = _State(network)
            for action in actions:
                state = action(state)
            return state.network
        with kept.only_one(checkpoints):
            return _run_kept(network, actions, trainer, checkpoints, fingerprint)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Make torch deterministic; the caller's setting comes back."""
    before = torch.get_deterministic_debug_mode()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _run_kept(
    network: nn.Module,
    actions: Sequence[_Action],
    trainer: Trainer,
    folder: Path,
    fingerprint: kept.Fingerprint,
) -> nn.Module:
    """Do the actions that no checkpoint says are done, with a checkpoint after each."""
    found = kept.read(folder, fingerprint)
    state = _resumed(found, trainer, folder) if found else _State(network)
    before = found.done if found else 0
    for done, action in enumerate(actions[before:], start=before + 1):
        state = action(state)
        optimizer = state.optimizer.state_dict() if state.optimizer else None
        checkpoint = kept.Checkpoint(done, state.network, optimizer, kept.generators())
        kept.write(folder, fingerprint, checkpoint)
    return state.network


def _resumed(found: kept.Checkpoint, trainer: Trainer, folder: Path) -> _State:
    optimizer = None
    if found.optimizer is not None:
        optimizer = trainer.optimizer(found.network)
        try:
            optimizer.load_state_dict(found.optimizer)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"is of a run with another optimiser: {error}",
                where=str(folder / kept.FILE),
                next_step="bring that optimiser back, or give another folder",
            ) from error
    kept.set_generators(found.generators)  # last, since making an optimiser may draw
    return _State(found.network, optimizer)


def _actions(step: Step, trainer: Trainer) -> list[_Action]:
    """Return what a step does, in the pieces between which a run can be resumed."""
    actions: list[_Action] = [partial(_prepare, step, trainer)]
    actions += [partial(_train, step, trainer, index) for index in range(step.epochs)]
    if step.after is not None:
        actions.append(partial(_finish, step.after))
    return actions


def _prepare(step: Step, trainer: Trainer, state: _State) -> _State:
    network = _settled(step.prepare(state.network))
    return _State(network, trainer.optimizer(network))


def _train(step: Step, trainer: Trainer, index: int, state: _State) -> _State:
    assert state.optimizer is not None  # its step was prepared
    if step.during is not None:
        step.during(state.network, index)
    trainer.epoch(state.network, state.optimizer)
    return _State(_settled(state.network), state.optimizer)


def _finish(after: Callable[[nn.Module], nn.Module], state: _State) -> _State:
    return _State(_settled(after(state.network)))


def _settled(network: nn.Module) -> nn.Module:
    """Drop what no checkpoint keeps, gradients and graphs, so that none can matter later."""
    network.zero_grad()
    masks.refresh(network)
    return network


def _check(steps: Sequence[Step], seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise InputError(f"a seed is a whole number from 0 to {2**32 - 1}; it is {seed}")
    for step in steps:
        if step.epochs < 0:
            raise InputError(f"trains for {step.epochs} epochs", where=f"step '{step.name}'")


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
