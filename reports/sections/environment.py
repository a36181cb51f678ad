"""Where it was measured, with what files, and where those came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reports.layout import Column, Document, Row, Section, Table
from reports.text import NOTHING, clean, mebibytes, number, percent

ORDER = 90


def section(document: Document) -> Section:
    words = [
        f"Run {clean(document['run'])} of study {clean(document['study'])}, started "
        f"{clean(document['started'])}, finished {clean(document['finished'] or 'not yet')}."
    ]
    tables = [_device(device) for device in document["devices"]]
    if document["artifacts"]:
        tables.append(_artifacts(document))
    return Section("Environment and provenance", words, tables=tables, detail=True)


def _device(device: Row) -> Table:
    rows = [["profile", clean(device["profile"])], ["state", clean(device["status"])]]
    if device["reason"]:
        rows.append(["reason", clean(device["reason"], 400)])
    seconds = device["seconds"]
    rows.append(["board time", NOTHING if seconds is None else f"{number(seconds)} s"])
    rows += [[f"pushed: {clean(k)}", mebibytes(v)] for k, v in device["pushed_bytes"].items()]
    rows += [[clean(key), clean(value, 400)] for key, value in _flat(device["facts"])]
    return Table(f"Device {clean(device['name'])}", [Column("fact"), Column("value")], rows)


def _flat(facts: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _artifacts(document: Document) -> Table:
    names = ("file", "format", "size", "compressed", "sparsity", "sha256", "provenance")
    numeric = {"size", "compressed", "sparsity"}
    columns = [Column(name, "number" if name in numeric else "text") for name in names]
    rows = [
        [
            clean(artifact["file"]),
            clean(artifact["format"]),
            mebibytes(artifact["bytes"]),
            mebibytes(artifact["compressed_bytes"]),
            percent(artifact["sparsity"]),
            clean(artifact["sha256"], 64)[:12],
            _provenance(artifact),
        ]
        for artifact in document["artifacts"]
    ]
    return Table("Model files", columns, rows)


def _provenance(artifact: Row) -> str:
    if not artifact["provenance"]:
        return "given"
    told = [f"{key}: {value}" for key, value in _flat(artifact["provenance"])]
    return clean("; ".join(told), 300)
