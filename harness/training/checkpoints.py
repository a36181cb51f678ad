"""What is kept of a run after each epoch, so that it goes on after a kill as if there was none.

One file, replaced as a whole: a line with the sha256 of all that follows, a line with the
fingerprint of the run, and what torch.save makes of the rest. It is unpickled when read, so read
only what a run of your own has written.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.errors import InputError

FILE = "latest.checkpoint"


@dataclass(frozen=True)
class Fingerprint:
    """What tells one run from another; equal ones end in equal weights."""

    steps: tuple[tuple[str, int], ...]  # name, epochs
    seed: int
    start: str  # sha256 of the network that the run starts from
    torch: str  # version

    def difference(self, other: Fingerprint) -> str | None:
        """Say what is different in another run; None: nothing is."""
        if self.steps != other.steps:
            return f"other steps: {_listed(other.steps)}; not {_listed(self.steps)}"
        if self.seed != other.seed:
            return f"another seed: {other.seed}, not {self.seed}"
        if self.start != other.start:
            return "another network to start from"
        if self.torch != other.torch:
            return f"another torch: {other.torch}, not {self.torch}"
        return None


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is: how much of it is done, and all that decides how it goes on."""

    done: int  # preparations, epochs and endings, counted over all steps
    network: nn.Module
    optimizer: dict[str, Any] | None  # its state
    generators: dict[str, Any]  # their states, see `generators`


def sha256_of(network: nn.Module) -> str:
    """Return the sha256 of all parameters and buffers with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            flat = value.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def generators() -> dict[str, Any]:
    """Return the states of the global generators of torch, its GPUs, numpy and Python."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }


def set_generators(states: dict[str, Any]) -> None:
    """Bring the global generators back to what `generators` has returned."""
    torch.set_rng_state(states["torch"])
    torch.cuda.set_rng_state_all(states["cuda"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other runs out of it meanwhile; raises InputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        what = f"cannot be a folder of checkpoints: {error.strerror}"
        raise InputError(what, where=str(folder)) from None
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def write(folder: Path, run: Fingerprint, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint: after a kill it is the old one or the new one.

    Raises InputError if the network cannot be pickled or the file cannot be written.
    """
    body = json.dumps(vars(run)).encode() + b"\n" + _pickled(checkpoint, folder)
    digest = hashlib.sha256(body).hexdigest().encode()
    part = folder / f"{FILE}.part"
    try:
        with part.open("wb") as file:
            file.writelines((digest, b"\n", body))
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / FILE)
        _sync(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        what = f"a checkpoint cannot be written: {error.strerror}"
        raise InputError(what, where=str(folder)) from None


def read(folder: Path, run: Fingerprint) -> Checkpoint | None:
    """Read the folder's checkpoint; None: there is none yet.

    Raises InputError if it is damaged, of another run, or can no longer be unpickled.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    digest, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise InputError(
            "is damaged: its contents do not fit its sha256",
            where=str(path),
            next_step=f"remove {path} to train from the start",
        )
    head, _, pickled = body.partition(b"\n")
    difference = run.difference(_fingerprint(head))
    if difference:
        raise InputError(
            f"is of a run with {difference}",
            where=str(path),
            next_step=f"give another folder, or remove {path} to train from the start",
        )
    return _unpickled(pickled, path)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            "another run is writing its checkpoints here",
            where=str(folder),
            next_step="wait for it, or give another folder",
        ) from None


def _fingerprint(head: bytes) -> Fingerprint:
    fields = json.loads(head)
    steps = tuple((name, epochs) for name, epochs in fields.pop("steps"))
    return Fingerprint(steps=steps, **fields)


def _listed(steps: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} ({epochs} epochs)" for name, epochs in steps)


def _pickled(checkpoint: Checkpoint, folder: Path) -> bytes:
    data = io.BytesIO()
    try:
        torch.save(vars(checkpoint), data)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError) as error:
        raise InputError(
            f"the network cannot be pickled for a checkpoint: {error}",
            where=str(folder),
            next_step="use classes and functions of a module in it, no lambda and no local one",
        ) from error
    return data.getvalue()


def _unpickled(data: bytes, path: Path) -> Checkpoint:
    try:
        return Checkpoint(**torch.load(io.BytesIO(data), weights_only=False))
    except (pickle.PickleError, AttributeError, ImportError, TypeError, RuntimeError) as error:
        raise InputError(
            f"holds a network whose code has changed: {error}",
            where=str(path),
            next_step=f"bring that code back, or remove {path} to train from the start",
        ) from error


def _sync(folder: Path) -> None:
    """A rename is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
