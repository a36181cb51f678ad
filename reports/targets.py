"""Targets: what the variant to ship must meet. Unlike gates they stop nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.families import baseline_of
from reports.gates import METRICS, Limit, Outcome, Ratios, judge, limits

Row = Mapping[str, Any]


def targets(study: Row) -> list[Limit]:
    """The study's targets; one that sets none has its gates for targets."""
    return limits(study.get("targets") or study.get("gates") or [])


def judge_row(row: Row, limit: Limit, ratios: Ratios, study: Row) -> tuple[Outcome, str]:
    """The verdict on one cell by its interval, and why; a baseline has lost nothing to itself."""
    metric = METRICS[limit.metric]
    if not limit.asks(row["scenario"]):
        return "pass", "this scenario does not measure it"
    if metric.against_baseline and baseline_of(study, row["variant"]) == row["variant"]:
        return "pass", "this is the baseline"
    return judge(metric.read(row, ratios), limit, metric.noisy)
