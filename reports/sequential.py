"""When a gate has been measured enough, and what it then says: looks at fixed launch counts.

A gate says, in two sentences:

- fail: it is proven that the value is beyond the limit.
- pass: it is proven that the value is not beyond the limit by more than the tolerance.

"Proven" means with an error of at most 1%, over all looks together. The tolerance is what makes
every true value decidable: between the limit and the limit plus the tolerance both verdicts are
allowed, so that more launches always end in one. A ratio of exactly 1 is the one true value that
really occurs, with identical models; so a candidate that is slower than the baseline by less than
the tolerance never fails a gate that the baseline itself would pass. With a tolerance of 0 a value
at the limit stays inconclusive for ever.

The error is split evenly over the looks (Bonferroni). Pocock's boundary would save 5% of the
launches, measured, but it holds for normal means only; this split holds for the exact signed-rank
test too, and gives p-values that Holm's procedure may take at any stop (reports/multiplicity.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from reports import stats
from reports.estimate import CONFIDENCE, Estimate, Interval
from reports.text import counted

Verdict = Literal["pass", "fail", "continue", "inconclusive"]
Statistic = Literal["t", "signed-rank"]
Bound = Literal["max", "min"]
Looks = tuple[int, ...]

# Fewer than 7 launches prove nothing at 1% by signed ranks: 2^-7 < 0.01 < 2^-6.
QUICK: Looks = (7,)
# t proves 2% with 6 launches where their ratios vary by under 1%, as on a quiet board.
STANDARD: Looks = (6, 10, 14, 20)
THOROUGH: Looks = (6, 10, 14, 20, 28, 40, 60)
# Signed ranks prove nothing with fewer, at the level of one look of many.
RANKS_FROM = 10
ALPHA = 0.01
RATIO_TOLERANCE = 0.01
# A limit in ms is an agreement: what is beyond it is beyond it.
ABSOLUTE_TOLERANCE = 0.0
# The tails of p95 and p99 are heavy, so they take ranks; p50 and means take the sharper t.
STATISTICS: Mapping[str, Statistic] = {
    "p50": "t",
    "p95": "signed-rank",
    "p99": "signed-rank",
    "unpreempted_p50": "t",
    "unpreempted_p95": "signed-rank",
    "throughput": "t",
}
ESTIMATORS: Mapping[Statistic, Callable[..., Estimate]] = {
    "t": stats.t_ratio,
    "signed-rank": stats.signed_rank_ratio,
}


@dataclass(frozen=True)
class Rule:
    """How one gate is decided: its limit, its looks, and the errors that it may make."""

    limit: float
    bound: Bound = "max"
    statistic: Statistic = "t"
    looks: Looks = STANDARD
    tolerance: float = RATIO_TOLERANCE
    relative: bool = True  # the value is a ratio to the baseline, whose own value is 1
    alpha: float = ALPHA
    gates: int = 1  # how many verdicts the run gives: wrong fails add up over them

    @property
    def fail_level(self) -> float:
        """The error that one look may make in saying fail.

        One gate that fails stops the release, so the errors of all gates add up and are divided
        by their number: Holm's first step, after which a fail stands whatever the others say.
        """
        return self.pass_level / self.gates

    @property
    def pass_level(self) -> float:
        """The error that one look may make in saying pass.

        A release passes only if all its gates do, so wrong passes do not add up over the gates
        (intersection-union test: Berger 1982).
        """
        return self.alpha / len(self.looks)

    @property
    def fail_beyond(self) -> float:
        """The log beyond which fail is proven, as seen by a max gate (min gates are mirrored)."""
        limit = self._log_limit
        return max(limit, self._log_tolerance) if self.relative and limit >= 0 else limit

    @property
    def pass_within(self) -> float:
        """The log within which pass is proven, as seen by a max gate."""
        return self._log_limit + self._log_tolerance

    @property
    def sign(self) -> int:
        """1 for a max gate; -1 turns a min gate into one."""
        return 1 if self.bound == "max" else -1

    @property
    def _log_limit(self) -> float:
        return self.sign * (math.log(self.limit) if self.limit > 0 else -math.inf)

    @property
    def _log_tolerance(self) -> float:
        return math.log1p(self.tolerance)


@dataclass(frozen=True)
class Decision:
    """What the launches say about one gate at the last look that they reached.

    `estimate` is what the verdict rests on: `launches` launches at the `look`-th look (0: before
    the first), with the interval that holds the truth in 95% of the gates that stop like this one.
    """

    verdict: Verdict
    estimate: Estimate
    look: int
    launches: int
    reason: str
    next_look: int | None
    p_fail: float  # of the claim "beyond the limit", valid at any stop

    @property
    def interval(self) -> Interval | None:
        """The interval of the estimate."""
        return self.estimate.interval


def ratio_rule(limit: float, name: str, looks: Looks, bound: Bound = "max", gates: int = 1) -> Rule:
    """The rule of a gate on a quantile's ratio to the baseline: launches give log ratios."""
    statistic = STATISTICS[name]
    return Rule(limit, bound, statistic, able(looks, statistic), gates=gates)


