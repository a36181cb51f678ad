"""Many answers in one run: Holm's correction, so that chance alone does not give one of them.

With 50 gates at 1% each, two releases in five that meet every limit would see a wrong fail. Only
fail is corrected: a release passes when all its gates do, and that errs less than any one of them.
Gates that are decided at looks are one family, those that go by an interval another.
The words "faster" and "slower" are corrected alike over the comparisons of one metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scipy import special

from reports.estimate import CONFIDENCE, Estimate
from reports.gates import METRICS, Limit
from reports.sequential import ALPHA, Decision
from reports.shares import normal

# The error of calling any comparison of a metric a difference where there is none.
DIFFERENCE_ALPHA = 1 - CONFIDENCE


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those of at most alpha hold together with an error of at most alpha.

    Step-down: the i-th smallest of n (from 0) is multiplied by n - i, and none is smaller than one
    before it (Holm 1979). It assumes nothing about how the claims depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def proof_beyond(estimate: Estimate, limit: Limit, launches: int) -> float:
    """The one-sided p-value of "beyond the limit" that a 95% interval stands for.

    The distance in halves of the interval, the larger of its two, has the normal tail for a share,
    and Student's of the logs for what launches measured. A share's own score test is not taken: at
    0.01% it errs many times as often where few answers are wrong, and so would the smaller half
    where few changed; this errs less (tests/unit/test_gates_by_interval.py).
    """
    if estimate.value is None or estimate.interval is None:
        return 1.0
    of_launches = METRICS[limit.metric].unit != "share"
    scale = _log if of_launches else float
    value, low, high, bound = map(scale, (estimate.value, *estimate.interval, limit.value))
    distance = value - bound if limit.bound == "max" else bound - value
    half = max(value - low, high - value)
    if not (half > 0 and math.isfinite(distance)):
        return 0.0 if distance > 0 else 1.0
    if not of_launches:
        return float(special.ndtr(-normal() * distance / half))
    freedom = max(launches - 1, 1)
    reach = special.stdtrit(freedom, (1 + CONFIDENCE) / 2)
    return float(special.stdtr(freedom, -reach * distance / half))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def settle(decisions: Sequence[Decision], alpha: float = ALPHA) -> list[Decision]:
    """The final decisions of all gates of a run, when nothing more will be measured.

    A decision's p-value holds at any stop, since the looks share its error; so Holm may take the
    p-values of gates that stopped at different looks. Fails that Holm does not confirm become
    inconclusive; gates left open that it does confirm become fails, since each fail leaves more of
    the error to the others; a pass stays. A group stopped by a rule that counts all gates of the
    run (Rule.gates) loses no fail here.
    """
    adjusted = holm([decision.p_fail for decision in decisions])
    return [
        _settled(*pair, alpha, len(decisions)) for pair in zip(decisions, adjusted, strict=True)
    ]


def _settled(decision: Decision, adjusted: float, alpha: float, gates: int) -> Decision:
    if decision.verdict == "pass":
        return decision
    if adjusted <= alpha:
        reason = decision.reason
        if decision.verdict != "fail":
            reason = (
                f"proven beyond the limit by {decision.launches} launches, {gates} gates heeded"
            )
        return replace(decision, verdict="fail", reason=reason, next_look=None)
    if decision.verdict == "fail":
        reason = f"{decision.reason}, but not for {gates} gates at once"
        return replace(decision, verdict="inconclusive", reason=reason)
    return replace(decision, verdict="inconclusive", next_look=None)
