"""The small files in which the kernel tells of the machine; `root` is "/" but in tests."""

from __future__ import annotations

import glob
import os
from typing import Iterator, List, Optional, Tuple


def text(path: str) -> Optional[str]:
    """Read a small file; null when it is not there or the kernel refuses to answer."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip().strip("\0")
    except OSError:
        return None


def number(path: str, base: int = 10) -> Optional[int]:
    """Read a file that holds one whole number; null where it does not."""
    try:
        return int(text(path) or "", base)
    except ValueError:
        return None


def matching(root: str, pattern: str) -> List[str]:
    """List the paths under a root that match a pattern, in order."""
    return sorted(glob.glob(os.path.join(glob.escape(root), pattern)))


def hardware_monitors(root: str) -> Iterator[Tuple[str, str]]:
    """Name and folder of each hwmon device; their numbers change from boot to boot."""
    for folder in matching(root, "sys/class/hwmon/hwmon*"):
        name = text(os.path.join(folder, "name"))
        if name:
            yield name, folder
