"""Accuracy of an evaluation, and its drop against the baseline on the same labelled samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from agents import wire
from reports.estimate import CONFIDENCE, Estimate
from reports.stats import proportion

TOP = {"top1": 1, "top5": 5}
Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """Which labelled samples an evaluation got right, by top1 and top5, or why nobody knows."""

    right: dict[str, Right]
    reasons: dict[str, str]

    @property
    def samples(self) -> int | None:
        return next((int(right.size) for right in self.right.values()), None)


def answers(event: wire.EvaluationEvent | None, labels: Sequence[int] | None) -> Answers:
    """The right answers of one evaluation, or the reason why there are none."""
    reason = _why_not(event, labels)
    if reason or event is None or event["top"] is None or labels is None:
        return Answers({}, dict.fromkeys(TOP, reason or "nothing was evaluated"))
    top = event["top"]
    classes = {index for sample in top for index in sample}
    right = {"top1": _right(top, labels, 1)}
    if len(classes) <= TOP["top5"]:
        reason = f"only {len(classes)} classes were ever among the best: top-5 says nothing"
        return Answers(right, {"top5": reason})
    return Answers(right | {"top5": _right(top, labels, 5)}, {})


def accuracy(found: Answers, name: str) -> Estimate:
    """The share of right answers with its interval."""
    if name not in found.right:
        return Estimate.missing(found.reasons[name])
    right = found.right[name]
    return proportion(int(right.sum()), int(right.size))


def drop(candidate: Answers, baseline: Answers | None, name: str) -> Estimate:
    """How many of the same samples fewer the candidate gets right, as a share, paired."""
    if baseline is None:
        return Estimate.missing("the baseline has no cell in this runtime and precision")
    if name not in candidate.right:
        return Estimate.missing(candidate.reasons[name])
    if name not in baseline.right:
        return Estimate.missing(f"baseline: {baseline.reasons[name]}")
    ours, theirs = candidate.right[name], baseline.right[name]
    lost, gained = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    return paired_difference(lost, gained, int(ours.size))


def paired_difference(
    lost: int, gained: int, total: int, confidence: float = CONFIDENCE
) -> Estimate:
    """(lost - gained) / total with Tango's score interval for paired proportions.

    The interval holds every difference that the score test (McNemar's, generalised) does not
    reject; unlike Wald's it has a width when no answer changed: z^2 / (n + z^2) either way
    (Tango, Statistics in Medicine 17, 1998, 891-908).
    """
    if not total:
        return Estimate.missing("no labelled samples")
    value = (lost - gained) / total
    z = float(stats.norm.ppf((1 + confidence) / 2))
    edge = 1 - 1e-12

    def beyond(difference: float, target: float) -> float:
        return _tango_score(difference, lost, gained, total) - target

    low, high = -1.0, 1.0
    if beyond(-edge, z) > 0:
        low = float(optimize.brentq(beyond, -edge, value, args=(z,)))
    if beyond(edge, -z) < 0:
        high = float(optimize.brentq(beyond, value, edge, args=(-z,)))
    return Estimate(value, (min(low, value), max(high, value)))


def _tango_score(difference: float, lost: int, gained: int, total: int) -> float:
    """The score statistic of a paired difference; it falls as the difference rises."""
    a = 2 * total
    b = -lost - gained + (2 * total - lost + gained) * difference
    c = -gained * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = total * (2 * share + difference * (1 - difference))
    distance = lost - gained - total * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _right(top: Sequence[Sequence[int]], labels: Sequence[int], best: int) -> Right:
    return np.array([label in row[:best] for row, label in zip(top, labels, strict=True)])


def _why_not(event: wire.EvaluationEvent | None, labels: Sequence[int] | None) -> str | None:
    if labels is None:
        return "the study has no labelled dataset"
    if event is None:
        return "its evaluation did not come back"
    if event["status"] != "ok" or event["top"] is None:
        return f"the evaluation {event['status']}: {event['reason'] or 'no answers came back'}"
    if len(event["top"]) != len(labels):
        return f"{len(event['top'])} answers for {len(labels)} labels"
    return None
