"""Area under the ROC curve: how well a score tells two kinds of samples apart."""

from __future__ import annotations

import math

import numpy as np

from reports.answers import NO_LABELS, Answers, Floats, unpacked
from reports.estimate import Estimate
from reports.shares import normal, unseen, widened

_EDGE = 1e-12


def area(higher: Floats, lower: Floats) -> Estimate:
    """P(a score of `higher` exceeds one of `lower`), ties counting half, with its interval.

    The interval holds every area A whose normal test with Hanley and McNeil's variance at A,
    A (1 - A) / (m n) (1 + (N - 1) ((1 - A) / (2 - A) + A / (1 + A))) with N = (m + n) / 2, does not
    reject (Newcombe, Statistics in Medicine 25, 2006, 559-573, method 5). It has a width at 1 too.
    """
    if not (higher.size and lower.size):
        return Estimate.missing("one of the two kinds has no samples")
    value = float(_placements(higher, lower)[0].mean())
    return Estimate(value, _interval(value, higher.size, lower.size))


def accuracy_area(found: Answers) -> Estimate:
    """The area of a two-class evaluation: the probability of class 1 against the labels."""
    parts = _parts(found)
    return Estimate.missing(parts) if isinstance(parts, str) else area(*parts)


def area_drop(candidate: Answers, baseline: Answers) -> Estimate:
    """The baseline's area minus the candidate's on the same samples, paired.

    DeLong's variance (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, 837-845), which is
    nothing when no order changed; so it is as wide at least as `unseen` of the smaller class.
    """
    ours, theirs = _parts(candidate), _parts(baseline)
    if isinstance(ours, str):
        return Estimate.missing(ours)
    if isinstance(theirs, str):
        return Estimate.missing(f"baseline: {theirs}")
    sizes = [part.size for part in ours]
    if sizes != [part.size for part in theirs]:
        return Estimate.missing("the two answered different samples")
    if min(sizes) < 2:
        return Estimate.missing("an interval needs 2 samples of each class")
    mine, base = _placements(*ours), _placements(*theirs)
    apart = [b - m for b, m in zip(base, mine, strict=True)]
    value = float(apart[0].mean())
    variance = sum(float(each.var(ddof=1)) / each.size for each in apart)
    half = normal() * math.sqrt(variance)
    return widened(Estimate(value, (value - half, value + half)), unseen(min(sizes)), -1.0, 1.0)


def _parts(found: Answers) -> tuple[Floats, Floats] | str:
    """The probabilities of class 1 of the samples of class 1 and of class 0."""
    if found.why_unlabelled or found.labels is None:
        return found.why_unlabelled or NO_LABELS
    clean = found.clean
    if clean is None or clean["positive"] is None:
        return "not a model of two classes"
    scores = unpacked(clean["positive"])
    if scores is None or scores.shape != found.labels.shape:
        return "its packed answers are damaged"
    if not np.isfinite(scores).all():
        return f"{int((~np.isfinite(scores)).sum())} samples gave NaN or infinite scores"
    positive, negative = scores[found.labels == 1], scores[found.labels == 0]
    if positive.size and negative.size and positive.size + negative.size == scores.size:
        return positive, negative
    return "the labels are not of the two classes 0 and 1"


def _placements(higher: Floats, lower: Floats) -> tuple[Floats, Floats]:
    """Of each of `higher` the share of `lower` below it; of each of `lower` that of `higher` above.

    Ties count half.
    """
    return _share_below(higher, lower), 1 - _share_below(lower, higher)


def _share_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    counts = ordered.searchsorted(values, "left") + ordered.searchsorted(values, "right")
    return np.asarray(counts / 2 / others.size)


def _interval(value: float, higher: int, lower: int) -> tuple[float, float]:
    from scipy import optimize  # slow to import, and few reports ask for an area

    z, pairs, more = normal(), higher * lower, (higher + lower) / 2 - 1

    def beyond(area: float, target: float) -> float:
        spread = 1 + more * ((1 - area) / (2 - area) + area / (1 + area))
        error = math.sqrt(area * (1 - area) * spread / pairs)
        return value - area - target * error

    # At 0 and 1 themselves the error is nothing, which is no end of an interval.
    near, far = min(value, 1 - _EDGE), max(value, _EDGE)
    low = optimize.brentq(beyond, 0.0, near, args=(z,)) if value > 0 else 0.0
    high = optimize.brentq(beyond, far, 1.0, args=(-z,)) if value < 1 else 1.0
    return float(low), float(high)
