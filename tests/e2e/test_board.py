"""The main job over a real sshd: an ordinary user, a key, strict host keys."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boards import Board
from tests.e2e.lab import BRIEF, Lab

# The disk of a board that takes a runtime: 124 MB of ONNX Runtime, its archive, and room to spare.
DISK_MB = 600


@pytest.fixture
def ssh_lab(lab: Lab, new_board: Callable[..., Board]) -> tuple[Lab, Board]:
    """A lab with one board."""
    board = new_board(disk_mb=DISK_MB)
    lab.devices["board"] = board.inventory_entry()
    return lab, board


def launches(lab: Lab) -> dict[tuple[str, int, str], bytes]:
    """Samples of every stored launch."""
    path = lab.folder / "data" / "edgeproof" / "edgeproof.db"
    if not path.exists():
        return {}
    with sqlite3.connect(path, timeout=30) as store:
        try:
            rows = store.execute("select group_id, ordinal, cell, samples from launches")
        except sqlite3.OperationalError:
            return {}
        return {(group, ordinal, cell): samples for group, ordinal, cell, samples in rows}


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_same_accuracy_as_here_and_a_second_run_pushes_nothing(
    ssh_lab: tuple[Lab, Board],
) -> None:
    lab, _ = ssh_lab
    first = lab.run(devices=["local", "board"], measure=BRIEF)
    rows = {(row["device"], row["variant"]): row for row in first["results"]}
    for variant in ("dense", "pruned"):
        here, there = rows["local", variant], rows["board", variant]
        assert here["accuracy"] == there["accuracy"]
        assert there["status"] == "ok"
    pushed = {device["name"]: device["pushed_bytes"] for device in first["devices"]}
    assert all(pushed["board"][kind] > 0 for kind in ("agent", "models", "datasets", "runtimes"))
    second = lab.run(devices=["local", "board"], measure=BRIEF)
    for device in second["devices"]:
        assert set(device["pushed_bytes"].values()) == {0}, device


def test_killing_the_host_loses_nothing_and_resume_repeats_nothing(
    ssh_lab: tuple[Lab, Board],
) -> None:
    lab, board = ssh_lab
    study = str(lab.study(devices=["board"]))
    host = lab.start("run", study)
    wait_for(lambda: len(launches(lab)) >= 4, 90)
    host.send_signal(signal.SIGKILL)
    host.wait()
    before = launches(lab)
    done = lab.command("run", study, "--resume", "latest", "--json")
    assert done.returncode == 0, done.stderr
    after = launches(lab)
    assert {key: after[key] for key in before} == before
    assert {row["launches"] for row in json.loads(done.stdout)["results"]} == {7}
    assert len(after) == 2 * 7
    assert board.shell("ls /home/bench/.edgeproof/jobs").stdout == ""


def test_a_power_cut_costs_the_launch_in_progress_and_no_more(
    ssh_lab: tuple[Lab, Board],
) -> None:
    lab, board = ssh_lab
    host = lab.start("run", str(lab.study(devices=["board"])))
    wait_for(lambda: len(launches(lab)) >= 4, 90)
    before = launches(lab)
    board.power_cut()
    board.boot()
    assert host.wait(timeout=180) == 0, host.stderr and host.stderr.read()
    after = launches(lab)
    assert {key: after[key] for key in before} == before
    assert len(after) == 2 * 7
    assert host.stderr is not None
    said = host.stderr.read()
    assert "connection lost" in said and "starting it again" in said


def test_a_device_that_fails_leaves_the_others_alone(
    lab: Lab, new_board: Callable[..., Board]
) -> None:
    bare = new_board(python=False)
    lab.devices["bare"] = bare.inventory_entry()
    lab.devices["gone"] = {**bare.inventory_entry(), "port": 1}
    report = lab.run(devices=["local", "bare", "gone"], code=4, measure=BRIEF)
    status = {device["name"]: device for device in report["devices"]}
    assert status["local"]["status"] == "ok"
    assert "no Python" in status["bare"]["reason"]
    assert status["gone"]["status"] == "failed"
    rows = [row for row in report["results"] if row["device"] == "local"]
    assert {row["status"] for row in rows} == {"ok"}


def test_a_full_disk_is_said_before_anything_is_pushed(
    lab: Lab, new_board: Callable[..., Board]
) -> None:
    small = new_board(disk_mb=128)
    lab.devices["small"] = small.inventory_entry()
    report = lab.run(devices=["small"], code=4)
    assert "disk" in report["devices"][0]["reason"]


def test_a_home_that_cannot_be_written(lab: Lab, new_board: Callable[..., Board]) -> None:
    board = new_board()
    lab.devices["board"] = {**board.inventory_entry(), "root": "/proc/edgeproof"}
    report = lab.run(devices=["board"], code=4)
    assert "/proc/edgeproof" in report["devices"][0]["reason"]


def test_devices_check_says_what_is_ready(lab: Lab, new_board: Callable[..., Board]) -> None:
    board, bare = new_board(), new_board(python=False)
    lab.devices["board"] = board.inventory_entry()
    lab.devices["bare"] = bare.inventory_entry()
    lab.study()
    done = lab.command("devices", "check", "--json", "board", "bare")
    assert done.returncode == 4
    ready = {row["device"]: row for row in json.loads(done.stdout)}
    assert ready["board"]["ready"] == "yes"
    assert "Python 3" in ready["board"]["details"]
    assert ready["bare"]["ready"] == "no"
    assert lab.command("devices", "clean", "board").returncode == 0
    assert "edgeproof" not in board.shell("ls -a /home/bench").stdout


def test_old_python_is_refused_with_the_version(lab: Lab, new_board: Callable[..., Board]) -> None:
    old = new_board(python="#!/bin/sh\necho 3.6\n")
    lab.devices["old"] = old.inventory_entry()
    report = lab.run(devices=["old"], code=4)
    assert "3.6" in report["devices"][0]["reason"]
    assert "3.8" in report["devices"][0]["reason"]


def test_a_wrong_host_key_stops_the_device(lab: Lab, new_board: Callable[..., Board]) -> None:
    board = new_board()
    strangers = Path(lab.folder / "empty_known_hosts")
    strangers.write_text("")
    lab.devices["board"] = {**board.inventory_entry(), "known_hosts": str(strangers)}
    report = lab.run(devices=["board"], code=4)
    assert "host key" in report["devices"][0]["reason"]


def test_one_run_waits_for_another_on_the_same_device(lab: Lab) -> None:
    study = str(lab.study(measure=BRIEF))
    first, second = lab.start("run", study), lab.start("run", study)
    assert first.wait(timeout=200) == 0
    assert second.wait(timeout=200) == 0
    with sqlite3.connect(lab.folder / "data" / "edgeproof" / "edgeproof.db") as store:
        counts = store.execute("select run, count(*) from launches group by run").fetchall()
    assert [count % 2 for _, count in counts] == [0, 0]  # launches are whole: both cells or none
