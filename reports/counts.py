"""How many cells and verdicts a run has of each kind, so that no page has to count for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reports.gates import Row

OUTCOMES = ("fail", "inconclusive", "pass")


def counts(rows: Sequence[Row], judged: Sequence[Row]) -> dict[str, Any]:
    """Of results: how many cells, and those without one; of verdicts: how many of each outcome.

    `by_waiver` are those of the passes that a waiver's ceiling may have let through.
    """
    return {
        "cells": len(rows),
        "without_result": sum(row["status"] != "ok" for row in rows),
        "verdicts": _outcomes(judged),
        "gates": [
            {"gate": gate, **_outcomes([row for row in judged if row["gate"] == gate])}
            for gate in dict.fromkeys(row["gate"] for row in judged)
        ],
    }


def _outcomes(judged: Sequence[Row]) -> dict[str, int]:
    found = Counter(row["verdict"] for row in judged)
    held = sum(row["verdict"] == "pass" and by_waiver(row) for row in judged)
    outcomes = {outcome: found[outcome] for outcome in OUTCOMES}
    return {"asked": len(judged), **outcomes, "by_waiver": held}


def by_waiver(row: Row) -> bool:
    """Whether a verdict is held to the ceiling of a waiver."""
    return bool(row["waiver"] and row["waiver"]["in_force"])
