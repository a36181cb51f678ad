"""Words and numbers as people read them, with names made harmless first."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

LONGEST = 120  # a longer text is cut in the middle: its ends tell names apart
NOTHING = "–"  # noqa: RUF001 (stands for a null)
MOST_DECIMALS = 5
REPLACED = "\N{REPLACEMENT CHARACTER}"
# Line breaks become spaces; other control characters, direction overrides and lone surrogates
# could recolour a terminal or reorder a page.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SPACE = re.compile(r"[\s\u2028\u2029]+")


def clean(text: object, longest: int = LONGEST) -> str:
    """One line of harmless text: no control or direction characters, cut when too long."""
    return _cleaned(str(text), longest)


@lru_cache(maxsize=4096)  # a report repeats its names in every table
def _cleaned(text: str, longest: int) -> str:
    if not longest:
        return _safe(_SPACE.sub(" ", text))
    if len(text) > 10 * longest:  # no need to look at all of it
        text = text[: 5 * longest] + text[-5 * longest :]
    return shorten(_safe(_SPACE.sub(" ", text)), longest)


def printable(text: str) -> str:
    """Lines of harmless text, each as it is but for control and direction characters."""
    return "\n".join(_safe(line) for line in text.split("\n"))


def _safe(line: str) -> str:
    if line.isprintable():  # nearly every line: no need to look at each character
        return line
    return "".join(REPLACED if unicodedata.category(c) in _UNSAFE else c for c in line)


def shorten(text: str, longest: int) -> str:
    """The text, or its beginning and end around an ellipsis."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 3
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"


def number(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where people want none."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # after rounding: 9.999 is 10.0
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def with_interval(value: float | None, ends: Sequence[float] | None, digits: int = 3) -> str:
    """A value and its interval: 1.21 [1.19, 1.23]."""
    if value is None or ends is None:
        return number(value, digits)
    value_text, low, high = alike(value, ends, digits)
    return f"{value_text} [{low}, {high}]"


def alike(value: float, ends: Sequence[float], digits: int = 3) -> tuple[str, str, str]:
    """A value and the ends of its interval, all with as many decimals as tell the ends apart."""
    width = abs(ends[1] - ends[0])
    if not abs(value) >= 1e-4 or not 10**-MOST_DECIMALS <= width < math.inf:
        return number(value, digits), number(ends[0], digits), number(ends[1], digits)
    leading = number(value, digits).partition(".")[2]
    decimals = min(MOST_DECIMALS, max(len(leading), -math.floor(math.log10(width))))
    first, low, high = (f"{each:,.{decimals}f}" for each in (value, *ends))
    return first, low, high


def percent(share: float | None, ends: Sequence[float] | None = None) -> str:
    """A share as a percentage: 91.5% [86.8, 94.6]."""
    if share is None:
        return NOTHING
    span = f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else ""
    return f"{100 * share:.1f}%{span}"


def valued(value: float | None, ends: Sequence[float] | None, unit: str) -> str:
    """A value of a gate's metric with its interval and unit; a share as a percentage."""
    if unit == "share":
        return percent(value, ends)
    text = with_interval(value, ends)
    return text if value is None or unit == "x" else f"{text} {unit}"


def mebibytes(size: float | None) -> str:
    """A size in bytes as MiB, or as KiB or bytes when small."""
    if size is None:
        return NOTHING
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{number(size / factor)} {unit}"
    return f"{size:.0f} B"


def counted(count: int, noun: str) -> str:
    """1 launch, 2 launches."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
