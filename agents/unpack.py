"""Unpacks a runtime that was pushed as an archive: whole, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tarfile
from typing import List


def main(arguments: List[str]) -> None:
    """Unpack a .tar.gz into a new folder: `unpack ARCHIVE FOLDER`; the archive is then removed."""
    archive, folder = arguments
    lock = os.open(os.path.dirname(folder), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another host may bring the same runtime now
        if not os.path.isdir(folder):
            unpack(archive, folder)
    finally:
        os.close(lock)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(archive)


def unpack(archive: str, folder: str) -> None:
    """Unpack into a folder that appears when it is whole."""
    for torn in glob.glob(glob.escape(folder) + ".part*"):
        shutil.rmtree(torn)
    temporary = "{}.part{}".format(folder, os.getpid())
    os.makedirs(temporary)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(temporary, members=[inside(member) for member in tar])
        # The folder's name says that it is whole, so a power cut must not leave it with holes.
        os.sync()
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def inside(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Refuse a member that would leave the folder; raises ValueError."""
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts or not (member.isfile() or member.isdir()):
        raise ValueError("archive member outside its folder: " + member.name)
    return member
