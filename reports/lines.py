"""Lines of a chart that would cover each other: drawn once, under all their names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

X = TypeVar("X", bound=Hashable)
Line = Mapping[X, float]
# A share of a chart's height: 1 to 2 pixels of 130 to 180.
INVISIBLE = 0.01


def covering(lines: Mapping[str, Line[X]], tolerance: float) -> dict[str, list[str]]:
    """Name of each line to draw -> those that it covers, itself first, in the order given.

    `tolerance` is the largest difference, in the unit of the values, that is taken for none.
    """
    found: dict[str, list[str]] = {}
    for name, line in lines.items():
        first = next((other for other in found if covers(lines[other], line, tolerance)), name)
        found.setdefault(first, []).append(name)
    return found


def invisible(values: Iterable[float]) -> float:
    """The largest difference that nobody sees in a chart of these values."""
    shown = list(values)
    return INVISIBLE * (max(shown) - min(shown)) if shown else 0.0


def covers(one: Line[X], other: Line[X], tolerance: float) -> bool:
    """Whether two lines have the same x and nowhere differ by more than `tolerance`."""
    return one.keys() == other.keys() and all(abs(one[x] - other[x]) <= tolerance for x in one)
