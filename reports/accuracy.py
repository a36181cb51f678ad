"""Accuracy of an evaluation, and its drop against the baseline on the same labelled samples."""

from __future__ import annotations

from reports.answers import Answers
from reports.estimate import Estimate
from reports.shares import exact_share, paired_difference, score_share


def accuracy(found: Answers, name: str) -> Estimate:
    """The share of right answers with its interval."""
    if name not in found.right:
        return Estimate.missing(found.reasons[name])
    right = found.right[name]
    return score_share(int(right.sum()), int(right.size))


def changed(candidate: Answers, baseline: Answers, name: str) -> tuple[int, int] | str:
    """How many samples only the baseline and only the candidate gets right, or why not known."""
    if name not in candidate.right:
        return candidate.reasons[name]
    if name not in baseline.right:
        return f"baseline: {baseline.reasons[name]}"
    ours, theirs = candidate.right[name], baseline.right[name]
    return int((theirs & ~ours).sum()), int((ours & ~theirs).sum())


def drop(candidate: Answers, baseline: Answers, name: str) -> Estimate:
    """How many of the same samples fewer the candidate gets right, as a share, paired."""
    counts = changed(candidate, baseline, name)
    if isinstance(counts, str):
        return Estimate.missing(counts)
    return paired_difference(*counts, int(candidate.right[name].size))


def agreement(candidate: Answers, baseline: Answers) -> Estimate:
    """The share of samples with the same best class, right or wrong, with its exact interval.

    It needs no labels. A sample without finite scores agrees with nothing.
    """
    for found, whose in ((candidate, ""), (baseline, "baseline: ")):
        if found.best is None:
            return Estimate.missing(f"{whose}{found.unread or 'it gives no classes'}")
    ours, theirs = candidate.best, baseline.best
    if ours is None or theirs is None or ours.size != theirs.size:
        return Estimate.missing("the two answered different samples")
    same = (ours == theirs) & (ours >= 0)
    return exact_share(int(same.sum()), int(same.size))
