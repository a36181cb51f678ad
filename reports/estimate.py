"""A value with its interval, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval; `reason` says why the value, or else the interval, is null."""

    value: float | None
    interval: Interval | None = None
    reason: str | None = None

    @classmethod
    def missing(cls, reason: str) -> Estimate:
        return cls(None, None, reason)

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit."""
        if self.value is None:
            return self
        interval = self.interval and (self.interval[0] * factor, self.interval[1] * factor)
        return Estimate(self.value * factor, interval, self.reason)
