"""A row of results as it is filled: every null that goes in takes its reason along."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reports.estimate import Estimate
from reports.noise import UNREAD

Row = dict[str, Any]


class RowBuilder:
    """Collects the values of one row; every null that goes in takes its reason along."""

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self.row: Row = dict(identity)
        self.reasons: dict[str, str] = {}

    def put(self, path: str, value: Any, reason: str | None = None) -> None:
        """Set a value by its dotted path; a null must have a reason."""
        *parents, last = path.split(".")
        place = self.row
        for parent in parents:
            place = place.setdefault(parent, {})
        if not _sound(value):
            value, reason = None, reason or "it is not a finite number"
        place[last] = value
        if value is None:
            self.reasons[path] = reason or "not measured"

    def put_estimate(self, path: str, interval_path: str, estimate: Estimate) -> None:
        """Set a value and its interval."""
        self.put(path, estimate.value, estimate.reason)
        interval = list(estimate.interval) if estimate.interval else None
        self.put(interval_path, interval, estimate.reason)

    def put_all(
        self, path: str, estimates: Mapping[str, Estimate], reason: str | None = None
    ) -> None:
        """Set values under one path and their intervals under its `ci`; a null takes `reason`."""
        told = {name: because(estimate, reason) for name, estimate in estimates.items()}
        for name, estimate in told.items():
            self.put(f"{path}.{name}", estimate.value, estimate.reason)
        for name, estimate in told.items():
            interval = list(estimate.interval) if estimate.interval else None
            self.put(f"{path}.ci.{name}", interval, estimate.reason)

    def put_noise(
        self, noise: Mapping[str, Any], variance: Mapping[str, Any] | str, reason: str | None
    ) -> None:
        """Set what disturbed the cell, and how its variance splits or why it does not."""
        for key, value in noise.items():
            self.put(f"noise.{key}", value, reason or UNREAD[key])
        if isinstance(variance, str):
            self.put("variance", None, reason or variance)
        else:
            self.put("variance", variance)


def _sound(value: Any) -> bool:
    """Whether a number, or each end of an interval, is one that JSON can hold."""
    if isinstance(value, list):
        return all(map(_sound, value))
    return not isinstance(value, float) or math.isfinite(value)


def because(estimate: Estimate, reason: str | None) -> Estimate:
    """A missing estimate takes the cell's own reason, which comes first."""
    if estimate.value is None and reason:
        return Estimate.missing(reason)
    return estimate
