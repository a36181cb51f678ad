"""Which cores a cell is pinned to."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List

SYSTEM = "/sys/devices"


def parse_list(text: str) -> List[int]:
    """Read the kernel's list format: "0-3,8" is 0, 1, 2, 3, 8."""
    cpus: List[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus += range(int(first), int(last or first) + 1)
    return cpus


def performance_cores(allowed: Iterable[int], root: str = SYSTEM) -> List[int]:
    """The allowed CPUs of the fast kind: on a hybrid Intel processor its P-cores, else all."""
    try:
        with open(os.path.join(root, "cpu_core", "cpus"), encoding="ascii") as file:
            fast = set(parse_list(file.read()))
    except OSError:
        fast = set(allowed)
    return sorted(set(allowed) & fast) or sorted(allowed)


def siblings(cpu: int, root: str = SYSTEM) -> List[int]:
    """CPUs that share a core with this one, itself included."""
    path = os.path.join(root, "system", "cpu", "cpu%d" % cpu, "topology", "thread_siblings_list")
    try:
        with open(path, encoding="ascii") as file:
            return parse_list(file.read())
    except OSError:
        return [cpu]


def choose(threads: int, allowed: Iterable[int], root: str = SYSTEM) -> List[int]:
    """Pick CPUs for so many threads: fast cores before slow ones, whole cores before siblings.

    Within a kind they are taken from the last down: the first CPUs take most interrupts. Returns
    fewer than asked when there are not enough.
    """
    everything = sorted(allowed)
    fast = performance_cores(everything, root)
    slow = [cpu for cpu in everything if cpu not in fast]
    return sorted((spread(fast, root) + spread(slow, root))[:threads])


def spread(cpus: Iterable[int], root: str) -> List[int]:
    """Order CPUs so that every core gives its first before any gives its second."""
    cores: Dict[int, List[int]] = {}
    for cpu in cpus:
        cores.setdefault(min(siblings(cpu, root)), []).append(cpu)
    ordered = [cores[core] for core in sorted(cores, reverse=True)]
    depth = max((len(core) for core in ordered), default=0)
    return [core[level] for level in range(depth) for core in ordered if level < len(core)]
