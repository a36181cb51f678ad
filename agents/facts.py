"""What kind of machine this is: the facts a result is worthless without."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from typing import Any, Dict, List, Optional

from agents import kernel, proc
from agents.probes import temperature


def cpu_model() -> Optional[str]:
    """Name of the processor, as /proc/cpuinfo or the device tree has it."""
    for line in (kernel.text("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return kernel.text("/proc/device-tree/model")


def cpu_flags() -> List[str]:
    """Instruction sets of the first CPU."""
    for line in (kernel.text("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith(("flags", "features")):
            return line.partition(":")[2].split()
    return []


def clocks() -> Dict[str, Optional[str]]:
    """Governor and clock limits of the first CPU; null where the machine does not tell."""
    folder = "/sys/devices/system/cpu/cpu0/cpufreq/"
    names = ("scaling_governor", "scaling_cur_freq", "scaling_min_freq", "scaling_max_freq")
    return {name: kernel.text(folder + name) for name in names}


def image() -> Optional[str]:
    """Name of the installed system."""
    for line in (kernel.text("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return None


def identity() -> Dict[str, Optional[str]]:
    """What tells this very machine from another of its kind, as keyed hashes; null where untold.

    The serial number is the board's, the machine id that of the installed system: cloned images
    share one. Neither may be published as it is (machine-id(5)).
    """
    sources = {"serial": "/proc/device-tree/serial-number", "machine_id": "/etc/machine-id"}
    return {name: _hashed(kernel.text(path)) for name, path in sources.items()}


def _hashed(secret: Optional[str]) -> Optional[str]:
    if not secret:
        return None
    return hashlib.sha256("edgeproof {}".format(secret).encode()).hexdigest()[:16]


def collect(root: str) -> Dict[str, Any]:
    """Gather all facts; `root` is the folder whose disk matters."""
    libc, libc_version = platform.libc_ver()
    existing = root
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    return {
        "hostname": platform.node(),
        "identity": identity(),
        "machine": platform.machine(),
        "system": image(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "libc": libc,
        "libc_version": libc_version,
        "cpu_model": cpu_model(),
        "cpu_flags": cpu_flags(),
        "cpus": os.cpu_count(),
        "cpus_allowed": sorted(os.sched_getaffinity(0)),
        "memory_kib": proc.meminfo()["MemTotal"],
        "available_kib": proc.meminfo()["MemAvailable"],
        "disk_free_bytes": shutil.disk_usage(existing).free,
        "clocks": clocks(),
        "temperatures_millicelsius": temperature.millicelsius(),
        "board": kernel.text("/proc/device-tree/compatible"),
        "load_average": os.getloadavg(),
        "boot_id": proc.boot_id(),
        "clock": time.time(),
    }


def main(arguments: List[str]) -> None:
    """Print the facts as JSON: `facts ROOT`."""
    print(json.dumps(collect(os.path.expanduser(arguments[0]))))
