"""A document in every form: terminal, Markdown, HTML, JSON, CSV, Parquet, JUnit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from rich.console import Console

from reports import tabular
from reports.forms import chart_files, to_html, to_markdown, to_terminal
from reports.junit import xml
from reports.layout import Document
from reports.rows import blank_row
from reports.sections import all_sections
from reports.text import clean


def terminal(document: Document, console: Console) -> None:
    """Print the parts that fit a terminal."""
    to_terminal(all_sections(document), console)


def markdown(document: Document, pictures: str | None = None) -> str:
    """The report as GitHub-flavoured Markdown, the details folded away.

    It refers to charts in the folder `pictures`, where `charts` are to be written.
    """
    return to_markdown(all_sections(document), f"edgeproof: {document['study']}", pictures)


def charts(document: Document) -> dict[str, str]:
    """The charts as SVG by the names of their files."""
    return chart_files(all_sections(document))


def html(document: Document) -> str:
    """The report as one file that needs nothing else, its data in it: no request."""
    data = {"report.json": json.dumps(document, allow_nan=False), "cells.csv": csv(document)}
    title = f"edgeproof: {document['study']}"
    return to_html(all_sections(document), title, data, _about(document))


def _about(document: Document) -> str:
    """When and where it was measured."""
    devices = ", ".join(clean(device["name"]) for device in document["devices"])
    ended = "" if document["finished"] else ", not finished"
    began = document["started"][:16].replace("T", " ")
    return f"Run {document['run']}, {began} UTC{ended}, on {devices}"


def json_text(document: Document) -> str:
    """The document itself, keys in the order of the contract."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def csv(document: Document) -> str:
    """One row a cell."""
    return tabular.csv(document["results"], blank_row())


def parquet(document: Document) -> bytes:
    """One row a cell; raises ModuleNotFoundError without pyarrow."""
    return tabular.parquet(document["results"], blank_row())


FORMS: Mapping[str, Callable[[Document], str | bytes]] = {
    "csv": csv,
    "html": html,
    "json": json_text,
    "junit": xml,
    "md": markdown,
    "parquet": parquet,
}
