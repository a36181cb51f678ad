"""Multi-stream: a request to every stream at once; a sample lasts until the last is answered."""

from __future__ import annotations

from agents import wire
from agents.scenarios import Flow
from agents.scenarios._blocks import measure
from agents.schedule import order

__all__ = ["flow", "measure", "order"]


def flow(scenario: wire.Scenario, room: int) -> Flow:
    """As many requests as streams."""
    streams = scenario["streams"] or room
    return Flow(streams, streams)
