"""Made-up launches with a known truth, for tests of the statistics: seeded, no machine needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KINDS = ("normal", "heavy", "bimodal")
# Of the log ratio from launch to launch: what interleaved runs of identical models showed.
QUIET, USUAL, NOISY = 0.009, 0.012, 0.0155


def log_ratios(
    truth: float, trials: int, launches: int, seed: int, kind: str = "normal", spread: float = USUAL
) -> NDArray[np.float64]:
    """Per trial and launch the log of candidate over baseline, whose true ratio is `truth`."""
    rng = np.random.default_rng(seed)
    shape = (trials, launches)
    noise = spread * rng.standard_normal(shape)
    if kind == "heavy":  # Student's t with 3 degrees of freedom, of the same variance
        noise = spread / np.sqrt(3) * rng.standard_t(3, shape)
    if kind == "bimodal":  # one launch in seven of either side runs 3% slower throughout
        noise *= 0.75
        noise += 0.03 * (rng.random(shape) < 0.15) - 0.03 * (rng.random(shape) < 0.15)
    return np.log(truth) + noise


def drifting(
    truth: float, launches: int, rng: np.random.Generator, interleaved: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples [launch, block, sample] of both sides on a machine whose speed wanders.

    20 blocks of 10 a side, either ABBA throughout or all of A before all of B.
    """
    blocks, length = 20, 10
    level = np.exp(np.cumsum(0.01 * rng.standard_normal((launches, 2 * blocks)), axis=1))
    order = np.tile([0, 1, 1, 0], blocks // 2) if interleaved else np.repeat([0, 1], blocks)
    own = np.exp(0.006 * rng.standard_normal((launches, 2)))
    noise = np.exp(0.03 * rng.standard_exponential((launches, 2 * blocks, length)))
    times = 1.4e6 * level[:, :, None] * noise
    sides = [times[:, order == side] * own[:, side, None, None] for side in (0, 1)]
    return sides[0], sides[1] * truth


def nested(
    rng: np.random.Generator, counts: list[list[int]], sample: float, block: float, launch: float
) -> list[list[NDArray[np.float64]]]:
    """Blocks of times per launch whose logs have the given standard deviations."""
    whole = []
    for sizes in counts:
        centre = launch * rng.standard_normal()
        centres = centre + block * rng.standard_normal(len(sizes))
        whole.append(
            [
                np.exp(middle + sample * rng.standard_normal(size))
                for middle, size in zip(centres, sizes, strict=True)
            ]
        )
    return whole
