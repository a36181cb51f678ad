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
    the first of each block). None says that a verdict is possible, not that it is likely. A gate
    that can pass but, among so many, not fail is told of, too.
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
    to_fail = fewest_launches(rule.statistic, rule.fail_level)
    if to_fail > rule.looks[-1]:
        return (
            f"among {rule.gates} gates it can pass but not fail: for that {name} needs {to_fail} "
            f"launches; its last look is at {rule.looks[-1]}"
        )
    return None


def _wanted(name: str, rule: Rule, samples_per_launch: float) -> int:
    """Fewest launches that hold the samples of a quantile and can prove something about it."""
    pooled = math.ceil(stats.SMALLEST_SAMPLE.get(name, 1) / samples_per_launch)
    return max(pooled, fewest_launches(rule.statistic, rule.pass_level))


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
    effect = math.expm1(_reach(len(values), spread, rule, rule.fail_level))
    sides = _distances(values, rule)
    distance = max(sides.values())
    each = [launches_for(far, spread, rule, level) for level, far in sides.items()]
    able = [launches for launches in each if launches is not None]
    # Of two or three launches the reach is a number without a meaning, such as 10^8 percent.
    change = f"a change of {effect:.1%}" if effect <= 1 else "only a change of more than 100%"
    seen = f"this sample could see {change}"
    if not able:
        far = f"more than {MOST_LAUNCHES} launches would be needed"
        reason = f"{seen}; the value lies on the limit" if distance <= 0 else f"{seen}; {far}"
        return Prescription(effect, None, reason)
    needed = max(min(able), len(values) + 1)  # it is about: those that were taken did not do
    return Prescription(effect, needed, f"{seen}; about {needed} launches would decide")


def launches_for(distance: float, spread: float, rule: Rule, level: float) -> int | None:
    """Fewest launches that prove a log distance with 90% power; None above MOST_LAUNCHES.

    `level` is the error that one look may make in it.
    """
    start = max(fewest_launches(rule.statistic, level), rule.looks[0])
    if not distance > 0 or _reach(MOST_LAUNCHES, spread, rule, level) > distance:
        return None
    counts = range(start, MOST_LAUNCHES + 1)
    return next(m for m in counts if _reach(m, spread, rule, level) <= distance)


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


def _distances(values: Sequence[float], rule: Rule) -> dict[float, float]:
    """How far the estimate is on the right side for each verdict, by the error of one look in it.

    One gate alone has one error for both; then the nearer verdict counts.
    """
    estimate = estimate_at(values, rule.statistic, 1).value
    centre = rule.sign * math.log(estimate) if estimate else 0.0
    fail, passes = centre - rule.fail_beyond, rule.pass_within - centre
    if rule.fail_level == rule.pass_level:
        return {rule.fail_level: max(fail, passes)}
    return {rule.fail_level: fail, rule.pass_level: passes}


def _reach(launches: int, spread: float, rule: Rule, level: float) -> float:
    """The log distance that so many launches prove, at the level of one look, with 90% power."""
    factor = _t(level, launches) + _t(1 - POWER, launches)
    cost = SIGNED_RANK_COST if rule.statistic == "signed-rank" else 1.0
    return factor * spread * math.sqrt(cost / launches)


def _t(level: float, launches: int) -> float:
    return -float(special.stdtrit(launches - 1, level))
