"""Mean intersection over union of a segmentation.

Of each class, pixels right over pixels right, wrongly claimed or missed, summed over all samples;
the mean is over the classes that have a pixel in the truth (PASCAL VOC: Everingham et al.,
IJCV 88, 2010, section 4.3). Pixels that the dataset marks as ignored are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reports.answers import NO_MASKS, Answers, Floats
from reports.resampling import Resampled, mean_known, replicates

Pixels = Sequence[Sequence[Sequence[int]]]  # per sample and class: class, right, claimed, missed


def mean_overlap(right: Floats, claimed: Floats, missed: Floats, weights: Floats) -> Floats:
    """The value of resamples [some, samples]; the counts are [samples, classes]."""
    hits, truth = weights @ right, weights @ (right + missed)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(truth > 0, hits / (truth + weights @ claimed), np.nan)
    return mean_known(each, axis=1)


def counts(pixels: Pixels) -> tuple[Floats, Floats, Floats]:
    """Pixels right, wrongly claimed and missed, each [samples, classes that occur in the truth]."""
    rows = np.array([row for sample in pixels for row in sample], np.float64).reshape(-1, 4)
    of = np.repeat(np.arange(len(pixels)), [len(sample) for sample in pixels])
    classes, position = np.unique(rows[:, 0], return_inverse=True)
    shape = (len(pixels), classes.size)
    place = of * classes.size + position
    right, claimed, missed = (
        np.asarray(np.bincount(place, each, math.prod(shape)).reshape(shape), np.float64)
        for each in rows[:, 1:].T
    )
    real = (right + missed).any(axis=0)
    return right[:, real], claimed[:, real], missed[:, real]


def point(pixels: Pixels) -> float | None:
    """The value of a set without an interval; null without any pixel of a class."""
    found = counts(pixels)
    if not found[0].shape[1]:
        return None
    return float(mean_overlap(*found, np.ones((1, len(pixels))))[0])


def segmented(found: Answers) -> Resampled | str:
    """What an evaluation segmented in the clean set, or why that is not known."""
    if found.clean is None:
        return found.reason or NO_MASKS
    pixels = found.clean["pixels"]
    if pixels is None:
        return found.clean["reason"] or NO_MASKS
    value = point(pixels)
    if value is None:
        return "the dataset's masks hold no class"
    made = counts(pixels)
    again = replicates(lambda weights: mean_overlap(*made, weights), len(pixels))
    return Resampled(value, again, len(pixels))
