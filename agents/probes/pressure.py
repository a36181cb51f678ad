"""CPU pressure: time since boot in which some task was runnable but had no CPU."""

from __future__ import annotations

import os
from typing import Optional

from agents import kernel

UNIT = "us"


def read(root: str = "/") -> Optional[int]:
    """The total of the line "some"; null for a kernel without it (older than 4.20, or psi=0)."""
    for line in (kernel.text(os.path.join(root, "proc/pressure/cpu")) or "").splitlines():
        kind, _, total = line.partition("total=")
        if kind.startswith("some") and total.isdigit():
            return int(total)
    return None
