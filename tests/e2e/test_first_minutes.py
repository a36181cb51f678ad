"""A first-time user with a model file and a board: init, devices add, run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
import yaml

from harness.devices import load_inventory
from tests.boards import Board
from tests.e2e.lab import COMMAND, Lab

DISK_MB = 600


@pytest.fixture
def board(new_board: Callable[..., Board]) -> Board:
    return new_board(disk_mb=DISK_MB)


def command(
    lab: Lab, *arguments: str, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run edgeproof as a user whose home knows no host."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=lab.folder,
        env=lab.environment | {"HOME": str(lab.folder / "home")},
        input=typed,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def address(board: Board) -> tuple[str, str, str]:
    entry = board.inventory_entry()
    place = f"{entry['user']}@{entry['host']}:{entry['port']}"
    return place, "--identity-file", str(entry["identity_file"])


def fingerprint(board: Board) -> str:
    """As the board itself shows it."""
    known = str(board.inventory_entry()["known_hosts"])
    told = subprocess.run(["ssh-keygen", "-lf", known], capture_output=True, text=True, check=True)
    return told.stdout.split()[1]


def test_three_commands_lead_to_a_report(lab: Lab, board: Board) -> None:
    made = command(lab, "init", "dense.onnx", "pruned.onnx", "--device", "pi5", "-o", "first.yaml")
    assert made.returncode == 0, made.stderr
    added = command(
        lab, "devices", "add", "pi5", *address(board), "--fingerprint", fingerprint(board)
    )
    assert added.returncode == 0, added.stderr
    assert "profile: " in added.stdout
    study = lab.folder / "first.yaml"
    text = study.read_text().replace("[onnxruntime, openvino]", "[onnxruntime]")
    study.write_text(text.replace("[1, 8]", "[1]"))
    ran = command(lab, "run", "first.yaml", "--budget", "8s", "-o", "report.html")
    assert ran.returncode == 0, ran.stderr
    assert "pruned" in (lab.folder / "report.html").read_text()


def test_nobody_trusts_a_key_for_the_user(lab: Lab, board: Board) -> None:
    alone = command(lab, "devices", "add", "pi5", *address(board), typed="")
    assert alone.returncode == 2 and fingerprint(board) in alone.stderr
    other = command(lab, "devices", "add", "pi5", *address(board), "--fingerprint", "SHA256:abc")
    assert other.returncode == 4 and "shows another host key" in other.stderr
    assert not (lab.folder / "inventory.yaml").exists()
    assert not (lab.folder / "home" / ".ssh" / "known_hosts").exists()


def test_an_inventory_keeps_what_it_says(lab: Lab, board: Board) -> None:
    path = lab.folder / "inventory.yaml"
    path.write_text("# our lab\ndevices:\n    nuc: {host: nuc.lab}  # the fast one\n\n# the end\n")
    checked = ("--fingerprint", fingerprint(board))
    done = command(lab, "devices", "add", "pi5", *address(board), *checked)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert text.startswith("# our lab") and "# the fast one" in text and "# the end" in text
    devices = load_inventory(path)
    assert set(devices) == {"local", "nuc", "pi5"}
    assert (devices["pi5"].port or 22) == board.inventory_entry()["port"]
    again = command(lab, "devices", "add", "pi5", *address(board), *checked)
    assert again.returncode == 2 and "is there already" in again.stderr
    path.write_text("devices: {nuc: {host: nuc.lab}}\n")
    flow = command(lab, "devices", "add", "pi5", *address(board), *checked)
    assert flow.returncode == 2 and "add this entry by hand: pi5: {profile:" in flow.stderr
    assert yaml.safe_load(path.read_text()) == {"devices": {"nuc": {"host": "nuc.lab"}}}


def test_a_board_that_is_not_there_is_not_written(lab: Lab) -> None:
    gone = command(lab, "devices", "add", "pi5", "pi@127.0.0.1:1")
    assert gone.returncode == 4 and "nothing listens on port 1" in gone.stderr
    bad = command(lab, "devices", "add", "pi5", "pi@host:port")
    assert bad.returncode == 2 and "port" in bad.stderr
    assert not (lab.folder / "inventory.yaml").exists()
