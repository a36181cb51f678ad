"""Single-stream: each request is sent when the last one is answered; a sample is one inference."""

from __future__ import annotations

from agents.scenarios import one_request as flow
from agents.scenarios._blocks import measure
from agents.schedule import order

__all__ = ["flow", "measure", "order"]
