"""What /proc tells of a process and of the machine."""

from __future__ import annotations

import os
from typing import Dict, Iterator, Optional, Tuple


def status_kib(field: str, pid: str = "self") -> int:
    """Read one memory field of /proc/PID/status, KiB; raises KeyError when it is not there."""
    with open("/proc/{}/status".format(pid), encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0])
    raise KeyError(field)


def resident() -> Dict[str, int]:
    """Read the resident memory of this process, and how much is anonymous or of files, KiB.

    smaps_rollup counts pages; the counters of status, which old kernels have alone, lag a little
    behind. A page of a file that was written to is anonymous.
    """
    try:
        fields = {name: int(value.split()[0]) for name, value in rollup()}
        whole, anonymous = fields["Rss"], fields["Anonymous"]
    except (OSError, KeyError):
        whole, anonymous = status_kib("VmRSS"), status_kib("RssAnon")
    return {"rss_kib": whole, "anon_kib": anonymous, "file_kib": whole - anonymous}


def rollup() -> Iterator[Tuple[str, str]]:
    """Yield the fields of /proc/self/smaps_rollup; raises OSError where the kernel has none."""
    with open("/proc/self/smaps_rollup", encoding="ascii", errors="replace") as file:
        next(file)  # the range of addresses
        for line in file:
            name, _, value = line.partition(":")
            yield name, value


def mapped_kib(folder: str) -> Optional[int]:
    """Resident pages of the files in a folder that are mapped; null where the kernel hides them."""
    total, inside = 0, False
    try:
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as file:
            for line in file:
                first = line.split(None, 1)[0]
                if not first.endswith(":"):  # a mapping: range, rights, offset, device, inode, path
                    parts = line.split(None, 5)
                    path = parts[5].strip() if len(parts) > 5 else ""
                    inside = os.path.dirname(path) == folder
                elif inside and first == "Rss:":
                    total += int(line.split()[1])
    except OSError:
        return None
    return total


def reset_peak() -> bool:
    """Let VmHWM begin anew at what is resident now; false where that is not allowed."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return False
    return True


def meminfo() -> Dict[str, int]:
    """Read /proc/meminfo, KiB."""
    with open("/proc/meminfo", encoding="ascii") as file:
        pairs = (line.partition(":") for line in file)
        return {name: int(value.split()[0]) for name, _, value in pairs}


def free_kib() -> int:
    """Memory and swap that the machine has left, KiB."""
    found = meminfo()
    return found["MemAvailable"] + found.get("SwapFree", 0)


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
