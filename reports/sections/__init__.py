"""The sections of a report, found by file name.

Each module has ORDER, its place on the page, and section(document) -> layout.Section: a function of
the document alone, so that every number shown is one of the JSON's.
"""

from __future__ import annotations

import importlib
import pkgutil

from reports.layout import Document, Section


def all_sections(document: Document) -> list[tuple[str, Section]]:
    """Every section of the report with its module's name, in order."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    ordered = sorted(modules.items(), key=lambda item: (item[1].ORDER, item[0]))
    return [(name, module.section(document)) for name, module in ordered]