def absolute_rule(
    limit: float, name: str, looks: Looks, bound: Bound = "max", gates: int = 1
) -> Rule:
    """The rule of a gate on a quantile itself: launches give logs of it.

    It speaks of the typical launch of this run. Launches that follow each other share clocks,
    temperature and load (correlation of their logs, measured: 0.5-0.9; of their ratios: under
    0.2), so the errors hold for a board that stays as it was, not for tomorrow's.
    """
    statistic = STATISTICS[name]
    seen = able(looks, statistic)
    return Rule(limit, bound, statistic, seen, ABSOLUTE_TOLERANCE, False, gates=gates)


def able(looks: Looks, statistic: Statistic) -> Looks:
    """The looks at which a statistic can prove something: the others would waste their error."""
    if statistic == "t" or looks[-1] < RANKS_FROM:
        return looks
    return tuple(launches for launches in looks if launches >= RANKS_FROM)


def decide(values: Sequence[float], rule: Rule) -> Decision:
    """The verdict on one gate, given one log ratio or log value for each launch, in order.

    The first look that proves something decides, and launches after it do not undo it; so the
    answer for the first n launches never depends on what came later. While "continue", launches
    up to `next_look` are needed; after the last look without proof, "inconclusive".
    """
    p_fail = 1.0
    taken = 0
    for launches in rule.looks:
        if launches > len(values):
            break
        taken += 1
        seen = rule.sign * np.asarray(values[:launches], dtype=np.float64)
        beyond = proof_above(seen, rule.fail_beyond, rule.statistic)
        p_fail = min(p_fail, beyond * len(rule.looks))
        if proof_above(-seen, -rule.pass_within, rule.statistic) <= rule.pass_level:
            return _decision("pass", values[:launches], rule, taken, p_fail)
        if p_fail <= rule.alpha / rule.gates:
            return _decision("fail", values[:launches], rule, taken, p_fail)
    verdict: Verdict = "continue" if taken < len(rule.looks) else "inconclusive"
    return _decision(verdict, values, rule, taken, p_fail)


def proof_above(values: stats.Samples, threshold: float, statistic: Statistic) -> float:
    """The one-sided p-value of the claim that the centre of the values is above a threshold.

    t: P(T > sqrt(m) (mean - threshold) / s) with m - 1 degrees of freedom. signed-rank: of T+, the
    number of Walsh averages above the threshold, exactly (Hollander, Wolfe and Chicken 2014,
    section 3.1). It is at most a level where the one-sided bound of that level is above, and only
    there.
    """
    if values.size < 2:
        return 1.0
    if statistic == "signed-rank":
        walsh = stats.walsh_averages(values.tolist())
        return float(stats.signed_rank_tail(values.size)[np.count_nonzero(walsh <= threshold)])
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)
    if error == 0:
        return 0.0 if mean > threshold else 1.0
    return float(special.stdtr(values.size - 1, (threshold - mean) / error))


def estimate_at(values: Sequence[float], statistic: Statistic, look: int) -> Estimate:
    """The estimate with the 95% interval that holds at a stop chosen by the data.

    Stopping when the bound crosses a limit favours samples that lean beyond it, so the fixed-size
    interval covers 88-96% at the stop. With an error of 5% / sqrt(k) at the k-th look the coverage
    at the stop is 93-97%, by simulation (tests/unit/test_sequential.py), and 92% at worst, with the
    truth amid the limits and much noise; a first look is a fixed size and keeps 5%. A milder form
    of the repeated confidence intervals of Jennison and Turnbull (1989), which hold at all looks at
    once and so are too wide at the stop. All this is for launches that do not depend on each other.
    """
    confidence = 1 - (1 - CONFIDENCE) / math.sqrt(max(look, 1))
    return ESTIMATORS[statistic](values, confidence)


def _decision(
    verdict: Verdict, values: Sequence[float], rule: Rule, look: int, p_fail: float
) -> Decision:
    coming = rule.looks[look] if verdict == "continue" else None
    estimate = estimate_at(values, rule.statistic, look)
    reason = _reason(verdict, len(values), rule)
    return Decision(verdict, estimate, look, len(values), reason, coming, p_fail)


def _reason(verdict: Verdict, launches: int, rule: Rule) -> str:
    over, under = ("above", "below") if rule.bound == "max" else ("below", "above")
    beyond = f"{over} {_natural(rule.fail_beyond, rule)}"
    within = f"{under} {_natural(rule.pass_within, rule)}"
    if verdict == "fail":
        return f"proven {beyond} by {counted(launches, 'launch')}"
    if verdict == "pass":
        return f"proven {within} by {counted(launches, 'launch')}"
    ending = "" if verdict == "inconclusive" else " yet"
    prove = "launch proves" if launches == 1 else "launches prove"
    return f"{launches} {prove} neither {beyond} nor {within}{ending}"


def _natural(log: float, rule: Rule) -> str:
    return f"{math.exp(rule.sign * log):.4g}"
