"""The sets of robustness: after the launches, as far as the budget goes, the rest on a resume."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from agents import wire
from tests.e2e.lab import Lab

COPIES = 60  # of the lab's samples, so that not all sets fit into a second
ROBUSTNESS = {"corruptions": ["noise", "input-quantisation"], "severities": [1, 5]}


def test_sets_that_the_budget_does_not_reach_are_null_and_run_on_a_resume(lab: Lab) -> None:
    samples, labels = np.tile(lab.x, (COPIES, 1)), np.tile(lab.labels, COPIES)
    np.savez(lab.folder / "eval.npz", x=samples, y=labels)
    alone = {"dense": {"model": "dense.onnx"}}
    study = str(lab.study(variants=alone, robustness=ROBUSTNESS))
    before = measured(lab, study, "--budget", "1s")
    assert "robustness: its sets take about" in before["devices"][0]["reason"]
    cut = [row for row in sets(before) if row["top1"] is None]
    assert {row["reason"] for row in cut} == {wire.NOT_RUN}
    after = measured(lab, study, "--resume", "latest", "--budget", "2m")
    assert after["devices"][0]["reason"] is None
    (row,) = after["results"]
    assert (row["launches"], row["robustness"]["sets"]) == (7, 4)
    kept = [row for row in sets(before) if row not in cut]
    assert kept == sets(after)[: len(kept)]
    assert all(row["reason"] is None for row in sets(after))


def measured(lab: Lab, *arguments: str) -> dict[str, Any]:
    """Run the command and return its report."""
    done = lab.command("run", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def sets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of all sets under corruptions."""
    (only,) = report["evaluations"]
    rows: list[dict[str, Any]] = only["corruptions"]
    return rows
