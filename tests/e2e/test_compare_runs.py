"""Two real runs of one study held against each other, and what their board says of itself."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from tests.e2e.lab import BRIEF, Lab, save_linear


def test_two_sessions_on_this_machine(lab: Lab) -> None:
    first = lab.run(measure=BRIEF)["run"]
    save_linear(lab.folder / "pruned.onnx", lab.pruned * 0.5)  # the same answers, another file
    report = lab.run(measure=BRIEF)
    second = report["run"]

    facts = report["devices"][0]["facts"]
    assert len(facts["agent_sha256"]) == 64
    assert set(facts["identity"]) == {"serial", "machine_id"}

    done = lab.command("compare", first, second, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each for each in found["differences"] if each["forbids"]] == []
    dense, pruned = (of(found, name) for name in ("dense", "pruned"))
    assert dense["same_file"] and not pruned["same_file"]
    assert {change["of"] for change in pruned["changes"]} >= {"file"}
    assert pruned["accuracy"][0]["drop"] == 0
    [p50] = [row for row in pruned["measured"] if row["metric"] == "latency_p50_ms"]
    assert min(p50["anchored"]["launches"]) >= 2
    low, high = p50["anchored"]["ci"]
    assert low < p50["anchored"]["ratio"] < high

    done = lab.command("history", "lab", "--variant", "pruned", "--format", "json")
    assert [each["run"] for each in json.loads(done.stdout)["sessions"]] == [first, second]

    moved(lab, second, kernel="9.9.9")
    refused = lab.command("compare", first, second)
    assert refused.returncode == 2
    assert "against 9.9.9" in refused.stderr
    assert f"edgeproof gate STUDY --against {first}" in refused.stderr


def of(document: dict[str, Any], variant: str) -> dict[str, Any]:
    [found] = [each for each in document["cells"] if each["variant"] == variant]
    return found


def moved(lab: Lab, run: str, **changes: str) -> None:
    """Let a stored run have been measured on a machine that says otherwise."""
    path = lab.folder / "data" / "edgeproof" / "edgeproof.db"
    with sqlite3.connect(path) as link:
        [text] = link.execute("SELECT facts FROM run_devices WHERE run = ?", [run]).fetchone()
        facts = json.dumps(json.loads(text) | changes)
        link.execute("UPDATE run_devices SET facts = ? WHERE run = ?", [facts, run])
