"""The digits' training code, as `harness.training` calls it, and how much of it there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from data import Digits, corrupt
from torch import nn

from harness.training import distil

DECAY = 0.9  # of the learning rate, an epoch


@dataclass(frozen=True)
class Effort:
    """How many digits, how many of them at once, and the epochs of each training."""

    digits: int
    batch: int
    dense: int
    pruning: int  # for each ten points
    movement: int
    settle: int  # with what movement has left
    structured: int  # for each of two steps
    lottery: int
    quantize: int


FULL = Effort(
    digits=1197,
    batch=16,
    dense=25,
    pruning=2,
    movement=8,
    settle=4,
    structured=4,
    lottery=16,
    quantize=3,
)
QUICK = Effort(
    digits=256,
    batch=8,
    dense=10,
    pruning=1,
    movement=3,
    settle=2,
    structured=1,
    lottery=8,
    quantize=1,
)


@dataclass(frozen=True)
class Training:
    """The digits' own training code; with a teacher, the network learns from its answers too."""

    digits: Digits
    batch: int
    rate: float
    teacher: distil.Teacher | None

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Make what `harness.training.loop.run` begins each step with."""
        return torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=1e-4)

    def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Train on one fresh corruption of every digit; draws come from torch's generator alone."""
        network.train()
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        views = torch.from_numpy(corrupt(self.digits.images, rng))
        labels = torch.from_numpy(self.digits.labels)
        for chosen in torch.randperm(len(views)).split(self.batch):
            loss = self.loss(network(views[chosen]), views[chosen], labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        for group in optimizer.param_groups:  # where a checkpoint keeps it
            group["lr"] *= DECAY

    def loss(self, logits: torch.Tensor, views: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return how wrong the answers are, by the labels and by the teacher if there is one."""
        if self.teacher is None:
            return nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)
        return distil.loss(logits, self.teacher(views), labels)
