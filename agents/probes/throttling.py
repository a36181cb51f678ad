"""Whether the machine slowed itself down, for heat or for want of power."""

from __future__ import annotations

import os
from typing import Dict, Optional

from agents import kernel

UNIT = "events since boot; get_throttled: bits"
INTEL = ("core_throttle_count", "package_throttle_count")
JETSON = ("oc1_event_cnt", "oc2_event_cnt", "oc3_event_cnt")


def read(root: str = "/") -> Optional[Dict[str, int]]:
    """What Intel, Jetson and Raspberry Pi count: only a difference between two readings tells.

    A Jetson may have counted before the first reading. The Pi's bits 0-3 are its state now, bits
    16-19 what there was before; where the kernel watches the voltage it clears those every 2 s.
    """
    return {**intel(root), **jetson(root), **raspberry(root)} or None


def intel(root: str) -> Dict[str, int]:
    """Thermal throttling events of cores and packages, summed over the CPUs."""
    found: Dict[str, int] = {}
    for name in INTEL:
        pattern = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/" + name
        counts = [kernel.number(path) for path in kernel.matching(root, pattern)]
        known = [count for count in counts if count is not None]
        if known:
            found[name] = sum(known)
    return found


def jetson(root: str) -> Dict[str, int]:
    """Over-current events that throttled the module."""
    found: Dict[str, int] = {}
    for monitor, folder in kernel.hardware_monitors(root):
        for name in JETSON if monitor == "soctherm_oc" else ():
            count = kernel.number(os.path.join(folder, name))
            if count is not None:
                found[name] = count
    return found


def raspberry(root: str) -> Dict[str, int]:
    """The firmware's bits for under-voltage, capped clock and throttling."""
    for path in kernel.matching(root, "sys/devices/platform/soc*/soc*:firmware/get_throttled"):
        bits = kernel.number(path, base=16)
        if bits is not None:
            return {"get_throttled": bits}
    return {}
