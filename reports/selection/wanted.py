"""What a selection is asked for: constraints, an objective, prices and watts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reports.gates import METRICS, Limit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
PRICE, WATTS, ENERGY = "price_usd", "watts", "energy_mj"
SURE = 0.95  # from this probability on a claim is made
MOST_AXES = 3  # on more, nearly everything is on the front
# What a selection may ask for beside the metrics of gates.
FACTS: Mapping[str, tuple[str, str]] = {
    PRICE: ("USD", "price of the hardware, as given or else of its profile"),
    WATTS: ("W", "power of the hardware, as given or else the limit of its profile; not measured"),
    ENERGY: ("mJ", "energy of one inference"),
}
HIGHER = frozenset(
    {
        "throughput_ips",
        "throughput_ratio",
        "server_rate_ips",
        "sparsity",
        "accuracy_top1",
        "accuracy_top5",
        "accuracy_map50",
        "accuracy_miou",
        "accuracy_auc",
        "accuracy_agreement",
        "accuracy_recall_worst",
    }
)
NAMES = (*METRICS, *FACTS)


@dataclass(frozen=True)
class Declared:
    """A number that nobody measured, and who says so; or why there is none.

    One that is `at_most` is a limit: the real one may be lower.
    """

    value: float | None
    source: str
    at_most: bool = False


@dataclass(frozen=True)
class Wanted:
    """The question: limits to keep, weights to choose by, and what the hardware costs.

    `objective` has a weight for each metric; `prices` are scenarios, each with the price of every
    hardware in USD; the first is the one that the answer is about.
    """

    limits: Sequence[Limit]
    objective: Mapping[str, float]
    delta: float = 0.05
    axes: Sequence[str] = ()
    prices: Mapping[str, Mapping[str, Declared]] = field(default_factory=lambda: {"prices": {}})
    watts: Mapping[str, Declared] = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        """Every metric that the question names."""
        named = [*(limit.metric for limit in self.limits), *self.objective, *self.axes]
        return list(dict.fromkeys(named))

    @property
    def fronts(self) -> list[str]:
        """The axes of the Pareto front: as asked, or the objective's, the price, the limits'."""
        price = [PRICE] * (PRICE in self.metrics)
        named = [*self.objective, *price, *(limit.metric for limit in self.limits)]
        return list(dict.fromkeys(self.axes or named))[:MOST_AXES]


def unit(metric: str) -> str:
    """The unit of a metric of a selection."""
    return FACTS[metric][0] if metric in FACTS else METRICS[metric].unit


def badness(metric: str, values: Floats | float) -> Floats:
    """Values on a scale on which more is worse and 0.01 is one percent.

    Shares count as they are, so that a point weighs as much as a percent of time; of all else it is
    the log, on which a ratio is a distance.
    """
    sign = -1.0 if metric in HIGHER else 1.0
    array = np.asarray(values, dtype=np.float64)
    if unit(metric) == "share":
        return np.asarray(sign * array)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sign * np.log(array))


def within(limit: Limit, values: Floats | float) -> Bools:
    """Which values keep a limit."""
    array = np.asarray(values, dtype=np.float64)
    return np.asarray(array <= limit.value if limit.bound == "max" else array >= limit.value)


def excess(limit: Limit, value: float) -> float:
    """How far beyond a limit a value is: relative, of shares absolute; 0 if it keeps it."""
    if bool(within(limit, value)):
        return 0.0
    difference = abs(value - limit.value)
    relative = unit(limit.metric) != "share" and limit.value != 0
    return difference / abs(limit.value) if relative else difference
