"""Recall of each class, and what stands out among many classes without being chance.

The worst of many classes looks worse than it is, because it was chosen. So the intervals of all
classes hold together (Bonferroni), and those reported are for the extreme of the true values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.answers import Answers, Floats, Integers
from reports.estimate import CONFIDENCE, Interval
from reports.shares import exact_interval, paired_intervals

FEWEST_SAMPLES = 5  # a class with fewer is listed, but never called out


@dataclass(frozen=True)
class Extreme:
    """The class that stands out; the interval is that of the extreme true value of all classes."""

    cls: int
    value: float
    interval: Interval
    samples: int  # of the class

    def row(self, name: str) -> dict[str, Any]:
        """As it stands in a result."""
        return {
            "class": self.cls,
            name: self.value,
            "interval": list(self.interval),
            "samples": self.samples,
        }


@dataclass(frozen=True)
class Counts:
    """Samples of each class that occurs, and how many of them are right."""

    classes: Integers
    samples: Integers
    right: Integers

    @property
    def plenty(self) -> Integers:
        """Where the classes with enough samples stand."""
        return np.flatnonzero(self.samples >= FEWEST_SAMPLES)


def counts(found: Answers) -> Counts | str:
    """Count each class of an evaluation, or say why that cannot be."""
    if "top1" not in found.right or found.labels is None:
        return found.reasons["top1"]
    classes, position = np.unique(found.labels, return_inverse=True)
    right = np.bincount(position, found.right["top1"], classes.size)
    return Counts(classes, np.bincount(position), right.astype(np.int64))


def worst(found: Answers) -> Extreme | str:
    """The class with the lowest recall.

    Its interval is that of the lowest true recall: the least of the lower and the least of the
    upper ends of exact intervals that hold together.
    """
    counted = counts(found)
    if isinstance(counted, str):
        return counted
    kept = counted.plenty
    if not kept.size:
        return _too_few(counted)
    right, samples = counted.right[kept], counted.samples[kept]
    low, high = exact_interval(right, samples, together(kept.size))
    at = int(np.argmin(right / samples))
    ends = (float(low.min()), float(high.min()))
    recall = float(right[at] / samples[at])
    return Extreme(int(counted.classes[kept][at]), recall, ends, int(samples[at]))


def worst_loss(ours: Answers, theirs: Answers) -> Extreme | str:
    """The class that loses most recall against the baseline on the same samples.

    Its interval is that of the largest true loss, from Tango's intervals that hold together.
    """
    counted = _paired(ours, theirs)
    if isinstance(counted, str):
        return counted
    found, lost, gained = counted
    kept = found.plenty
    if not kept.size:
        return _too_few(found)
    samples = found.samples[kept]
    low, high = paired_intervals(lost[kept], gained[kept], samples, together(kept.size))
    loss = (lost - gained)[kept] / samples
    at = int(np.argmax(loss))
    ends = (float(low.max()), float(high.max()))
    return Extreme(int(found.classes[kept][at]), float(loss[at]), ends, int(samples[at]))


def per_class(ours: Answers, theirs: Answers | None) -> list[dict[str, Any]]:
    """Every class that occurs: recall with its own 95% interval, and its loss where known."""
    counted = counts(ours)
    if isinstance(counted, str):
        return []
    low, high = exact_interval(counted.right, counted.samples)
    losses = _losses(ours, theirs)
    return [
        {
            "class": int(cls),
            "samples": int(counted.samples[at]),
            "recall": float(counted.right[at] / counted.samples[at]),
            "ci": [float(low[at]), float(high[at])],
            "loss": None if losses is None else float(losses[0][at]),
            "loss_ci": None if losses is None else [float(losses[1][at]), float(losses[2][at])],
        }
        for at, cls in enumerate(counted.classes)
    ]


def together(classes: int) -> float:
    """The confidence of each of so many intervals that hold together at 95% (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / classes


def _losses(ours: Answers, theirs: Answers | None) -> tuple[Floats, Floats, Floats] | None:
    counted = _paired(ours, theirs) if theirs is not None else "no baseline"
    if isinstance(counted, str):
        return None
    found, lost, gained = counted
    return (lost - gained) / found.samples, *paired_intervals(lost, gained, found.samples)


def _paired(ours: Answers, theirs: Answers) -> tuple[Counts, Integers, Integers] | str:
    """The counts of each class with how many samples were lost and gained in it."""
    counted, other = counts(ours), counts(theirs)
    if isinstance(counted, str):
        return counted
    if isinstance(other, str):
        return f"baseline: {other}"
    mine, base = ours.right["top1"], theirs.right["top1"]
    position = np.unique(np.asarray(ours.labels), return_inverse=True)[1]
    size = counted.classes.size
    lost = np.bincount(position, base & ~mine, size).astype(np.int64)
    gained = np.bincount(position, mine & ~base, size).astype(np.int64)
    return counted, lost, gained


def _too_few(counted: Counts) -> str:
    most = int(counted.samples.max(initial=0))
    return f"no class has {FEWEST_SAMPLES} samples; the most of one is {most}"
