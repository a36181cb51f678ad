"""Draws of what a value may really be, made from the highest units that there are.

A unit is a board, else a session, else a launch. Each draw weighs every unit anew and the same for
all metrics and all candidates of the hardware, so that what was measured together stays together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from reports.estimate import CONFIDENCE, Estimate
from reports.selection.wanted import HIGHER, Floats

DRAWS = 4000
RESAMPLED_FROM = 8  # units; fewer hold too little of their distribution to be resampled
_FARTHEST = 50.0  # of a log: with two units a draw can be anywhere
_EDGE = 1e-12
_POISSON = special.pdtr(np.arange(40), 1.0)


@dataclass(frozen=True)
class Doubt:
    """A metric of a candidate: its estimate, and what its uncertainty comes from.

    `logs` has the log of the value of each unit. Without units it is the estimate's interval: of
    samples (`launches` 0), or of so many launches. An `exact` value has no uncertainty.
    """

    estimate: Estimate
    logs: Mapping[str, float] = field(default_factory=dict)
    launches: int = 0
    exact: bool = False

    @property
    def open(self) -> str | None:
        """Why nothing can be said for sure; null if it can."""
        if self.estimate.value is None:
            return self.estimate.reason or "not measured"
        if self.exact or self.estimate.interval is not None:
            return None
        return f"no interval: {self.estimate.reason or 'too little was measured'}"


class Drawing:
    """Makes draws; the same key gives the same numbers, whatever else is drawn."""

    def __init__(self, count: int = DRAWS) -> None:
        self.count = count
        self._known: dict[tuple[str, object], Floats] = {}

    def of(self, place: str, variant: str, key: str, metric: str, doubt: Doubt) -> Floats | None:
        """Draws of a value [draws]; null where nothing is known of its uncertainty."""
        value = doubt.estimate.value
        if value is None or doubt.open:
            return None
        if doubt.exact:
            return np.full(self.count, value)
        if doubt.logs:
            return self._of_units(place, value, doubt.logs)
        if doubt.launches:
            return self._of_launches(f"{place}/{key}/{metric}", doubt)
        return self._of_samples(f"samples/{variant}", metric, doubt.estimate)

    def _of_units(self, place: str, value: float, logs: Mapping[str, float]) -> Floats:
        """value * exp of sum_u z_u (x_u - mean) / sqrt(m (m - 1)) over chi_(m - 1).

        The z_u have mean 0 and variance 1. From 8 units on they are Poisson(1) - 1: how often a
        resample holds the unit (Hanley and MacGibbon, Computer Methods and Programs in Biomedicine
        83, 2006). Below they are normal, which gives Student's t of m - 1 degrees, jointly for all
        metrics. Either way the standard deviation of the units is itself an estimate: hence chi.
        """
        count = len(logs)
        away = np.fromiter(logs.values(), np.float64) - np.mean(list(logs.values()))
        resampled = count >= RESAMPLED_FROM
        weights = np.stack([self._weights(f"{place}/{unit}", resampled) for unit in logs])
        moved = away @ weights / math.sqrt(count * (count - 1)) / self._chi(place, count - 1)
        return np.asarray(value * np.exp(np.clip(moved, -_FARTHEST, _FARTHEST)))

    def _weights(self, key: str, resampled: bool) -> Floats:
        """The same draw is high in both kinds, so that units in common stay so."""

        def made() -> Floats:
            uniform = self._uniform(key)
            if resampled:
                return np.asarray(np.searchsorted(_POISSON, uniform) - 1.0, np.float64)
            return np.asarray(special.ndtri(uniform))

        return self._once(key, resampled, made)

    def _chi(self, place: str, degrees: int) -> Floats:
        """The root of chi-squared over its degrees, for all that share a place."""

        def made() -> Floats:
            uniform = self._uniform(f"{place}/spread")
            return np.asarray(np.sqrt(special.gammaincinv(degrees / 2, uniform) * 2 / degrees))

        return self._once(f"{place}/spread", degrees, made)

    def _of_launches(self, key: str, doubt: Doubt) -> Floats:
        """Student's t of the launches, scaled to the interval's ends, on the log where it is."""
        degrees = max(1, doubt.launches - 1)
        steps = special.stdtrit(degrees, self._uniform(key))
        return _stretched(doubt.estimate, steps / special.stdtrit(degrees, (1 + CONFIDENCE) / 2))

    def _of_samples(self, key: str, metric: str, estimate: Estimate) -> Floats:
        """Normal on either side of the value, scaled to the interval's ends.

        One draw is better or worse in all metrics of a variant at once. Variants are drawn apart
        though they answered the same samples, which overstates the doubt between them.
        """
        steps = special.ndtri(self._uniform(key)) / special.ndtri((1 + CONFIDENCE) / 2)
        return _stretched(estimate, steps if metric in HIGHER else -steps, linear=True)

    def _uniform(self, key: str) -> Floats:
        seed = int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8], "big")
        return np.clip(np.random.default_rng(seed).random(self.count), _EDGE, 1 - _EDGE)

    def _once(self, key: str, kind: object, made: Callable[[], Floats]) -> Floats:
        if (key, kind) not in self._known:
            self._known[key, kind] = made()
        return self._known[key, kind]


def _stretched(estimate: Estimate, steps: Floats, linear: bool = False) -> Floats:
    """The value moved by steps, of which -1 and 1 reach the interval's ends."""
    value, ends = estimate.value, estimate.interval
    if value is None or ends is None:
        raise ValueError("an estimate without interval has no draws")
    if linear or min(value, *ends) <= 0:
        down, up = value - ends[0], ends[1] - value
        return np.asarray(value + steps * np.where(steps < 0, down, up))
    down, up = math.log(value / ends[0]), math.log(ends[1] / value)
    moved = steps * np.where(steps < 0, down, up)
    return np.asarray(value * np.exp(np.clip(moved, -_FARTHEST, _FARTHEST)))
