"""Training: one loop for the first training and for every fine-tuning, with optional masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from data import Digits, corrupt
from network import Network
from torch import nn

BATCH = 16
THREADS = 2
Masks = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one training runs; every random draw in it comes from the seed."""

    epochs: int
    rate: float
    seed: int


def deterministic(seed: int) -> None:
    """Fix torch's seed, threads and kernels: the same machine then gives the same weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)


def fit(network: Network, digits: Digits, recipe: Recipe, masks: Masks | None = None) -> None:
    """Train in place on fresh corruptions every epoch; masked weights stay zero."""
    deterministic(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch
    steps = recipe.epochs * (len(digits) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=steps, pct_start=0.15
    )
    for epoch in range(recipe.epochs):
        loss = _epoch(network, digits, rng, optimizer, schedule, masks or {})
        print(f"  epoch {epoch + 1}/{recipe.epochs}: loss {loss:.3f}", flush=True)
    network.eval()


def apply_masks(network: Network, masks: Masks) -> None:
    """Set the masked-out weights to exactly zero."""
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)


def _epoch(
    network: Network,
    digits: Digits,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    masks: Masks,
) -> float:
    views, order = corrupt(digits.images, rng), rng.permutation(len(digits))
    total, batches = 0.0, len(order) // BATCH
    for chosen in order[: batches * BATCH].reshape(batches, BATCH):
        x, y = torch.from_numpy(views[chosen]), torch.from_numpy(digits.labels[chosen])
        loss = nn.functional.cross_entropy(network(x), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        schedule.step()
        apply_masks(network, masks)
        total += loss.item()
    return total / batches
