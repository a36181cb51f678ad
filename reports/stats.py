"""Samples in, estimates with intervals out: every formula of the reports, and where it comes from.

The unit is the launch. Samples inside one launch depend on each other (drift, clocks, caches), so
an interval built from them covers 3-50% instead of 95%; every interval here is across launches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.estimate import CONFIDENCE, Estimate
from reports.text import counted

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
NS_PER_MS = 1e6

Samples = NDArray[np.float64]


def smallest_sample(quantile: float, confidence: float = CONFIDENCE) -> int:
    """Fewest samples for which the largest one bounds the quantile from above.

    The two-sided order-statistic interval has a finite upper end only if
    1 - q^n >= 1 - (1 - confidence) / 2, so n >= ln((1 - confidence) / 2) / ln(q): 6 for p50, 72 for
    p95, 368 for p99 (Hahn and Meeker, Statistical Intervals, 1991, section 5.2).
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(quantile))


SMALLEST_SAMPLE = {name: smallest_sample(q) for name, q in QUANTILES.items()}
UNPREEMPTED = {"unpreempted_p50": "p50", "unpreempted_p95": "p95"}
# Inside one launch a quantile must at least lie between two of its samples: n >= 1 / (1 - q).
SMALLEST_LAUNCH = {name: math.ceil(round(1 / (1 - q), 9)) for name, q in QUANTILES.items()}


def kept_samples(blocks: Sequence[Sequence[int]], dropped: int = 1) -> Samples:
    """All samples of a launch in ms but the first of each block, which follows a switch.

    `dropped` is 0 where a block follows no switch: a cold start is a block of its own.
    """
    kept = [sample for block in blocks for sample in block[dropped:]]
    return np.asarray(kept, dtype=np.float64) / NS_PER_MS


def kept_switches(blocks: Sequence[Sequence[int]], dropped: int = 1) -> NDArray[np.int64]:
    """Involuntary switches of the samples that `kept_samples` keeps, aligned with them."""
    return np.asarray([count for block in blocks for count in block[dropped:]], dtype=np.int64)


def switches_by_block(
    blocks: Sequence[Sequence[int]], preempted: Sequence[Sequence[int | None]]
) -> list[list[int]]:
    """Involuntary switches of every sample, shaped as the blocks: 0 where no row names it.

    `preempted` has the rows [block, sample, switches, run delay] of `agents.wire.Noise`.
    """
    counts = [[0] * len(block) for block in blocks]
    for block, sample, switches, _ in preempted:
        if block is not None and sample is not None:
            counts[block][sample] = switches or 0
    return counts


def unpreempted(samples: Samples, switches: NDArray[np.int64]) -> Samples:
    """The samples during which the process never lost its core against its will."""
    if samples.shape != switches.shape:
        raise ValueError(f"{samples.size} samples but {switches.size} counts of switches")
    kept: Samples = samples[switches == 0]
    return kept


def quantile(samples: Samples, name: str) -> float:
    """The sample quantile, linear between order statistics (Hyndman and Fan 1996, type 7).

    The same as numpy's default, whose general code takes ten times as long on a launch's samples.
    """
    ordered = np.sort(samples)
    position = QUANTILES[name] * (ordered.size - 1)
    below = int(position)
    low, high = float(ordered[below]), float(ordered[min(below + 1, ordered.size - 1)])
    return min(low + (high - low) * (position - below), high)


def pooled_quantile(launches: Sequence[Samples], name: str) -> Estimate:
    """A quantile of all samples of a cell, with the launch-to-launch interval of this run."""
    pooled = _pool(launches)
    needed = SMALLEST_SAMPLE[name]
    if pooled.size < needed:
        return Estimate.missing(f"{pooled.size} samples; {name} needs {needed}")
    usable = [launch for launch in launches if launch.size >= SMALLEST_LAUNCH[name]]
    return log_t_estimate(quantile(pooled, name), [quantile(launch, name) for launch in usable])


def unpreempted_quantile(
    launches: Sequence[Samples], switches: Sequence[NDArray[np.int64]], name: str
) -> Estimate:
    """A quantile of the undisturbed samples, of its own name: what the code alone costs.

    It detects regressions best and never stands in for the wall-clock metric, which users wait
    for: dropping preempted samples takes away 97-99% of the tail. Long inferences are preempted
    more often, so it leans to the short ones.
    """
    kept = [unpreempted(*pair) for pair in zip(launches, switches, strict=True)]
    left, taken = sum(part.size for part in kept), sum(launch.size for launch in launches)
    if left < SMALLEST_SAMPLE[name]:
        reason = f"{left} of {taken} samples were not preempted; {name} needs "
        return Estimate.missing(f"{reason}{SMALLEST_SAMPLE[name]}")
    return pooled_quantile(kept, name)


def pooled_mean(launches: Sequence[Samples]) -> Estimate:
    """The mean of all samples of a cell, with the launch-to-launch interval of this run."""
    pooled = _pool(launches)
    if not pooled.size:
        return Estimate.missing("no samples")
    per_launch = [float(launch.mean()) for launch in launches if launch.size]
    return log_t_estimate(float(pooled.mean()), per_launch)


