"""The CI example as a script: a job with nothing but a key, against a board behind a real sshd."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.boards import Board
from tests.e2e.lab import BRIEF, COMMAND, Lab

CI = Path(__file__).parents[2] / "examples" / "ci"
DISK_MB = 600


@pytest.mark.parametrize(
    ("gate", "code", "found"),
    [
        ({"metric": "peak_rss_mib", "max": 10_000}, 0, None),
        ({"metric": "peak_rss_mib", "max": 1}, 1, "failure"),
        # Without a dataset there is no accuracy to judge.
        ({"metric": "accuracy_top1", "min": 0.5}, 3, "failure"),
    ],
)
def test_a_job_ends_as_its_gate_does(
    lab: Lab, new_board: Callable[..., Board], gate: dict[str, object], code: int, found: str | None
) -> None:
    board = new_board(disk_mb=DISK_MB)
    entry = board.inventory_entry()
    study = lab.study(gates=[gate], dataset=None, measure=BRIEF)
    done = subprocess.run(
        [str(CI / "gate.sh")],
        cwd=lab.folder,
        env=lab.environment
        | {
            "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
            "STUDY": str(study),
            "BOARD": f"{entry['user']}@{entry['host']}:{entry['port']}",
            "PROFILE": "generic-linux",
            "BOARD_KEY": Path(str(entry["identity_file"])).read_text(),
            "BOARD_KNOWN_HOSTS": Path(str(entry["known_hosts"])).read_text(),
            "STORE": f"sqlite:///{lab.folder}/ci.db",
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(lab.folder / "step.md"),
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stderr
    cases = ElementTree.parse(lab.folder / "junit.xml").findall("./testsuite/testcase")
    assert {child.tag for case in cases for child in case} == ({found} if found else set())
    assert ("::error" in done.stdout) == (found is not None)
    assert "## Verdicts" in (lab.folder / "step.md").read_text()
    assert (lab.folder / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["github.yml", "gitlab-ci.yml"])
def test_the_workflows_call_it_with_all_it_needs(name: str) -> None:
    text = (CI / name).read_text()
    assert yaml.safe_load(text)
    assert "examples/ci/gate.sh" in text
    for variable in ("STUDY", "BOARD", "PROFILE", "BOARD_KEY", "BOARD_KNOWN_HOSTS", "STORE"):
        assert variable in text, variable
