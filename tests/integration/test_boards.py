"""The test devices themselves: what other tests believe of them holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.boards import Board, board_kind, make_board
from tests.boards.namespace import NamespaceBoard
from tests.boards.slots import ROOT, mounts_below, remove_leftovers

LEAVES_A_BOARD = """
import time
from tests.boards import make_board
board = make_board()
print(board.slot, flush=True)
time.sleep(60)
"""


def test_the_kind_says_why_it_is_not_better() -> None:
    found = board_kind()
    assert found.kind in ("namespace", "loopback", "none")
    assert bool(found.why) == (found.kind != "namespace")


def test_a_board_of_a_dead_test_process_is_removed() -> None:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", LEAVES_A_BOARD], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert child.stdout is not None
    slot = Path(child.stdout.readline().strip())
    remove_leftovers()
    assert slot.exists(), "a living process keeps its board"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    remove_leftovers()
    assert not slot.exists()
    assert_nothing_left(slot)


def test_a_closed_board_leaves_nothing() -> None:
    made = make_board()
    slot = next(path for path in ROOT.iterdir() if path == made.identity_file.parent)
    made.close()
    made.close()
    assert not slot.exists()
    assert_nothing_left(slot)


def assert_nothing_left(slot: Path) -> None:
    assert mounts_below(slot) == []
    for command in (["ip", "netns"], ["ip", "-o", "link"], ["losetup", "-a"], ["ps", "ax"]):
        listed = subprocess.run(command, capture_output=True, text=True).stdout
        assert f"epb{slot.name} " not in listed and f"{slot}/" not in listed, command


def test_a_board_is_a_machine_of_its_own(board: Board) -> None:
    if not isinstance(board, NamespaceBoard):
        pytest.skip(f"not a stand-in board: {board_kind().why}")
    assert board.shell("hostname").stdout.strip() == board.name
    assert board.shell("cat /proc/1/comm").stdout.strip() == "sh"
    assert board.shell("ls /sys; ls /tmp").stdout == ""
    addresses = board.shell("ip -4 -o addr").stdout
    assert board.host in addresses and addresses.count("inet ") == 2
    assert "default" not in board.shell("ip route").stdout
    # What it writes is on its own disk, and nowhere on this machine.
    board.shell("echo changed >> /etc/hostname; rm /usr/bin/env; touch /usr/edgeproof-was-here")
    assert "changed" not in Path("/etc/hostname").read_text()
    assert Path("/usr/bin/env").exists() and not Path("/usr/edgeproof-was-here").exists()


def test_its_disk_has_the_size_it_was_given(new_board: Callable[..., Board]) -> None:
    small = new_board(disk_mb=24)
    if not isinstance(small, NamespaceBoard):
        pytest.skip(f"not a stand-in board: {board_kind().why}")
    with closing(small.connect()) as ssh:
        total = int(ssh.run(["df", "-Pk", "/tmp"]).stdout.splitlines()[1].split()[1])
    assert 16_000 < total < 24 * 1024


def test_processes_of_a_board_end_with_its_power(board: Board) -> None:
    if not isinstance(board, NamespaceBoard):
        pytest.skip(f"not a stand-in board: {board_kind().why}")
    with closing(board.connect()) as ssh:
        ssh.run(["sh", "-c", f"setsid sleep 51.{os.getpid()} >/dev/null 2>&1 </dev/null &"])
        assert str(os.getpid()) in subprocess.check_output(["ps", "ax"], text=True)
        board.power_cut()
    deadline = time.monotonic() + 5
    while f"sleep 51.{os.getpid()}" in subprocess.check_output(["ps", "ax"], text=True):
        assert time.monotonic() < deadline
        time.sleep(0.02)
