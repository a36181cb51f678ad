"""How many samples of a dataset a gate on accuracy takes: before measuring, and afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scipy import special

from reports.estimate import Estimate
from reports.gates import Limit
from reports.sequential import ALPHA
from reports.shares import fewest_unseen, normal, paired_variance, unseen

POWER = 0.9
MOST_SAMPLES = 10_000_000
_LEAST_CHANGE = 1e-6  # no dataset shows a smaller one
# Gates on a paired drop, and on a share that is best when every sample is right.
DROPS = frozenset(f"accuracy_{name}_drop" for name in ("top1", "top5", "map50", "miou", "auc"))
SHARES = frozenset({"accuracy_top1", "accuracy_top5", "accuracy_map50", "accuracy_miou"})
_COUNTED = "accuracy_top1_drop"  # the only drop whose changed answers a row counts


def undecidable(limit: Limit, samples: int) -> str | None:
    """Why a dataset is too small for a gate, whatever the model answers; null if it may do.

    Without one changed answer the interval of a drop still reaches z^2 / (n + z^2) (Tango 1998),
    and that of a share of which all are right falls to 1 less than that (Wilson 1927). `samples`
    are those of the dataset; for `accuracy_auc_drop` those of its smaller class.
    """
    reach = unseen(samples)
    if limit.metric in DROPS and limit.bound == "max" and limit.value < reach:
        enough = _enough(limit.value, "only one that is proven better can")
        return (
            f"with {samples} samples a variant that answers every one like the baseline may still "
            f"lose up to {reach:.2%}, so it cannot pass; {enough}"
        )
    if limit.metric in SHARES and limit.bound == "min" and limit.value > 1 - reach:
        enough = _enough(1 - limit.value, "no number of samples can")
        return (
            f"with {samples} samples a model that is right in all of them is proven to reach only "
            f"{1 - reach:.2%}, so it cannot pass; {enough}"
        )
    return None


def prescribe(
    estimate: Estimate, limit: Limit, row: Mapping[str, Any], gates: int = 1
) -> str | None:
    """How many samples an inconclusive gate on accuracy would have taken; null where unknown.

    n = ((z s_0 + z_power s_1) / (value - limit))^2 with 90% power, if the value is the true one.
    s_0 and s_1 are a sample's standard deviation if the limit and if the value were true: of a
    paired drop from the discordant samples (Nam, Biometrics 53, 1997, 1422-1430; at the limit as
    Tango has it), of others what explains the width of their interval. And never fewer than it
    takes if no answer changed. z is that of the 95% interval for a pass; a fail shares its error
    with that of so many gates.
    """
    samples = _samples(limit, row["accuracy"])
    if not samples or estimate.value is None or estimate.interval is None:
        return None
    at_limit, at_value = _spreads(estimate, limit, row["accuracy"], samples)
    beyond = (estimate.value > limit.value) == (limit.bound == "max")
    z = normal(1 - 2 * ALPHA / gates) if beyond else normal()
    reach = z * at_limit + float(special.ndtri(POWER)) * at_value
    distance = abs(estimate.value - limit.value)
    if reach**2 >= MOST_SAMPLES * distance**2:
        return f"the value lies on the limit: {MOST_SAMPLES:,} samples would not decide"
    needed = max(math.ceil((reach / distance) ** 2), _least(limit))
    whose = " of a class" if limit.metric.startswith("accuracy_recall") else ""
    return f"about {needed:,} samples{whose} would decide, if the value is the true one"


def _enough(change: float, otherwise: str) -> str:
    return f"{fewest_unseen(change):,} samples can" if change > _LEAST_CHANGE else otherwise


def _samples(limit: Limit, accuracy: Mapping[str, Any]) -> int | None:
    """The samples that a metric of accuracy comes from; null for other metrics."""
    name = limit.metric.removeprefix("accuracy_")
    if name == limit.metric:
        return None
    place = (accuracy[name] or {}) if name.startswith("recall") else accuracy
    found: int | None = place.get("samples")
    return found


def _spreads(
    estimate: Estimate, limit: Limit, accuracy: Mapping[str, Any], samples: int
) -> tuple[float, float]:
    """A sample's standard deviation if the limit and if the value were true."""
    lost, gained = accuracy["top1_lost"], accuracy["top1_gained"]
    value, ends = estimate.value or 0.0, estimate.interval or (0.0, 0.0)
    if limit.metric == _COUNTED and lost is not None:
        both = paired_variance([limit.value, value], lost, gained, samples)
        return math.sqrt(float(both[0])), math.sqrt(float(both[1]))
    half = ends[1] - value if limit.value > value else value - ends[0]
    spread = half / normal() * math.sqrt(samples)
    return spread, spread


def _least(limit: Limit) -> int:
    """The samples below which not even unchanged answers pass."""
    room = limit.value if limit.metric in DROPS else 1 - limit.value
    asked = limit.metric in DROPS or limit.metric in SHARES
    return fewest_unseen(room) if asked and _LEAST_CHANGE < room < 1 else 1
