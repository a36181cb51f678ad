"""Mean average precision of a detector at an overlap (IoU) of one half.

Average precision is the area under the precision envelope over all points of recall (PASCAL VOC
from 2010 on: Everingham et al., IJCV 111, 2015, section 4.1), not at 101 points as COCO's and
Ultralytics' tools read it: on the same boxes those differ by up to a point. Boxes are matched as
COCO does: within a sample and class, from the best score down, each takes the free truth that it
overlaps most, if by at least one half. The mean is over the classes that have a truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.answers import NO_BOXES, Answers, Floats, Integers, Right, Truths
from reports.resampling import Resampled, mean_known, replicates

OVERLAP = 0.5


@dataclass(frozen=True)
class Curve:
    """What one class's average precision needs, by descending score."""

    truths: Floats  # [samples]
    hits: Integers  # sample of each match
    false: Any  # sparse [matches, samples]: false boxes between a match and the one before

    def precision(self, weights: Floats) -> Floats:
        """Average precision of resamples [some, samples]; NaN where no truth is left."""
        truths = weights @ self.truths
        taken = weights[:, self.hits]
        right = np.cumsum(taken, axis=1)
        wrong = np.cumsum((self.false @ weights.T).T, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.nan_to_num(right / (right + wrong))
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            found: Floats = (taken * envelope).sum(axis=1) / truths
        return found


def curves(boxes: Truths, truths: Truths) -> list[Curve]:
    """The curve of each class that has a truth."""
    mine, of_mine = _flat(boxes, 6)
    real, of_real = _flat(truths, 5)
    order = np.argsort(-mine[:, 1], kind="stable")
    mine, of_mine = mine[order], of_mine[order]
    matched = _matches(mine, of_mine, real, of_real)
    return [
        _curve(of_mine[own], matched[own], of_real[real[:, 0] == cls], len(truths))
        for cls in np.unique(real[:, 0])
        for own in [mine[:, 0] == cls]
    ]


def mean_precision(found: Sequence[Curve], weights: Floats) -> Floats:
    """Mean average precision of resamples, over the classes that have a truth in each."""
    return mean_known(np.array([curve.precision(weights) for curve in found]), axis=0)


def point(boxes: Truths, truths: Truths) -> float | None:
    """Mean average precision of a set without an interval; null without any truth."""
    found = curves(boxes, truths)
    return float(mean_precision(found, np.ones((1, len(truths))))[0]) if found else None


def detected(found: Answers) -> Resampled | str:
    """What an evaluation detected in the clean set, or why that is not known."""
    if found.boxes is None:
        return NO_BOXES
    if found.clean is None:
        return found.reason or "its boxes did not come back"
    boxes = found.clean["boxes"]
    if boxes is None:
        return found.clean["reason"] or "the model gives no boxes"
    if len(boxes) != len(found.boxes):
        return f"{len(boxes)} answers for {len(found.boxes)} samples with boxes"
    made, samples = curves(boxes, found.boxes), len(boxes)
    if not made:
        return "the dataset holds no box at all"
    value = float(mean_precision(made, np.ones((1, samples)))[0])
    return Resampled(value, replicates(lambda w: mean_precision(made, w), samples), samples)


def _flat(boxes: Truths, width: int) -> tuple[Floats, Integers]:
    """All boxes below each other, and the sample of each."""
    rows = [box for sample in boxes for box in sample]
    of = np.repeat(np.arange(len(boxes)), [len(sample) for sample in boxes])
    return np.array(rows, np.float64).reshape(-1, width), of


def _matches(mine: Floats, of_mine: Integers, real: Floats, of_real: Integers) -> Right:
    """Which boxes, in descending order of score, take a truth."""
    one, other = _pairs(_keys(mine, of_mine), _keys(real, of_real))
    overlap = _overlap(mine[one, 2:6], real[other, 1:5])
    near = overlap >= OVERLAP
    one, other, overlap = one[near], other[near], overlap[near]
    order = np.lexsort((-overlap, one))
    matched, taken = np.zeros(len(mine), bool), np.zeros(len(real), bool)
    for box, truth in zip(one[order].tolist(), other[order].tolist(), strict=True):
        if not (matched[box] or taken[truth]):
            matched[box] = taken[truth] = True
    return matched


def _keys(boxes: Floats, of: Integers) -> Integers:
    """One number for each sample and class."""
    return of * (1 << 32) + boxes[:, 0].astype(np.int64)


def _pairs(mine: Integers, real: Integers) -> tuple[Integers, Integers]:
    """All pairs of a box and a truth with equal keys, as two lists of positions."""
    order = np.argsort(real, kind="stable")
    first = np.searchsorted(real[order], mine, "left")
    count = np.searchsorted(real[order], mine, "right") - first
    one = np.repeat(np.arange(mine.size), count)
    within = np.arange(one.size) - np.repeat(np.cumsum(count) - count, count)
    return one, order[np.repeat(first, count) + within]


def _overlap(one: Floats, other: Floats) -> Floats:
    """Intersection over union of pairs of boxes x1, y1, x2, y2."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    both = np.maximum(sides, 0).prod(axis=1)
    union = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1)
    return np.asarray(np.divide(both, union - both, out=np.zeros_like(both), where=union > both))


def _curve(samples: Integers, matched: Right, of_truths: Integers, total: int) -> Curve:
    from scipy import sparse  # slow to import, and few reports ask for boxes

    hits = samples[matched]
    # A false box counts from the next match on; those after the last match change nothing.
    following = np.cumsum(matched)
    false = ~matched & (following < hits.size)
    ones = np.ones(int(false.sum()))
    place: Any = (ones, (following[false], samples[false]))
    between: Any = sparse.csr_array(place, (hits.size, total))
    return Curve(np.bincount(of_truths, minlength=total).astype(np.float64), hits, between)
