"""What a sample could decide: said before measuring, and as a prescription afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from reports import stats
from reports.estimate import CONFIDENCE
from reports.gates import Launchwise
from reports.sequential import Rule, Statistic, estimate_at

POWER = 0.9
MOST_LAUNCHES = 1000
# The signed-rank test needs this many times the launches of the t test under normal noise
# (Lehmann, Nonparametrics, 1975, section 4.2).
SIGNED_RANK_COST = math.pi / 3


@dataclass(frozen=True)
class Prescription:
    """What an inconclusive gate lacked."""

    smallest_effect: float  # relative: 0.02 means that this sample could see a change of 2%
    launches: int | None  # that would decide; None if no affordable number would
    reason: str


def fewest_launches(statistic: Statistic, level: float) -> int:
    """Fewest launches that can prove anything at a one-sided level.

    Signed ranks: the smallest p-value of m launches is 2^-m, all on one side. t has no such floor
    but needs a spread: 2.
    """
    return max(2, math.ceil(-math.log2(level) - 1e-9)) if statistic == "signed-rank" else 2


def first_look(of: Launchwise, rule: Rule, samples_per_launch: float) -> int | None:
    """Launches at the first look that can say anything, whatever the values; None if none can.

    `samples_per_launch` is what counts of each launch, without the first of each block.
    """
    name = stats.UNPREEMPTED.get(of, of)
    if samples_per_launch < stats.SMALLEST_LAUNCH.get(name, 1):
        return None
    wanted = _wanted(name, rule, samples_per_launch)
    return next((look for look in rule.looks if look >= wanted), None)


def undecidable(of: Launchwise, rule: Rule, launches: int, samples_per_launch: float) -> str | None:
    """Why a gate that is decided at looks never can be by what is planned, and what it would take.

    `launches` is what effort and budget allow, `samples_per_launch` what counts of each (without
    the first of each block). None says that a verdict is possible, not that it is likely.
    """
    name = stats.UNPREEMPTED.get(of, of)
    needed = stats.SMALLEST_LAUNCH.get(name, 1)
    if samples_per_launch < needed:
        return f"{name} needs {needed} samples a launch; this plan takes {samples_per_launch:g}"
    able = first_look(of, rule, samples_per_launch)
    if able is None:
        wanted = _wanted(name, rule, samples_per_launch)
        return f"{name} needs {wanted} launches for a verdict; its last look is at {rule.looks[-1]}"
    if launches < able:
        return f"{name} needs {able} launches for a verdict; the budget allows {launches}"
    return None


def _wanted(name: str, rule: Rule, samples_per_launch: float) -> int:
    """Fewest launches that hold the samples of a quantile and can prove something about it."""
    pooled = math.ceil(stats.SMALLEST_SAMPLE.get(name, 1) / samples_per_launch)
    return max(pooled, _deciding(rule))


def _deciding(rule: Rule) -> int:
    """Fewest launches for either verdict: fail, the more demanding, counts for gates in plenty."""
    return fewest_launches(rule.statistic, rule.fail_level)


def prescribe(values: Sequence[float], rule: Rule) -> Prescription | None:
    """What an inconclusive gate would have taken; None when there is no spread to judge by.

    `smallest_effect` is what the last look would prove with 90% power: (t_alpha + t_power) s /
    sqrt(m) (Bloom 1995, minimum detectable effects). `launches` solves the same for the distance
    from the estimate to the nearest verdict's limit. Both assume that the spread of the launches
    stays as seen, that the estimate is the truth, and about normal noise.
    """
    if len(values) < 2:
        return None
    spread = spread_of(values, rule.statistic)
    effect = math.expm1(_reach(len(values), spread, rule))
    distance = _distance(values, rule)
    needed = launches_for(distance, spread, rule)
    seen = f"this sample could see a change of {effect:.1%}"
    if needed is None:
        far = f"more than {MOST_LAUNCHES} launches would be needed"
        reason = f"{seen}; the value lies on the limit" if distance <= 0 else f"{seen}; {far}"
        return Prescription(effect, None, reason)
    return Prescription(effect, needed, f"{seen}; about {needed} launches would decide")


def launches_for(distance: float, spread: float, rule: Rule) -> int | None:
    """Fewest launches that prove a log distance with 90% power; None above MOST_LAUNCHES."""
    start = max(_deciding(rule), rule.looks[0])
    if not distance > 0 or _reach(MOST_LAUNCHES, spread, rule) > distance:
        return None
    return next(m for m in range(start, MOST_LAUNCHES + 1) if _reach(m, spread, rule) <= distance)


def spread_of(values: Sequence[float], statistic: Statistic) -> float:
    """Standard deviation of the launches; for ranks the one that explains their interval.

    Tails that the ranks ignore would exaggerate it.
    """
    interval = estimate_at(values, statistic, 1).interval
    if statistic == "t" or interval is None:
        return float(np.std(values, ddof=1))
    half = math.log(interval[1] / interval[0]) / 2
    factor = _t((1 - CONFIDENCE) / 2, len(values)) * math.sqrt(SIGNED_RANK_COST)
    return half * math.sqrt(len(values)) / factor


def _distance(values: Sequence[float], rule: Rule) -> float:
    """How far the estimate is from the limit that it would have to be proven to be beyond."""
    estimate = estimate_at(values, rule.statistic, 1).value
    centre = rule.sign * math.log(estimate) if estimate else 0.0
    return max(centre - rule.fail_beyond, rule.pass_within - centre)


def _reach(launches: int, spread: float, rule: Rule) -> float:
    """The log distance that so many launches prove, at the level of one look, with 90% power."""
    factor = _t(rule.fail_level, launches) + _t(1 - POWER, launches)
    cost = SIGNED_RANK_COST if rule.statistic == "signed-rank" else 1.0
    return factor * spread * math.sqrt(cost / launches)


def _t(level: float, launches: int) -> float:
    return -float(special.stdtrit(launches - 1, level))
