"""A training that ends as it is told to: python -m tests.contract.killed_training FOLDER END.

END is `never`, `batch N` (of this process), `prepare N` (the step's number) or `write`: the kernel
ends the process in the middle of writing the checkpoint after its third batch.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from harness.training.iterative import iterative
from harness.training.loop import Step, run
from harness.training.lottery import lottery
from tests.unit.training_nets import Training, bits, classifier

HALF = 3000  # bytes: part of a checkpoint


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_batch(end: str, number: int) -> None:
    if end == f"batch {number}":
        kill()
    if end == "write" and number == 3:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF))


def killing(step: Step) -> Step:
    def prepare(network: nn.Module) -> nn.Module:
        changed = step.prepare(network)
        kill()
        return changed

    return replace(step, prepare=prepare)


def main(folder: Path, end: str) -> None:
    torch.set_num_threads(1)
    steps = [*lottery([0.5, 0.7], epochs=3, rewind=1), *iterative([0.9], epochs=2)]
    if end.startswith("prepare "):
        number = int(end.split()[1])
        steps[number] = killing(steps[number])
    trained = run(classifier(), steps, Training(partial(in_batch, end)), 1, folder)
    torch.save(bits(trained), folder / "trained")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
