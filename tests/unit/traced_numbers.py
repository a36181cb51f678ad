"""A document whose numbers leave a mark wherever they are printed, and nowhere if computed with.

So a number on a page without a mark is one that the document does not hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.gates import METRICS

MARK = "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}"
_PRINTED = re.compile(rf"{MARK}[-+]?\d[\d,.]*(?:e[-+]?\d+)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)")
# What turns a number of the document into the unit of the page: percent, KiB, MiB, ms, minutes.
UNITS = (100, 2**10, 2**20, 2**-10, 2**-20, 1000, 1 / 60)
# Words that the program itself takes for keys.
_WORDS = frozenset(METRICS)


class Real(float):
    """A float of the document."""

    def __format__(self, spec: str) -> str:
        return MARK + float.__format__(self, spec)

    def __str__(self) -> str:
        return MARK + float.__str__(self)

    def __mul__(self, other: Any) -> Any:
        return _kept(float(self) * other, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return _kept(float(self) / other, other)

    def __sub__(self, other: Any) -> Any:
        """A ratio less 1 is how much more or less it is, in another unit."""
        return Real(float(self) - 1) if other == 1 else float(self) - other


class Whole(int):
    """An integer of the document."""

    def __format__(self, spec: str) -> str:
        return MARK + int.__format__(self, spec)

    def __str__(self) -> str:
        return MARK + int.__repr__(self)

    def __mul__(self, other: Any) -> Any:
        return _kept(int(self) * other, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return _kept(int(self) / other, other)


class Moment(str):
    """A time of the document, of which a page may show the beginning."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> str:
        return marked(str.__getitem__(self, key))

    def __str__(self) -> str:
        return marked(str.__getitem__(self, slice(None)))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def _kept(value: Any, unit: Any) -> Any:
    """Still the document's where only its unit changed."""
    if not isinstance(value, (int, float)):
        return value
    if type(unit) not in (Real, Whole) and unit in UNITS:
        return Real(value)
    return value


def traced(value: Any) -> Any:
    """The same document, its numbers marked; the words that the program goes by stay."""
    if isinstance(value, Mapping):
        return {key: traced(item) for key, item in value.items()}
    if isinstance(value, list):
        return [traced(item) for item in value]
    if isinstance(value, str):
        if _MOMENT.fullmatch(value):
            return Moment(value)
        return value if value in _WORDS else marked(value)
    if isinstance(value, bool) or value is None:
        return value
    return Real(value) if isinstance(value, float) else Whole(value)


def marked(text: str) -> str:
    """A text of the document, its numbers marked."""
    return re.sub(r"\d+", rf"{MARK}\g<0>", text)


def unmarked(text: str, fixed: Sequence[str]) -> list[str]:
    """The numbers of a text that come neither from the document nor from the fixed words."""
    # What was cut off in the middle may begin within a number.
    rest = re.sub(r"…\d+", "…", _PRINTED.sub("", text))
    for pattern in fixed:
        rest = re.sub(pattern, " ", rest)
    return re.findall(r"\d[\d,.]*", rest)


def unprinted(text: str) -> str:
    """The text as a reader sees it."""
    return text.replace(MARK, "")


def numbers(value: Any) -> Iterator[float]:
    """Every number of a document."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def listed(value: Any) -> Iterator[str]:
    """What a page prints of a document as JSON: the facts that are no text."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from listed(item)
    elif not isinstance(value, str):
        yield json.dumps(value, ensure_ascii=False)
