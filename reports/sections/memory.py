"""Memory and load, per cell, and what the peak is made of."""

from __future__ import annotations

from reports.floor import peak_words
from reports.layout import Column, Document, Row, Section, Table
from reports.memory import STAGES
from reports.names import Names
from reports.text import clean, number, with_interval

ORDER = 70
_MEASURES = {
    "peak_rss_mib": "peak memory, MiB",
    "load_ms": "load, ms",
    "first_inference_ms": "first inference, ms",
}
_PARTS = {
    "peak_rss_mib": "peak",
    "runtime_mib": "runtime and libraries",
    "weights_mib": "weights",
    "activations_mib": "activations",
    "io_mib": "inputs and outputs",
}
_STAGES = dict(
    zip(STAGES, ("started", "runtime imported", "loaded", "first inference", "end"), strict=True)
)
SMALL_REST = 0.05  # parts that come so close to the peak add up


def section(document: Document) -> Section:
    rows = [row for row in document["results"] if row["status"] == "ok"]
    if not rows:
        return Section("Memory and load", ["No cell has a result."], detail=True)
    names = Names(document)
    columns = [*names.columns(), *(Column(name, "number") for name in _MEASURES.values())]
    body = [[*names.values(row), *_values(row)] for row in rows]
    caption = "Median over launches, with the 95% interval of this run only"
    tables = [Table(caption, columns, body)]
    apart = [row for row in rows if row["other_mib"] is not None]
    words = [
        "Peak memory is the whole process's: the runtime's own libraries are in it.",
        *peak_words(document),
    ]
    if apart:
        words += _words(apart)
        tables += [_parts(names, apart), _stages(names, apart)]
    else:
        words.append(f"The parts of the peak are not known: {rows[0]['reasons']['other_mib']}.")
    return Section("Memory and load", words, tables=tables, detail=True)


def _values(row: Row) -> list[str]:
    return [with_interval(row[name], row["intervals"][name]) for name in _MEASURES]


def _words(rows: list[Row]) -> list[str]:
    """How to read the parts, and where the runtimes' own figures come from."""
    accounts = sorted({row["memory"]["account"] for row in rows if row["memory"]["account"]})
    told = "; ".join(clean(account, 0) for account in accounts) or "no runtime tells any"
    return [
        "Runtime and libraries are what is resident before the model comes, and the library code "
        "that is first read with it. The rest is what no part claims: copies of weights that a "
        "runtime packs, what loading leaves behind, threads, and every part that is not told. "
        "Below zero, parts share pages.",
        f"Weights and activations as the runtime tells them ({told}).",
    ]


def _parts(names: Names, rows: list[Row]) -> Table:
    columns = [Column(name, "number") for name in (*_PARTS.values(), "the rest")]
    body = [
        [*names.values(row), *(number(row[name]) for name in _PARTS), _rest(row)] for row in rows
    ]
    on_gpu = any(row["gpu_mib"] is not None for row in rows)
    if on_gpu:  # where weights and activations are, too
        columns.append(Column("on the GPU", "number"))
        body = [[*line, number(row["gpu_mib"])] for line, row in zip(body, rows, strict=True)]
    return Table("What the peak is made of, MiB", [*names.columns(), *columns], body)


def _rest(row: Row) -> str:
    """The rest, with its share of the peak where that is more than a small one."""
    share = row["other_mib"] / row["peak_rss_mib"]
    told = number(row["other_mib"])
    return told if abs(share) <= SMALL_REST else f"{told} ({share:.0%})"


def _stages(names: Names, rows: list[Row]) -> Table:
    """What is resident at each stage, and the peak on the way there where it is higher."""
    columns = [*names.columns(), *(Column(name, "number") for name in _STAGES.values())]
    body = [[*names.values(row), *(_stage(row, stage) for stage in _STAGES)] for row in rows]
    caption = "Resident at each stage (in brackets the peak since the one before), MiB"
    return Table(caption, columns, body)


def _stage(row: Row, stage: str) -> str:
    return f"{number(row['memory']['rss_mib'][stage])} ({number(row['memory']['peak_mib'][stage])})"
