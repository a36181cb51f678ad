"""Types of the fields that people write in studies and inventories."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from harness import documents
from harness.documents import refused

MAX_BUDGET_S = 7 * 24 * 3600.0
MAX_LIST = 64

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in "hms"))


def seconds(value: object) -> float:
    """Read a duration (90, "90s", "10m", "1h30m") as seconds; raises ValueError."""
    number = _number(value)
    if number is None:
        raise ValueError(f"'{documents.shortened(value)}' is no duration; write 90s, 10m or 1h30m")
    if not 0 < number <= MAX_BUDGET_S:
        raise ValueError(f"{documents.shortened(value)} is not between 0 and 7 days")
    return number


def distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that names something twice."""
    repeated = [item for index, item in enumerate(items) if item in items[:index]]
    if repeated:
        raise refused(f"'{repeated[0]}' is listed twice")
    return items


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        found = DURATION.fullmatch(str(value).replace(" ", "").lower())
    if not found or not found.group():
        return None
    return sum(float(text) * UNITS[unit] for unit, text in found.groupdict().items() if text)


def _duration(value: object) -> float:
    try:
        return seconds(value)
    except ValueError as error:
        raise refused(str(error)) from None


def _slug(name: str) -> str:
    """Refuse names that would not be safe as a part of ids and paths."""
    if len(name) > 64 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        shown = documents.shortened(name)
        raise refused(f"'{shown}' is no name: 1 to 64 letters, digits, '.', '_' and '-'")
    return name


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise refused(f"must be a finite number; it is {value}")
    return value


def _dimension(value: object) -> object:
    return None if value == -1 and not isinstance(value, bool) else value


Slug = Annotated[str, StringConstraints(strict=True), AfterValidator(_slug)]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=4096)]
Count = Annotated[int, Field(strict=True, ge=1)]
Dimension = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=1 << 31)] | None,
    BeforeValidator(_dimension, json_schema_input_type=int | None),
]
Number = Annotated[float, Field(strict=True), AfterValidator(_finite)]
Seconds = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str)]
Axis = Field(min_length=1, max_length=MAX_LIST)
