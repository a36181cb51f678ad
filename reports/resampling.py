"""The paired bootstrap over samples, for values that are no plain mean of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from reports.answers import Floats
from reports.estimate import CONFIDENCE, Estimate
from reports.shares import unseen, widened

RESAMPLES = 1000
SEED = 20_260_101
_AT_ONCE = 100  # resamples, to bound the memory


@dataclass(frozen=True)
class Resampled:
    """A value in 0..1 of one evaluation, and of its resamples."""

    value: float
    again: Floats
    samples: int


def weights(samples: int) -> Iterator[Floats]:
    """How often each sample occurs in each resample, [some, samples] at a time.

    The same for every evaluation of as many samples, so that differences are paired.
    """
    rng = np.random.default_rng(SEED)
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = rng.integers(0, samples, (_AT_ONCE, samples))
        drawn += samples * np.arange(_AT_ONCE)[:, None]
        counted = np.bincount(drawn.ravel(), minlength=_AT_ONCE * samples)
        yield counted.reshape(_AT_ONCE, samples).astype(np.float64)


def replicates(value: Callable[[Floats], Floats], samples: int) -> Floats:
    """The value of every resample; `value` takes weights [some, samples]."""
    return np.concatenate([value(drawn) for drawn in weights(samples)])


def mean_known(values: Floats, axis: int) -> Floats:
    """The mean of what is not NaN: of the classes that a resample holds; NaN if it holds none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis) / known.sum(axis))


def share(found: Resampled | str) -> Estimate:
    """A value in 0..1 with its percentile interval, at least as wide as `unseen`."""
    if isinstance(found, str):
        return Estimate.missing(found)
    return _estimate(found.value, found.again, found.samples, 0.0)


def drop(ours: Resampled | str, theirs: Resampled | str) -> Estimate:
    """The baseline's minus the candidate's on the same samples, paired by resample."""
    if isinstance(ours, str):
        return Estimate.missing(ours)
    if isinstance(theirs, str):
        return Estimate.missing(f"baseline: {theirs}")
    if ours.samples != theirs.samples:
        return Estimate.missing("the two answered different samples")
    again = theirs.again - ours.again
    return _estimate(theirs.value - ours.value, again, ours.samples, -1.0)


def _estimate(value: float, again: Floats, samples: int, least: float) -> Estimate:
    """Percentile interval (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(again, [tail, 1 - tail])
    return widened(Estimate(value, (float(low), float(high))), unseen(samples), least, 1.0)
