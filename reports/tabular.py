"""Rows as tidy tables for other programs: CSV and Parquet, a column for each value."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from csv import DictWriter
from typing import Any

from reports.text import shorten

Row = Mapping[str, Any]
_LONGEST_FIELD = 32_000  # what a spreadsheet's cell can hold
# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv(rows: Sequence[Row]) -> str:
    """Text with a line of names; nested keys joined by dots, intervals as .low and .high."""
    flat = [{name: _printed(value) for name, value in _flat(row)} for row in rows]
    written = io.StringIO()
    writer = DictWriter(written, _names(flat), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return written.getvalue()


def parquet(rows: Sequence[Row]) -> bytes:
    """The same columns with their types; lists of numbers stay lists.

    Raises ModuleNotFoundError without pyarrow.
    """
    import pyarrow
    from pyarrow.parquet import write_table

    flat = [dict(_flat(row)) for row in rows]
    columns = {name: [row.get(name) for row in flat] for name in _names(flat)}
    written = io.BytesIO()
    write_table(pyarrow.table(columns), written, compression="zstd")
    return written.getvalue()


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _flat(row: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        name = f"{prefix}{key}"
        if key in ("flags", "reasons"):
            yield name, _joined(value)
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif prefix.endswith(("ci.", "intervals.")):
            low, high = value or (None, None)
            yield from ((f"{name}.low", low), (f"{name}.high", high))
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield name, json.dumps(value)
        else:
            yield name, value


def _joined(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {reason}" for key, reason in value.items())
    return "; ".join(value)


def _printed(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    whole = text.encode("utf-8", "replace").decode()  # half a pair is no text for other programs
    short = shorten(whole, _LONGEST_FIELD)
    return f"'{short}" if short.startswith(_FORMULA) else short
