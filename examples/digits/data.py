"""The data: scikit-learn's 8x8 digits, corrupted and enlarged to colour images by seeded draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from network import CLASSES, SIDE, Array
from scipy.ndimage import affine_transform
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # ships no types

Labels = npt.NDArray[np.int64]
Colours = npt.NDArray[np.float64]

HELD_OUT_PER_CLASS = 60
GRID = 16  # corruptions are drawn on this coarse grid, so that the eval file compresses well
LEVELS = 7
TURN, SHIFT = 20, 2
ZOOM, NOISE = (1.5, 2.2), (0.03, 0.2)
DESCRIPTION = (
    "sklearn.datasets.load_digits, 60 digits of each class held out for the eval set; random "
    "rotation, zoom, shift, noise, ink and paper colour on a 16x16 grid, enlarged to 96x96x3"
)


@dataclass(frozen=True)
class Digits:
    """Grey 8x8 digits from 0 to 1, with their labels."""

    images: Array
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


def split(seed: int) -> tuple[Digits, Digits]:
    """Return the training digits and the balanced held-out digits, which share none."""
    source = load_digits()
    images, labels = (source.images / 16).astype(np.float32), source.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out = np.concatenate(
        [order[labels[order] == digit][:HELD_OUT_PER_CLASS] for digit in range(CLASSES)]
    )
    train = np.setdiff1d(order, held_out)
    return Digits(images[train], labels[train]), Digits(images[held_out], labels[held_out])


def corrupt(images: Array, rng: np.random.Generator) -> Array:
    """Return one random view of each digit, NHWC from 0 to 1."""
    ink = np.stack([_place(image, rng) for image in images])
    noisy = ink + rng.standard_normal(ink.shape) * rng.uniform(*NOISE, (len(ink), 1, 1))
    strength = np.round(np.clip(noisy, 0, 1) * LEVELS)[..., None] / LEVELS
    paper_colour, ink_colour = _colours(len(images), rng)
    coloured = paper_colour + strength * (ink_colour - paper_colour)
    cell = SIDE // GRID
    small: Array = (np.round(coloured * 255) / 255).astype(np.float32)
    return small.repeat(cell, axis=1).repeat(cell, axis=2)


def write_eval(held_out: Digits, path: Path, seed: int) -> tuple[Array, Labels]:
    """Write the eval set: `x` is fed to the models as it is, `y` holds the labels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(held_out))
    x, y = corrupt(held_out.images[order], rng), held_out.labels[order]
    np.savez_compressed(path, x=x, y=y)
    return x, y


def _place(image: Array, rng: np.random.Generator) -> Array:
    angle, zoom = np.deg2rad(rng.uniform(-TURN, TURN)), rng.uniform(*ZOOM)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn / zoom
    centre = (GRID - 1) / 2 + rng.uniform(-SHIFT, SHIFT, 2)
    offset = (len(image) - 1) / 2 - matrix @ centre
    placed: Array = affine_transform(image, matrix, offset, (GRID, GRID), order=1)
    return placed


def _colours(count: int, rng: np.random.Generator) -> tuple[Colours, Colours]:
    paper = rng.uniform(0.0, 0.4, (count, 1, 1, 3))
    ink = paper + rng.uniform(0.25, 0.6, (count, 1, 1, 1))
    return paper, ink
