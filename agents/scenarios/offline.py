"""Offline: all requests of a sample are there at once, and the streams take them one by one."""

from __future__ import annotations

from agents import wire
from agents.scenarios import Flow
from agents.scenarios._blocks import measure
from agents.schedule import order

__all__ = ["flow", "measure", "order"]


def flow(scenario: wire.Scenario, room: int) -> Flow:
    """The study's requests; with fewer of them than streams, some streams would have none."""
    return Flow(min(scenario["streams"] or room, scenario["requests"]), scenario["requests"])
