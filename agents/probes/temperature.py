"""Temperatures: thermal zones by their type, hardware monitors by their name."""

from __future__ import annotations

import os
from typing import Dict, Iterator, Optional, Tuple

from agents import kernel

UNIT = "degC"
# The Tegra's sensors answer -256 degrees for a block without power.
NO_SENSOR_BELOW = -200_000


def read(root: str = "/") -> Optional[Dict[str, float]]:
    """Degrees Celsius by name."""
    return {name: value / 1000 for name, value in millicelsius(root).items()} or None


def millicelsius(root: str = "/") -> Dict[str, int]:
    """Thousandths of a degree Celsius by name; of several sensors of one name the hottest."""
    found = hottest(zones(root))
    # The kernel shows a zone as a monitor too, with its type as the name, less the hyphens.
    shown = {name.replace("-", "_") for name in found}
    monitors = hottest(monitored(root))
    found.update((name, value) for name, value in monitors.items() if name not in shown)
    return found


def zones(root: str) -> Iterator[Tuple[str, Optional[int]]]:
    """Type and temperature of each thermal zone."""
    for folder in kernel.matching(root, "sys/class/thermal/thermal_zone*"):
        kind = kernel.text(os.path.join(folder, "type")) or os.path.basename(folder)
        yield kind, kernel.number(os.path.join(folder, "temp"))


def monitored(root: str) -> Iterator[Tuple[str, Optional[int]]]:
    """Name and temperatures of each hardware monitor."""
    for name, folder in kernel.hardware_monitors(root):
        for path in kernel.matching(folder, "temp*_input"):
            yield name, kernel.number(path)


def hottest(readings: Iterator[Tuple[str, Optional[int]]]) -> Dict[str, int]:
    """The highest reading of each name; sensors that do not answer are left out."""
    found: Dict[str, int] = {}
    for name, value in readings:
        if value is not None and value > NO_SENSOR_BELOW:
            found[name] = max(value, found.get(name, value))
    return found
