"""Rows as tidy tables for other programs: CSV and Parquet, a column for each value."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from csv import DictWriter
from typing import Any

from reports.text import REPLACED, printable, shorten

Row = Mapping[str, Any]
_LONGEST_FIELD = 32_000  # what a spreadsheet's cell can hold
# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@")
_HALF = re.compile("[\ud800-\udfff]")
_BREAK = re.compile(r"\r\n?")


def csv(rows: Sequence[Row], blank: Row | None = None) -> str:
    """Text with a line of names; nested keys joined by dots, intervals as .low and .high.

    Without a row the names are those of `blank`: pandas reads nothing of a file without names.
    """
    flat = [{name: _printed(value) for name, value in _flat(row)} for row in rows]
    written = io.StringIO()
    writer = DictWriter(written, _names(flat) or _blank(blank), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return written.getvalue()


def parquet(rows: Sequence[Row], blank: Row | None = None) -> bytes:
    """The same columns with their types; lists of numbers stay lists.

    Raises ModuleNotFoundError without pyarrow.
    """
    import pyarrow
    from pyarrow.parquet import write_table

    flat = [dict(_flat(row)) for row in rows]
    names = _names(flat) or _blank(blank)
    columns = {name: _column([row.get(name) for row in flat]) for name in names}
    written = io.BytesIO()
    write_table(pyarrow.table(columns), written, compression="zstd")
    return written.getvalue()


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _blank(row: Row | None) -> list[str]:
    return [name for name, _ in _flat(row or {})]


def _flat(row: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        name = f"{prefix}{key}"
        if key in ("flags", "reasons"):
            yield name, _joined(value)
        elif isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif prefix.endswith(("ci.", "intervals.")):
            low, high = value or (None, None)
            yield from ((f"{name}.low", low), (f"{name}.high", high))
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield name, json.dumps(value)
        else:
            yield name, value


def _joined(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {reason}" for key, reason in value.items())
    return "; ".join(value)


def _printed(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    return _harmless(value) if isinstance(value, str) else value


def _column(values: Sequence[Any]) -> list[Any]:
    """Values of one type: where lists of objects are JSON, an empty list is too."""
    texts = any(isinstance(value, str) for value in values)
    return [
        json.dumps(value) if texts and isinstance(value, list) else _whole(value)
        for value in values
    ]


def _whole(value: Any) -> Any:
    """The same with texts that every program can read: half a pair of surrogates is none."""
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return _HALF.sub(REPLACED, value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """A text that is one field for every program, and for a spreadsheet no formula."""
    lines = _BREAK.sub("\n", text).replace("\t", " ")
    short = shorten(printable(lines), _LONGEST_FIELD)
    return f"'{short}" if short.startswith(_FORMULA) else short
