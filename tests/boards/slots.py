"""Machine-wide numbered places for boards, and the removal of what dead test processes left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

# Not below the temporary folder of one test run: another process has to find leftovers, and a
# board's disk image does not belong on a tmpfs.
ROOT = Path(f"/var/tmp/edgeproof-boards-{os.getuid()}")
SLOTS = 4096
GONE = "gone-"


def claim() -> Path:
    """A folder that no other live test process uses; its name is the board's number."""
    ROOT.mkdir(mode=0o711, exist_ok=True)
    if ROOT.stat().st_uid != os.getuid():
        raise PermissionError(f"{ROOT} belongs to someone else")
    with _alone():
        _remove_abandoned()
        taken = {path.name for path in ROOT.iterdir()}
        number = next(number for number in range(SLOTS) if str(number) not in taken)
        slot = ROOT / str(number)
        slot.mkdir(mode=0o711)
        (slot / "owner").write_text(identity(os.getpid()))
    return slot


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time: a slot that is being cleaned must not be claimed meanwhile."""
    with (ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def identity(pid: int) -> str:
    """A process as pid and start time, so that a reused pid is not taken for it."""
    return f"{pid} {psutil.Process(pid).create_time():.0f}"


def alive(known: str) -> bool:
    """Whether the process of an identity still runs; the clock may be off by a second."""
    pid, started = known.split()
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) <= 1
    except psutil.NoSuchProcess:
        return False


def remove_leftovers() -> None:
    """Remove the boards of test processes that ended without doing so."""
    with _alone():
        _remove_abandoned()


def _remove_abandoned() -> None:
    for slot in ROOT.iterdir():
        if slot.name.startswith(GONE):
            shutil.rmtree(slot, ignore_errors=True)
        elif slot.is_dir() and _abandoned(slot):
            remove(slot)


def _abandoned(slot: Path) -> bool:
    """A slot without an owner is half claimed or half removed by a process that was killed."""
    try:
        return not alive((slot / "owner").read_text())
    except (FileNotFoundError, ValueError):
        # Gone altogether when its owner has just removed it.
        return slot.exists()


def remove(slot: Path) -> None:
    """Take a board down, in whatever state it is, and free its slot."""
    if not slot.exists():
        return
    end_processes(slot)
    if (slot / "netns").exists():
        _remove_network((slot / "netns").read_text())
    if (slot / "user").exists():
        _remove_user((slot / "user").read_text())
    if (slot / "route").exists():
        subprocess.run(["ip", "route", "del", *(slot / "route").read_text().split()])
    _unmount_below(slot)
    # Free at one stroke: a slot that is half deleted would be claimed under our hands.
    gone = ROOT / f"{GONE}{slot.name}-{os.getpid()}"
    slot.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def end_processes(slot: Path) -> None:
    """Kill the board's first process and its descendants, and wait until they are gone."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        known = (slot / "process").read_text()
        if alive(known):
            first = psutil.Process(int(known.split()[0]))
            family = [first, *first.children(recursive=True)]
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            _wait_until_gone(family)
        (slot / "process").unlink()


def _wait_until_gone(family: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 10
    while any(_runs(process) for process in family) and time.monotonic() < deadline:
        time.sleep(0.005)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _remove_network(name: str) -> None:
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    for pid in map(int, listed.stdout.split()):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
    for command in (["ip", "link", "del", name], ["ip", "netns", "del", name]):
        subprocess.run(command, capture_output=True)


def _remove_user(name: str) -> None:
    """Remove a board's own user, with the processes that it left behind."""
    for process in psutil.process_iter(["username"]):
        if process.info["username"] == name:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    subprocess.run(["userdel", "--force", name], capture_output=True)


def _unmount_below(slot: Path) -> None:
    """A board mounts in a namespace of its own; were that to fail, nothing below may be deleted."""
    for mounted in reversed(mounts_below(slot)):
        subprocess.run(["umount", "--lazy", mounted], capture_output=True)
    if left := mounts_below(slot):
        raise RuntimeError(f"still mounted: {left}")


def mounts_below(slot: Path) -> list[str]:
    """Mount points below a folder, parents first."""
    table = Path("/proc/self/mounts")
    if not table.exists():
        return []
    points = [line.split()[1] for line in table.read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(slot)]
