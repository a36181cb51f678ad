"""The sections of a report, found by file name.

Each module has ORDER, its place on the page, and section(document) -> layout.Section: a function of
the document alone, so that every number shown is one of the JSON's.
"""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from types import ModuleType

from reports.layout import Document, Section
from reports.text import clean


def all_sections(document: Document) -> list[tuple[str, Section]]:
    """Every section of the report with its module's name, in order."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    ordered = sorted(modules.items(), key=lambda item: (item[1].ORDER, item[0]))
    return [(name, _section(name, module, document)) for name, module in ordered]


def _section(name: str, module: ModuleType, document: Document) -> Section:
    """A section, or what became of it: a fault in one must not cost the reader all others."""
    try:
        found: Section = module.section(document)
        return found
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {clean(error, 400)} ({name}, line {frame.lineno})"
        words = [f"This section could not be made: {told}.", "The JSON holds its numbers."]
        return Section(name.capitalize(), words)
