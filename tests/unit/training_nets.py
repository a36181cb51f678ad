"""A small network and a training that draws from every generator, for the tests of training."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

BATCHES = 3


class Classifier(nn.Module):
    """All kinds of what a checkpoint must hold: convolution, norm, dropout, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.hidden = nn.Linear(64, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of images [batch, 1, 6, 6]."""
        logits: torch.Tensor = self.head(self.hidden(self.drop(self.body(x).flatten(1))).relu())
        return logits


def classifier(seed: int = 0) -> Classifier:
    """Make a network with seeded weights."""
    torch.manual_seed(seed)
    return Classifier()


class Training:
    """Brightness decides the class. `before_batch` is called with the number of each batch."""

    def __init__(self, before_batch: Callable[[int], None] = lambda number: None) -> None:
        made = torch.Generator().manual_seed(7)
        self.x = torch.randn(24, 1, 6, 6, generator=made)
        self.y = torch.bucketize(self.x.mean((1, 2, 3)), torch.tensor([-0.08, 0.08]))
        self.batches = 0
        self.before_batch = before_batch

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Momentum and weight decay: both would move a weight that is only set to zero."""
        return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)

    def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Train on all samples; the order, the noise and the shift are drawn."""
        network.train()
        for chosen in torch.randperm(len(self.x)).chunk(BATCHES):
            self.batches += 1
            self.before_batch(self.batches)
            noise = np.random.standard_normal((len(chosen), 1, 6, 6)).astype(np.float32)
            x = self.x[chosen] + 0.1 * torch.from_numpy(noise) + random.uniform(-0.01, 0.01)
            loss = nn.functional.cross_entropy(network(x), self.y[chosen])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9


def bits(network: nn.Module) -> dict[str, bytes]:
    """Return all parameters and buffers as bytes."""
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}
