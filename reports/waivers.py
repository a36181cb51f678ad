"""Waivers: for one cell, until a day, another limit takes the place of a gate's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents import wire
from reports.gates import Limit, limits

# What names a cell; an axis that a waiver leaves out has only one value in its study.
AXES = ("device", "variant", "runtime", "precision", "batch", "threads", "scenario")
Waiver = Mapping[str, Any]


def waiver_of(study: Mapping[str, Any], gate: Limit, device: str, cell: wire.Cell) -> Waiver | None:
    """The waiver of a gate for a cell, whether it is in force or has ended."""
    place = {"device": device, **cell}
    for waiver in study.get("waivers") or []:
        same_gate = waiver["metric"] == gate.metric and waiver.get(gate.bound) is not None
        if same_gate and all(waiver.get(axis) in (None, place[axis]) for axis in AXES):
            found: Waiver = waiver
            return found
    return None


def in_force(waiver: Waiver, started: str) -> bool:
    """Whether a waiver holds for a run: `started` is its time, ISO 8601 in UTC.

    The day of the run decides, not that of the report, so that a report says the same for ever.
    """
    expires: str = waiver["expires"]
    return started[: len(expires)] <= expires


def ceiling(gate: Limit, waiver: Waiver) -> Limit:
    """The limit that holds instead of the gate's."""
    [wider] = limits([waiver])
    return replace(gate, value=wider.value)
