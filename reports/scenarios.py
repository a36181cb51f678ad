"""The scenarios of a run: what its study says of each, and what one sample stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from agents import wire


def parameters(study: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The study's entry of a scenario; empty without one."""
    entries = study.get("scenarios") or []
    return next((entry for entry in entries if entry["name"] == name), {})


def inputs(study: Mapping[str, Any], cell: wire.Cell, launch: wire.CellLaunch) -> int | None:
    """Inputs that go in during one sample: batch times requests; None if the study hides them."""
    requests: int | None = 1
    if cell["scenario"] == wire.MULTI_STREAM:
        requests = launch["streams"]
    elif cell["scenario"] == wire.OFFLINE:
        requests = parameters(study, wire.OFFLINE).get("requests")
    return None if requests is None else cell["batch"] * requests


def elsewhere(scenario: str, measured_in: Collection[str]) -> str | None:
    """Why a cell of a scenario lacks a value that is measured in others; None if it does not."""
    if scenario in measured_in:
        return None
    *others, last = [name for name in wire.SCENARIOS if name in measured_in]
    if not others:
        return f"measured in the scenario {last}"
    return f"measured in the scenarios {', '.join(others)} and {last}"
