"""Networks whose layers share channels, and a short training, for tests of compression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.training.loop import Step, run


class Coupled(nn.Module):
    """A stem, a grouped and a depthwise convolution, a residual sum, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.grouped = nn.Conv2d(16, 24, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(24)
        self.project = nn.Conv2d(24, 16, 1)
        self.project_norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of images [batch, 3, 8, 8]."""
        x = torch.relu(self.stem_norm(self.stem(x)))
        y = torch.relu(self.depthwise_norm(self.depthwise(torch.relu(self.grouped(x)))))
        x = torch.relu(x + self.project_norm(self.project(y)))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def coupled(seed: int = 0) -> Coupled:
    """Make a network with seeded weights and the statistics of a few random batches."""
    torch.manual_seed(seed)
    network = Coupled()
    with torch.no_grad():
        for norm in (network.stem_norm, network.depthwise_norm, network.project_norm):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
        for _ in range(5):
            network(images(16))
    return network.eval()


def images(count: int, seed: int | None = None) -> torch.Tensor:
    """Draw images [count, 3, 8, 8]."""
    generator = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 8, 8, generator=generator)


class Brightness:
    """A training: the mean of all channels and that of the first decide the class.

    With `stop`, it breaks off before the epoch of that number, counted over all steps.
    """

    def __init__(self, stop: int | None = None) -> None:
        self.x = images(64, seed=1)
        first, second = self.x.mean((1, 2, 3)) > 0, self.x[:, 0].mean((1, 2)) > 0
        self.y = first.long() + 2 * second.long()
        self.left = stop

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam, whose momentum would move weights that no gradient reaches."""
        return torch.optim.Adam(network.parameters(), 5e-3, weight_decay=1e-4)

    def epoch(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Train on all samples in a drawn order."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        network.train()
        for chosen in torch.randperm(len(self.x)).chunk(4):
            loss = nn.functional.cross_entropy(network(self.x[chosen]), self.y[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()


def check_resumes(
    make: Callable[[], nn.Module], steps: Callable[[], Sequence[Step]], stop: int, folder: Path
) -> None:
    """Break a run off before an epoch, go on, and compare with a run that was never stopped."""
    whole = run(make(), steps(), Brightness(), seed=3)
    with pytest.raises(KeyboardInterrupt):
        run(make(), steps(), Brightness(stop), seed=3, checkpoints=folder)
    resumed = run(make(), steps(), Brightness(), seed=3, checkpoints=folder)
    assert resumed.state_dict().keys() == whole.state_dict().keys()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
