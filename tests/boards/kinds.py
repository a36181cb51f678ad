"""Which kind of board this machine can make, and why not the better one."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.boards.board import Board, NotOnThisBoardError
from tests.boards.loopback import SSHD, make_loopback_board
from tests.boards.namespace import make_namespace_board

TOOLS = ("ip", "unshare", "nsenter", "mount", "mkfs.ext4", "losetup")


@dataclass(frozen=True)
class BoardKind:
    """namespace, loopback or none; `why` says what the machine lacks for a better one."""

    kind: str
    why: str


@cache
def board_kind() -> BoardKind:
    """The best kind of board here; EDGEPROOF_BOARDS=loopback asks for the lesser one."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        return BoardKind("none", "sshd or ssh-keygen is not installed")
    lacking = _lacking_for_namespaces()
    return BoardKind("loopback", lacking) if lacking else BoardKind("namespace", "")


def _lacking_for_namespaces() -> str:
    if os.environ.get("EDGEPROOF_BOARDS") == "loopback":
        return "EDGEPROOF_BOARDS asks for loopback boards"
    if os.getuid() != 0:
        return "stand-in boards need root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)}"
    if not Path("/dev/loop-control").exists():
        return "no loop devices"
    spaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork"]
    overlay = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/r && "
    overlay += "mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"
    tried = subprocess.run([*spaces, "sh", "-c", overlay], capture_output=True, text=True)
    return f"namespaces or overlayfs refused: {tried.stderr.strip()}" if tried.returncode else ""


def make_board(*, disk_mb: int = 256, python: bool | str = True) -> Board:
    """Make and boot a board of the best kind; the caller closes it.

    python=False hides the board's python3; a string is a script that stands in for it.
    """
    found = board_kind()
    if found.kind == "none":
        raise NotOnThisBoardError(found.why)
    if found.kind == "namespace":
        return make_namespace_board(disk_mb=disk_mb, python=python)
    return make_loopback_board(python=python)
