"""Shares and their differences: exact, credible and paired intervals, for many at once."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from reports.estimate import CONFIDENCE, Estimate

Floats = NDArray[np.float64]
# Halvings of [-1, 1]: the ends are right to 1e-12.
_HALVINGS = 42


@cache
def normal(confidence: float = CONFIDENCE) -> float:
    """The normal quantile of a two-sided interval: 1.96 for 95%."""
    return float(special.ndtri((1 + confidence) / 2))


def unseen(samples: int, confidence: float = CONFIDENCE) -> float:
    """The largest change of a share that so many samples, none of which changed, leave possible.

    z^2 / (n + z^2): the half width of Tango's interval without a changed answer, and the distance
    from 1 of Wilson's when all are right. Intervals from resampling or from a variance, which
    shrink to nothing there, are made at least as wide.
    """
    z = normal(confidence)
    return z * z / (samples + z * z)


def fewest_unseen(change: float, confidence: float = CONFIDENCE) -> int:
    """Fewest samples, none of which changed, that exclude a larger change of a share (0..1)."""
    z = normal(confidence)
    return max(1, math.ceil(z * z * (1 - change) / change - 1e-9))


def exact_interval(
    right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Ends of the exact (Clopper-Pearson) intervals of shares right / total (Biometrika 26, 1934).

    Never covers less than its confidence, so it serves where many are taken together.
    """
    k, n = np.asarray(right, np.float64), np.asarray(total, np.float64)
    alpha = (1 - confidence) / 2
    low = np.where(k > 0, special.betaincinv(np.maximum(k, 0.5), n - k + 1, alpha), 0.0)
    high = np.where(k < n, special.betaincinv(k + 1, np.maximum(n - k, 0.5), 1 - alpha), 1.0)
    return low, high


def credible_interval(
    right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Ends of the credible intervals of shares under Jeffreys' prior Beta(1/2, 1/2).

    Equal tails; an end is 0 when none is right and 1 when all are (Brown, Cai and DasGupta,
    Statistical Science 16, 2001, section 4.1.2).
    """
    k, n = np.asarray(right, np.float64), np.asarray(total, np.float64)
    alpha = (1 - confidence) / 2
    low = np.where(k > 0, special.betaincinv(k + 0.5, n - k + 0.5, alpha), 0.0)
    high = np.where(k < n, special.betaincinv(k + 0.5, n - k + 0.5, 1 - alpha), 1.0)
    return low, high


def score_interval(
    right: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Ends of Wilson's score intervals of shares right / total (JASA 22, 1927)."""
    k, n = np.asarray(right, np.float64), np.asarray(total, np.float64)
    z2 = normal(confidence) ** 2
    centre = (k + z2 / 2) / (n + z2)
    half = np.sqrt(z2) / (n + z2) * np.sqrt(k * (n - k) / n + z2 / 4)
    return np.where(k > 0, centre - half, 0.0), np.where(k < n, centre + half, 1.0)


def score_share(right: int, total: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share with Wilson's score interval."""
    if not total:
        return Estimate.missing("no samples")
    low, high = score_interval(right, total, confidence)
    return Estimate(right / total, (float(low), float(high)))


def exact_share(right: int, total: int) -> Estimate:
    """A share with its exact interval."""
    if not total:
        return Estimate.missing("no samples")
    low, high = exact_interval(right, total)
    return Estimate(right / total, (float(low), float(high)))


def mean_of(values: NDArray[Any], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of one value a sample with Student's t interval."""
    if not values.size:
        return Estimate.missing("no samples")
    mean = float(values.mean())
    if values.size < 2:
        return Estimate(mean, None, "1 sample; an interval needs 2")
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    half = float(special.stdtrit(values.size - 1, (1 + confidence) / 2)) * error
    return Estimate(mean, (mean - half, mean + half))


def widened(estimate: Estimate, half: float, low: float, high: float) -> Estimate:
    """The estimate with an interval of at least +- half around it, within [low, high]."""
    if estimate.value is None or estimate.interval is None:
        return estimate
    first = min(estimate.interval[0], estimate.value - half)
    last = max(estimate.interval[1], estimate.value + half)
    ends = (min(max(low, first), estimate.value), max(min(high, last), estimate.value))
    return Estimate(estimate.value, ends, estimate.reason)


def paired_difference(
    lost: int, gained: int, total: int, confidence: float = CONFIDENCE
) -> Estimate:
    """(lost - gained) / total with Tango's score interval for paired shares."""
    if not total:
        return Estimate.missing("no labelled samples")
    low, high = paired_intervals(lost, gained, total, confidence)
    return Estimate((lost - gained) / total, (float(low), float(high)))


def paired_intervals(
    lost: ArrayLike, gained: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Ends of Tango's score intervals of (lost - gained) / total, for many pairs at once.

    An interval holds every difference that the score test (McNemar's, generalised) does not
    reject; unlike Wald's it has a width when no answer changed: z^2 / (n + z^2) either way
    (Tango, Statistics in Medicine 17, 1998, 891-908).
    """
    counts = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (lost, gained, total)))
    value = np.asarray((counts[0] - counts[1]) / counts[2])
    z, one = normal(confidence), np.ones_like(value)
    return _crossing(-one, value, counts, z), _crossing(value, one, counts, -z)


def _crossing(low: Floats, high: Floats, counts: Any, target: float) -> Floats:
    """The differences between `low` and `high` where the score, which falls, meets a target."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _tango_score(middle, *counts) > target
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low if target < 0 else high


def _tango_score(difference: Floats, lost: Floats, gained: Floats, total: Floats) -> Floats:
    """The score statistic of a paired difference; it falls as the difference rises."""
    variance = total * paired_variance(difference, lost, gained, total)
    distance = lost - gained - total * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        score = distance / np.sqrt(variance)
    return np.where(np.isnan(score), 0.0, score)


def paired_variance(
    difference: ArrayLike, lost: ArrayLike, gained: ArrayLike, total: ArrayLike
) -> Floats:
    """One sample's variance if the true paired difference were `difference`.

    The shares of lost and gained answers are then those that explain the counts best (Tango 1998,
    equation 6).
    """
    d, more, less, n = (np.asarray(x, np.float64) for x in (difference, lost, gained, total))
    a = 2 * n
    b = -more - less + (2 * n - more + less) * d
    c = -less * d * (1 - d)
    share = (np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    return np.asarray(np.maximum(2 * share + d * (1 - d), 0.0))
