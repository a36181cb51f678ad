"""What a reader is told of a fault in the report itself, which must not cost the rest."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable

from reports.layout import Section
from reports.text import clean

LONGEST = 400
# Set by tests, to whom a fault is one however well the page tells it.
raising = False


def fault(error: Exception) -> str:
    """What was raised and where; it must be called while the error is handled."""
    if raising:
        raise error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {clean(error, LONGEST)}, {frame.name} line {frame.lineno}"


def lost(name: str, error: Exception) -> Section:
    """What stands in the place of a section that raised."""
    words = f"This section could not be made: {fault(error)} ({name})."
    return Section(name.capitalize(), [words, "The JSON holds its numbers."])


def kept(makers: Iterable[tuple[str, Callable[[], Section | None]]]) -> list[tuple[str, Section]]:
    """The sections that there are, in order, each in spite of what the others do."""
    made = [(name, _made(name, make)) for name, make in makers]
    return [(name, section) for name, section in made if section is not None]


def _made(name: str, make: Callable[[], Section | None]) -> Section | None:
    try:
        return make()
    except Exception as error:
        return lost(name, error)
