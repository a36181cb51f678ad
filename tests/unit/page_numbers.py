"""Which numbers of a page are not of its document: those without the mark of `traced_numbers`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from reports import realised, saturation
from reports.forms import Sections
from reports.layout import Table
from reports.sections import all_sections
from tests.unit.traced_numbers import UNITS, listed, numbers, traced, unmarked, unprinted

# Numbers of fixed words, none of which was measured.
FIXED = (
    r"\bp(?:50|95|99) needs \d+",  # samples, for an interval of a percentile
    r"\b(?:unpreempted )?p(?:50|95|99)(?= |:|,|;|$)",  # names of quantiles
    r"\b[Tt]op-[15]\b|\bmAP@0\.5|\bsha256\b",  # names of scores and files
    r"latency(?:_unpreempted)?_p(?:50|95|99)_(?:ms|ratio)|accuracy_top1(?:_drop)?",  # of metrics
    r"\b95% (?:interval|credible)",  # the document's `confidence`
    r"\(Holm, 5%\)|more than 1%|raise it by 5%",  # the error and margins that claims are made with
    r"(?:below|above|leaves|is given as) [01]\b|\b0(?=: without any| is best)|0\.\.1",  # of scales
    r"15 bins|fewer than 5 samples|50% tells nothing|too small for float32",  # of definitions
    r"of 30 with `edgeproof run --profile`|At most 3 axes",  # of what a command does
    r"max: 0\.01|max: 25",  # an example to copy
    r"Dietterich 2019",  # a paper
    r"> 99\.9%|< 0\.1%",  # a chance beyond what so many draws can tell
    r"(?<!\S)0(?![\d.,])",  # a zero, which needs no format
)
RULES = (realised.RULE, saturation.RULE)
# Of things that the page or the document lists, however many there are.
COUNTED = (
    r"\b\d+ (?:of \d+ )?(?:cells?|places?|values?|changes?|sessions?|candidates?)\b",
    r"\bin \d+(?=(?:, \w+ in \d+)* of \d+ places)|best of \d+ that",
)
# How many flags there are, the number of a row, the name of a fact.
COUNTS = ("column flags", "column session", "column fact")
# Of scales: the ends of a diagonal, the line of no difference, where a region begins.
AXES = (0.0, 1.0)
# What says how it is measured and decided: the program's rules, and the papers they follow.
METHOD = "method"


class Shown(NamedTuple):
    """A text of a page and where it stands."""

    section: str
    kind: str
    text: str
    rows: int = 0  # of the table that it heads


def texts(sections: Sections) -> Iterator[Shown]:
    """All that is to be read."""
    for name, section in sections:
        yield Shown(name, "title", section.title)
        yield from (Shown(name, "words", text) for text in section.words)
        yield from (Shown(name, "point", text) for point in section.points for text in point)
        yield from (Shown(name, "chart", chart.caption) for chart in section.charts)
        for table in section.tables:
            yield from _of_table(name, table)


def _of_table(name: str, table: Table) -> Iterator[Shown]:
    yield Shown(name, "caption", table.caption, len(table.rows))
    yield from (Shown(name, "heading", column.name) for column in table.columns)
    for row in table.rows:
        for column, text in zip(table.columns, row, strict=True):
            yield Shown(name, f"column {column.name}", text)


Show = Callable[[Mapping[str, Any]], Sections]


def report(document: Mapping[str, Any]) -> Sections:
    return all_sections(document)


def strangers(document: Mapping[str, Any], show: Show) -> list[tuple[Shown, str]]:
    """The numbers of a page that are not of its document."""
    facts = set(listed(_facts(document)))
    fixed = (*FIXED, *COUNTED, *map(re.escape, document.get("hardware", ())))
    found = []
    plain, marks = texts(show(document)), texts(show(traced(document)))
    for one, other in zip(plain, marks, strict=True):
        # Of a hash or a time the page shows the beginning, which the marks make shorter.
        if "…" not in one.text + other.text:
            assert one.text.startswith(unprinted(other.text)), "marks change nothing but numbers"
        if one.text in facts or one.section == METHOD or one.kind in COUNTS:
            continue
        found += [(one, number) for number in unmarked(_without_rules(other), fixed)]
    return found


def _facts(document: Mapping[str, Any]) -> Any:
    """What is shown of a device as JSON."""
    return {str(at): device["facts"] for at, device in enumerate(document.get("devices", ()))}


def _without_rules(shown: Shown) -> str:
    text = shown.text.replace(f"({shown.rows} pair", "(")
    for rule in RULES:
        text = text.replace(rule, "")
    return text


def undrawn(document: Mapping[str, Any], show: Show) -> list[float]:
    """The numbers of charts that are not of the document, to 12 digits or in another unit."""
    exact = [*numbers(document), *_ends(document), *AXES]
    known = {f"{unit * number:.12g}" for number in exact for unit in (1, *UNITS)}
    return [
        number
        for _, section in show(document)
        for chart in section.charts
        for points in chart.draw().get("datasets", {}).values()
        for number in numbers([{**point, "minute": 0} for point in points])
        if f"{number:.12g}" not in known
    ]


def _ends(document: Mapping[str, Any]) -> Iterator[float]:
    """When launches ended, of which the document has the beginning and how long they lasted."""
    for device in document.get("thermal", ()):
        yield from (row["at_s"] + row["seconds"] for row in device["launches"] if row["at_s"])
