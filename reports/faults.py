"""What a reader is told of a fault in the report itself."""

from __future__ import annotations

import traceback

from reports.text import clean

LONGEST = 400


def fault(error: Exception) -> str:
    """What was raised and where; it must be called while the error is handled."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {clean(error, LONGEST)}, {frame.name} line {frame.lineno}"
