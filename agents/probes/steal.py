"""Time that a hypervisor kept from this machine: all CPUs together, since boot."""

from __future__ import annotations

import os
from typing import Optional

from agents import kernel

UNIT = "s"
STEAL = 8  # fields of the line: cpu user nice system idle iowait irq softirq steal; see proc(5)


def read(root: str = "/") -> Optional[float]:
    """Seconds of stolen time, in steps of a clock tick."""
    fields = (kernel.text(os.path.join(root, "proc/stat")) or "").partition("\n")[0].split()
    if len(fields) <= STEAL or fields[0] != "cpu":
        return None
    return int(fields[STEAL]) / os.sysconf("SC_CLK_TCK")
