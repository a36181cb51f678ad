"""Clock of each CPU as the kernel last knew it."""

from __future__ import annotations

from typing import Dict, Optional, Sequence

from agents import kernel

UNIT = "MHz"


def read(root: str = "/", cpus: Optional[Sequence[int]] = None) -> Optional[Dict[str, float]]:
    """MHz by the number of the CPU, of `cpus` alone if given: older x86 kernels take 10 ms each."""
    found = {}
    for path in kernel.matching(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"):
        cpu = path.split("/")[-3][len("cpu") :]
        khz = kernel.number(path) if cpus is None or int(cpu) in cpus else None
        if khz is not None:
            found[cpu] = khz / 1000
    return found or None
