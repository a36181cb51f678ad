"""Two independent sets of launches, of two sessions: how far one lies from the other.

Nothing here knows how much a session differs from the next: with one session on each side that is
not in the data. The intervals hold for the launches of these two sessions only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.estimate import CONFIDENCE, Estimate
from reports.sequential import Statistic

Logs = Sequence[float]


def shift(first: Logs, second: Logs, statistic: Statistic) -> Estimate:
    """exp(second - first) with its 95% interval.

    `first` and `second` are logs, one a launch: their means are compared where the statistic of a
    metric is t, else all pairs of launches by rank, for tails have outliers.
    """
    if not first or not second:
        return Estimate.missing("no launch of one of the runs has both")
    return _welch(first, second) if statistic == "t" else _rank_sum(first, second)


def p_beyond(first: Logs, second: Logs, statistic: Statistic, margin: float) -> float:
    """Two-sided p-value of second - first being beyond -margin..margin, all in logs.

    Twice the smaller of two one-sided p-values: by Welch's test, or the rank-sum test (Mann and
    Whitney 1947). 1 where one launch a side proves nothing.
    """
    if min(len(first), len(second)) < 2:
        return 1.0
    one, other = np.asarray(first), np.asarray(second)
    tails = (other - margin, one), (one - margin, other)
    return min(1.0, 2 * min(_p_greater(*tail, statistic) for tail in tails))


def _p_greater(above: NDArray[np.float64], below: NDArray[np.float64], statistic: str) -> float:
    from scipy import stats  # slow to import, and few commands compare two sessions

    if statistic == "t":
        if not np.ptp(above) and not np.ptp(below):  # nothing varies, so nothing is by chance
            return float(above[0] <= below[0])
        found = stats.ttest_ind(above, below, equal_var=False, alternative="greater")
        return float(found.pvalue)
    return float(stats.mannwhitneyu(above, below, alternative="greater").pvalue)


def _welch(first: Logs, second: Logs) -> Estimate:
    """Difference of means with Welch's interval (Welch 1947; degrees of freedom: Satterthwaite)."""
    difference = float(np.mean(second) - np.mean(first))
    if min(len(first), len(second)) < 2:
        return Estimate(math.exp(difference), None, "1 launch; an interval needs 2 of each run")
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (first, second)]
    total = sum(parts)
    if total**2 < sys.float_info.min:  # nothing varies, or by less than can be squared
        return Estimate(math.exp(difference), (math.exp(difference), math.exp(difference)))
    freedom = total**2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (first, second), strict=True)
    )
    half = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total)
    return Estimate(
        math.exp(difference), (math.exp(difference - half), math.exp(difference + half))
    )


def _rank_sum(first: Logs, second: Logs) -> Estimate:
    """Median of all m n differences with the exact rank-sum interval.

    Hodges and Lehmann's estimate; the interval runs between the c-th smallest and the c-th largest
    difference, c the largest with P(U < c) <= alpha / 2 (Hollander, Wolfe and Chicken,
    Nonparametric Statistical Methods, 2014, section 4.3).
    """
    pairs = np.sort(np.subtract.outer(np.asarray(second), np.asarray(first)).ravel())
    estimate = math.exp(float(np.median(pairs)))
    tail = rank_sum_tail(len(first), len(second))
    depth = int(np.searchsorted(tail, (1 - CONFIDENCE) / 2 + 1e-12, side="right"))
    if depth == 0:
        counts = f"{len(first)} and {len(second)} launches"
        return Estimate(estimate, None, f"{counts} are too few for this interval")
    return Estimate(estimate, (math.exp(pairs[depth - 1]), math.exp(pairs[-depth])))


@cache
def rank_sum_tail(first: int, second: int) -> NDArray[np.float64]:
    """P(U <= c) for c = 0, 1, ... under the exact null distribution without ties.

    The largest of all belongs to either side: P(m, n) = m/(m+n) P(m-1, n) moved by n, and
    n/(m+n) P(m, n-1) (Mann and Whitney 1947).
    """
    size = first * second + 1
    row = [_unit(size) for _ in range(second + 1)]  # P(0, n): U is 0
    for m in range(1, first + 1):
        made = [_unit(size)]
        for n in range(1, second + 1):
            moved = np.concatenate([np.zeros(n), row[n][: size - n]])
            made.append((m * moved + n * made[n - 1]) / (m + n))
        row = made
    return np.cumsum(row[second])


def _unit(size: int) -> NDArray[np.float64]:
    found = np.zeros(size)
    found[0] = 1.0
    return found
