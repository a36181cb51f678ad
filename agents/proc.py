"""What /proc tells of a process and of the machine."""

from __future__ import annotations

from typing import Dict, Optional


def status_kib(field: str, pid: str = "self") -> int:
    """Read one memory field of /proc/PID/status, KiB; raises KeyError when it is not there."""
    with open("/proc/{}/status".format(pid), encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0])
    raise KeyError(field)


def meminfo() -> Dict[str, int]:
    """Read /proc/meminfo, KiB."""
    with open("/proc/meminfo", encoding="ascii") as file:
        pairs = (line.partition(":") for line in file)
        return {name: int(value.split()[0]) for name, _, value in pairs}


def run_delay_ns() -> Optional[int]:
    """Time this process was runnable but had no core; null where the kernel does not count it."""
    try:
        with open("/proc/self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return None


def start_time(pid: int) -> Optional[str]:
    """Start time of a process in clock ticks since boot; null when it is gone or a zombie.

    With the boot id it names a process for good: pids are used again.
    """
    try:
        with open("/proc/{}/stat".format(pid), encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def boot_id() -> str:
    """Identify this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