def smallest(launches: Sequence[Samples]) -> Estimate:
    """The fastest sample of a cell: an extreme, so it has no interval."""
    pooled = _pool(launches)
    if not pooled.size:
        return Estimate.missing("no samples")
    return Estimate(float(pooled.min()), None, "a minimum has no interval")


def median_of_launches(values: Sequence[float], what: str) -> Estimate:
    """The median over launches of something each launch has once: memory, load time."""
    if not values:
        return Estimate.missing(f"no launch reported {what}")
    return log_t_estimate(float(np.median(values)), values)


def log_t_estimate(
    value: float, per_launch: Sequence[float], confidence: float = CONFIDENCE
) -> Estimate:
    """`value` with value * exp(+-t s / sqrt(m)), s the standard deviation of the launches' logs.

    Student's t on logs across the m launches (times are positive and skewed, and their noise is
    proportional), centred on the reported value so that it always lies inside. It describes this
    run only: another day's clocks and temperatures are not in it.
    """
    half, reason = _t_half_width(per_launch, confidence)
    if half is None or not value > 0:
        return Estimate(value, None, reason or "a value of zero has no interval on a log scale")
    return Estimate(value, (value * math.exp(-half), value * math.exp(half)))


def t_ratio(log_ratios: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """exp of the mean log ratio of the launches, with Student's t interval: for p50.

    m launches, one log ratio each: mean +- t(m - 1) s / sqrt(m). Coverage measured on A/A runs:
    96-98%.
    """
    if not log_ratios:
        return Estimate.missing("no launch in which both ran")
    mean = float(np.mean(log_ratios))
    if len(log_ratios) < 2:
        return Estimate(math.exp(mean), None, "1 launch; an interval needs 2")
    half = _t(len(log_ratios), confidence) * _standard_error(log_ratios)
    return Estimate(math.exp(mean), (math.exp(mean - half), math.exp(mean + half)))


def signed_rank_ratio(log_ratios: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """exp of the Hodges-Lehmann estimate with the exact signed-rank interval: for p95 and p99.

    The estimate is the median of the m (m + 1) / 2 Walsh averages; the interval runs between their
    c-th smallest and c-th largest, c the largest with P(T+ < c) <= alpha / 2 (Hollander, Wolfe and
    Chicken, Nonparametric Statistical Methods, 2014, section 3.3). It needs 2^(1 - m) <= alpha:
    6 launches for 95%.
    """
    if not log_ratios:
        return Estimate.missing("no launch in which both ran")
    walsh = walsh_averages(log_ratios)
    estimate = math.exp(float(np.median(walsh)))
    rank = signed_rank_depth(len(log_ratios), confidence)
    if rank == 0:
        needed = fewest_for_signed_rank(confidence)
        return Estimate(
            estimate, None, f"{counted(len(log_ratios), 'launch')}; this interval needs {needed}"
        )
    return Estimate(estimate, (math.exp(walsh[rank - 1]), math.exp(walsh[-rank])))


def fewest_for_signed_rank(confidence: float = CONFIDENCE) -> int:
    """Fewest launches with an exact two-sided signed-rank interval: 2^(1 - m) <= alpha."""
    return math.ceil(1 - math.log2(round(1 - confidence, 12)))


@cache
def signed_rank_depth(launches: int, confidence: float = CONFIDENCE) -> int:
    """Largest c with P(T+ < c) <= alpha / 2 under the exact null distribution; 0 if none."""
    tail = signed_rank_tail(launches)
    return int(np.searchsorted(tail, (1 - confidence) / 2 + 1e-12, side="right"))


@cache
def signed_rank_tail(launches: int) -> Samples:
    """P(T+ <= c) for c = 0, 1, ... under the exact null distribution: each rank in or out."""
    ways = np.zeros(launches * (launches + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, launches + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
        ways /= 2
    return np.cumsum(ways)


def log_ratio(candidate: Samples, baseline: Samples, name: str) -> float | None:
    """log(candidate / baseline) of one launch's quantiles; None when one has too few samples."""
    if min(candidate.size, baseline.size) < SMALLEST_LAUNCH[name]:
        return None
    above, below = quantile(candidate, name), quantile(baseline, name)
    return math.log(above / below) if above > 0 and below > 0 else None


def _pool(launches: Sequence[Samples]) -> Samples:
    return np.concatenate(launches) if launches else np.empty(0)


@cache
def _t(launches: int, confidence: float) -> float:
    return float(special.stdtrit(launches - 1, (1 + confidence) / 2))


def _standard_error(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1) / len(values))


def _t_half_width(
    per_launch: Sequence[float], confidence: float
) -> tuple[float | None, str | None]:
    if len(per_launch) < 2:
        return None, f"{counted(len(per_launch), 'usable launch')}; an interval needs 2"
    if min(per_launch) <= 0:
        return None, "a launch with a value of zero has no place on a log scale"
    logs = [math.log(value) for value in per_launch]
    return _t(len(logs), confidence) * _standard_error(logs), None


def walsh_averages(values: Sequence[float]) -> Samples:
    """The m (m + 1) / 2 means of two launches, each with itself too, in order."""
    array = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(array.size)
    return np.sort((array[first] + array[second]) / 2)
