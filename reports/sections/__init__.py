"""The sections of a report, found by file name.

Each module has ORDER, its place on the page, and section(document) -> layout.Section: a function of
the document alone, so that every number shown is one of the JSON's.
"""

from __future__ import annotations

import importlib
import pkgutil

from reports.faults import lost
from reports.layout import Document, Section

LAST = 1000  # the place of one that could not even be read


def all_sections(document: Document) -> list[tuple[str, Section]]:
    """Every section of the report with its module's name, in order."""
    made = [
        (module.name, *_made(module.name, document)) for module in pkgutil.iter_modules(__path__)
    ]
    ordered = sorted(made, key=lambda each: (each[1], each[0]))
    return [(name, section) for name, _, section in ordered]


def _made(name: str, document: Document) -> tuple[int, Section]:
    """A section and its place, or what became of it: a fault in one must not cost all others."""
    order = LAST
    try:
        module = importlib.import_module(f"{__name__}.{name}")
        order = module.ORDER
        return order, module.section(document)
    except Exception as error:
        return order, lost(name, error)
