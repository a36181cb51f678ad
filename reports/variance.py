"""Where the noise of a cell comes from: within blocks, between blocks, between launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.stats import Samples

LEVELS = ("within_block", "between_blocks", "between_launches")
Launch = Sequence[Samples]  # its blocks


@dataclass(frozen=True)
class Variance:
    """Variance of log time, split by level; its root is about the relative standard deviation."""

    within_block: float
    between_blocks: float
    between_launches: float
    truncated: tuple[str, ...] = ()  # levels whose estimate was negative and is given as 0

    @property
    def total(self) -> float:
        """The variance of one sample of an unknown launch."""
        return self.within_block + self.between_blocks + self.between_launches

    @property
    def shares(self) -> dict[str, float] | None:
        """What each level contributes; the shares add to 1. None if nothing varies."""
        if not self.total > 0:
            return None
        return {level: getattr(self, level) / self.total for level in LEVELS}


def split(launches: Sequence[Launch]) -> Variance | str:
    """Variance components of log time of one cell, or why there are none.

    y = mean + launch + block in launch + sample in block, all random and independent. Mean squares
    are set equal to their expectations, for unequal numbers too (method of moments; Searle,
    Casella and McCulloch, Variance Components, 1992, section 5.6). The estimate of a level is
    negative by chance when there is little of it, and is then given as 0, and said so.
    """
    filled = [logs for launch in launches if (logs := _logs(launch))]
    counts = [np.asarray([block.size for block in logs], dtype=np.int64) for logs in filled]
    groups, blocks = len(filled), sum(count.size for count in counts)
    samples = sum(int(count.sum()) for count in counts)
    if groups < 2 or blocks <= groups or samples <= blocks:
        return "needs 2 launches, one of them with 2 blocks, one of them with 2 samples"
    within, between, above = _sums_of_squares(filled, counts)
    raw = _components(
        within / (samples - blocks),
        between / (blocks - groups),
        above / (groups - 1),
        counts,
    )
    truncated = tuple(level for level, value in zip(LEVELS, raw, strict=True) if value < 0)
    block, launch = max(raw[1], 0.0), max(raw[2], 0.0)
    return Variance(raw[0], block, launch, truncated)


def _logs(launch: Launch) -> list[Samples]:
    return [np.log(np.asarray(block, dtype=np.float64)) for block in launch if len(block)]


def _sums_of_squares(
    launches: Sequence[Sequence[Samples]], counts: Sequence[NDArray[np.int64]]
) -> tuple[float, float, float]:
    """Around block means, of block means around launch means, of those around the grand mean."""
    values = np.concatenate([block for blocks in launches for block in blocks])
    of_blocks, of_launches = np.concatenate(counts), np.asarray([count.sum() for count in counts])
    means, centres = _means(values, of_blocks), _means(values, of_launches)
    around_block = values - np.repeat(means, of_blocks)
    around_launch = means - np.repeat(centres, [count.size for count in counts])
    around_all = centres - values.mean()
    return (
        float((around_block**2).sum()),
        float((of_blocks * around_launch**2).sum()),
        float((of_launches * around_all**2).sum()),
    )


def _means(values: Samples, sizes: NDArray[np.int64]) -> Samples:
    """The mean of each stretch of so many values."""
    means: Samples = np.add.reduceat(values, np.cumsum(sizes) - sizes) / sizes
    return means


def _components(
    within: float, between: float, above: float, counts: Sequence[NDArray[np.int64]]
) -> tuple[float, float, float]:
    """Solve E[within] = e, E[between] = e + k1 b, E[above] = e + k2 b + k3 a."""
    sizes = np.asarray([count.sum() for count in counts], dtype=np.float64)
    squares = np.asarray([(count.astype(np.float64) ** 2).sum() for count in counts])
    total, groups, blocks = sizes.sum(), sizes.size, sum(count.size for count in counts)
    in_launches = (squares / sizes).sum()
    k1 = (total - in_launches) / (blocks - groups)
    k2 = (in_launches - squares.sum() / total) / (groups - 1)
    k3 = (total - (sizes**2).sum() / total) / (groups - 1)
    block = (between - within) / k1
    return within, float(block), float((above - within - k2 * block) / k3)
