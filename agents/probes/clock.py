"""Clock of each CPU as the kernel last knew it."""

from __future__ import annotations

from typing import Dict, Optional

from agents import kernel

UNIT = "MHz"


def read(root: str = "/") -> Optional[Dict[str, float]]:
    """MHz by the number of the CPU."""
    found = {}
    for path in kernel.matching(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"):
        khz = kernel.number(path)
        if khz is not None:
            folder = path.split("/")[-3]
            found[folder[len("cpu") :]] = khz / 1000
    return found or None
