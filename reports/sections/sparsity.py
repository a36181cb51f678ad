"""Sparsity, realised: what zeros save on paper, and what they gain beside a densified twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.realised import FEWEST, RULE
from reports.text import NOTHING, clean, counted, mebibytes, number, percent, with_interval

ORDER = 35
NO_ZEROS = "No variant that was measured holds zeros to speak of."
WHAT = (
    "A twin is the same graph with its zero weights refilled from their layer's other values. It "
    "was measured in the same launches: the ratio of times is what the zeros do, and nothing else."
)


def section(document: Document) -> Section:
    artifacts = {item["sha256"]: item for item in document["artifacts"]}
    rows = [row for row in document["results"] if _of_interest(row, artifacts)]
    if not rows:
        return Section("Sparsity, realised", [NO_ZEROS], detail=True)
    words = [WHAT, RULE] if any(row["realised"] for row in rows) else []
    return Section(
        "Sparsity, realised",
        words,
        points=list(_points(rows)),
        tables=[_table(Names(document), rows, artifacts), *_layers(rows, artifacts)],
    )


def _of_interest(row: Row, artifacts: Mapping[str, Row]) -> bool:
    found = _zeros(row, artifacts)
    share = found.get("share") or 0.0
    return row["status"] != "unsupported" and (bool(row["realised"]) or share >= FEWEST)


def _zeros(row: Row, artifacts: Mapping[str, Row]) -> Row:
    found: Row = (artifacts.get(row["artifact"]) or {}).get("zeros") or {}
    return found


def _points(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Each variant's verdicts, and what the runtimes are able to."""
    told: dict[str, dict[str, list[str]]] = {}
    able: dict[str, str] = {}
    for row in rows:
        if row["realised"]:
            verdicts = told.setdefault(row["variant"], {})
            verdicts.setdefault(row["realised"]["verdict"], []).append(row["runtime"])
            able[row["runtime"]] = row["realised"]["able"]
    for variant, verdicts in told.items():
        words = [
            f"{verdict} in {', '.join(dict.fromkeys(map(clean, runtimes)))}"
            for verdict, runtimes in verdicts.items()
        ]
        yield clean(variant), f"{'; '.join(words)}."
    for kernels in dict.fromkeys(able.values()):
        runtimes = [clean(runtime) for runtime, told in able.items() if told == kernels]
        yield ", ".join(runtimes), f"sparse kernels: {kernels}."


def _table(names: Names, rows: Sequence[Row], artifacts: Mapping[str, Row]) -> Table:
    columns = [
        *names.columns(),
        Column("zeros", "number"),
        Column("verdict", "word"),
        Column("ratio to twin", "number"),
        Column("on paper", "number"),
        Column("sparse kernel"),
        Column("pattern"),
        Column("size saved", "number", detail=True),
        Column("launches", "number", detail=True),
        Column("note", detail=True),
    ]
    body = [[*names.values(row), *_cells(row, _zeros(row, artifacts))] for row in rows]
    caption = (
        f"Zeros and what they gain ({counted(len(body), 'cell')}), with 95% intervals; on paper: "
        "the ratio if each multiplication by a zero were saved; size: compressed"
    )
    return Table(caption, columns, body).filled()


def _cells(row: Row, zeros: Row) -> list[str]:
    made: Mapping[str, Any] = row["realised"] or {}
    known = zeros.get("weights")
    return [
        percent(zeros.get("share")),
        made.get("verdict") or NOTHING,
        with_interval(made.get("ratio"), made.get("ci")),
        number(zeros.get("paper_ratio")),
        _kernel(made),
        clean(patterns(zeros)) or NOTHING,
        mebibytes(max(0, zeros["saved_bytes"])) if known else NOTHING,
        str(made.get("launches") or ""),
        clean(made.get("reason") or row["reasons"].get("realised") or zeros.get("reason") or ""),
    ]


def patterns(zeros: Row) -> str:
    """The patterns of a file's zeros, that of most weights first."""
    found: Mapping[str, int] = zeros.get("patterns") or {}
    return ", ".join(sorted(found, key=lambda name: -found[name]))


def _kernel(made: Mapping[str, Any]) -> str:
    if not made:
        return ""
    if made["picked"] is None:
        return f"not told: {made['kernels_reason']}"
    return clean(", ".join(made["sparse_kernels"])) if made["picked"] else "none picked"


def _layers(rows: Sequence[Row], artifacts: Mapping[str, Row]) -> Iterator[Table]:
    """A table of each file's layers."""
    for sha256, row in {row["artifact"]: row for row in reversed(rows)}.items():
        layers = _zeros(row, artifacts).get("layers") or []
        if layers:
            caption = f"Zeros by layer: {clean(artifacts[sha256]['file'])}"
            columns = [
                Column("layer"),
                Column("weights"),
                Column("zeros", "number"),
                Column("pattern"),
                Column("MACs saved on paper", "number"),
                Column("compressed size saved", "number"),
                Column("note"),
            ]
            yield Table(caption, columns, [_layer(layer) for layer in layers], detail=True)


def _layer(layer: Row) -> list[str]:
    shape = layer["shape"]
    saved = layer["macs_saved"]
    return [
        clean(layer["name"]),
        " x ".join(map(str, shape)) if shape else f"{layer['weights']:,}",
        percent(layer["share"]),
        layer["pattern"] or NOTHING,
        NOTHING if saved is None else f"{saved:,} of {layer['macs']:,}",
        NOTHING if layer["saved_bytes"] is None else mebibytes(max(0, layer["saved_bytes"])),
        clean(layer["reason"] or ""),
    ]
