"""A document in every form: terminal, Markdown, HTML, JSON, CSV."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from csv import DictWriter
from typing import Any

from rich.console import Console

from reports.forms import to_html, to_markdown, to_terminal
from reports.layout import Document
from reports.sections import all_sections
from reports.text import shorten

_LONGEST_FIELD = 32_000  # what a spreadsheet's cell can hold
# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def terminal(document: Document, console: Console) -> None:
    """Print the parts that fit a terminal."""
    to_terminal(all_sections(document), console)


def markdown(document: Document) -> str:
    """The report as GitHub-flavoured Markdown, the details folded away."""
    return to_markdown(all_sections(document), f"edgeproof: {document['study']}")


def html(document: Document) -> str:
    """The report as one file that needs nothing else: no script, no request."""
    return to_html(all_sections(document), f"edgeproof: {document['study']}")


def json_text(document: Document) -> str:
    """The document itself, keys in the order of the contract."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def csv(document: Document) -> str:
    """One row a cell, nested keys joined by dots, intervals as .low and .high."""
    rows = [dict(_flat(row)) for row in document["results"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = DictWriter(written, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        name = f"{prefix}{key}"
        if key in ("flags", "reasons"):
            yield name, _harmless(_joined(value))
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif prefix.endswith(("ci.", "intervals.")):
            low, high = value or (None, None)
            yield from ((f"{name}.low", low), (f"{name}.high", high))
        elif isinstance(value, list):
            yield name, json.dumps(value)
        else:
            yield name, _harmless(value) if isinstance(value, str) else value


def _joined(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {reason}" for key, reason in value.items())
    return "; ".join(value)


def _harmless(text: str) -> str:
    short = shorten(text, _LONGEST_FIELD)
    return f"'{short}" if short.startswith(_FORMULA) else short
