"""The sections that show two runs side by side, whatever the form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from reports.faults import kept
from reports.forms import Sections
from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import (
    NOTHING,
    clean,
    counted,
    mebibytes,
    number,
    percent,
    with_interval,
)

LEADING = ("latency_p50_ms", "throughput_ips")  # of those that a cell has, the first leads
_SIZES = frozenset({"file size", "compressed size"})


def sections(document: Document) -> Sections:
    """The sections of a document of reports.sessions.compared, in order."""
    parts = {
        "answer": _answer,
        "surroundings": _surroundings,
        "certain": _certain,
        "times": _times,
        "method": _method,
    }
    return kept((name, partial(part, document)) for name, part in parts.items())


def title(document: Document) -> str:
    first, second = document["first"]["run"], document["second"]["run"]
    return f"edgeproof compare: {first} and {second}"


def _answer(document: Document) -> Section:
    if document["comparable"]:
        return Section("Answer", list(_verdictless(document)), list(_nominated(document)))
    words = [
        f"Their times cannot be compared: {clean(document['refusal'], 800)}.",
        f"To know what changed: {clean(document['next_step'], 300)}.",
    ]
    return Section("Answer", words)


def _verdictless(document: Document) -> Iterator[str]:
    told = [row["anchored"] for cell in document["cells"] for row in cell["measured"]]
    tied = [row for row in told if row and row["ratio"] is not None]
    marked = sum(row["nominated"] for row in tied)
    if tied:
        yield (
            f"{marked or 'None'} of {counted(len(tied), 'value')} moved against the anchor by more "
            "than 1% beyond the chance of these launches."
        )
    else:
        yield "No time is tied to an anchor, so nothing can be said of what changed it."
    if marked:
        yield f"That nominates, it proves nothing; to confirm: {clean(document['next_step'], 300)}."
    forbidden = [cell for cell in document["cells"] if cell["forbidden"]]
    for reason in dict.fromkeys(cell["forbidden"] for cell in forbidden):
        yield _told_of(
            [cell for cell in forbidden if cell["forbidden"] == reason], clean(reason, 400)
        )
    yield from _anchors(document)


def _anchors(document: Document) -> Iterator[str]:
    """How much moved though the file did not."""
    ratios = sorted(row["ratio"] for row in document["anchors"] if row["metric"] == LEADING[0])
    if ratios:
        span = " to ".join(dict.fromkeys([number(ratios[0]), number(ratios[-1])]))
        names = ", ".join(dict.fromkeys(clean(row["variant"]) for row in document["anchors"]))
        yield (
            f"The anchor {names}, the same file in both, took {span} times as long at p50 in the "
            "second run: so much is the session's, and is in every plain ratio."
        )


def _nominated(document: Document) -> Iterator[tuple[str, str]]:
    names = Names({"results": document["cells"]})
    for cell in document["cells"]:
        told = [
            f"{row['metric']} {with_interval(row['anchored']['ratio'], row['anchored']['ci'])}"
            for row in cell["measured"]
            if row["anchored"] and row["anchored"]["nominated"]
        ]
        if told:
            text = f"against {clean(cell['anchor'])}, second over first: {', '.join(told)}"
            alike = "; its file is the same, so that it is not what changed"
            yield names.label(cell), text + alike * cell["same_file"]


def _surroundings(document: Document) -> Section:
    words = [
        f"{label}: {clean(run['run'])} of study {clean(run['study'])}, started "
        f"{clean(run['started'])}{'' if run['finished'] else ', not finished'}."
        for label, run in (("First", document["first"]), ("Second", document["second"]))
    ]
    found = document["differences"]
    if not found:
        words.append("Nothing that was recorded around them differs.")
        return Section("What differs around them", words)
    columns = [Column(name) for name in ("where", "what", "first", "second", "cannot be compared")]
    rows = [
        [
            clean(" · ".join(filter(None, (r["device"], r["runtime"], r["scenario"]))) or "both"),
            clean(r["fact"]),
            clean(r["first"], 200),
            clean(r["second"], 200),
            {"times": "times and memory", "accuracy": "accuracy"}.get(r["forbids"], "nothing"),
        ]
        for r in found
    ]
    caption = "Differences, and what cannot be compared because of them"
    table = Table(caption, columns, rows)
    return Section("What differs around them", words, tables=[table])


def _certain(document: Document) -> Section:
    """What files and answers say, which no session changes."""
    names = Names({"results": document["cells"]})
    tables = [_changes(document, names), _accuracy(document, names), _planned(document, names)]
    shown = [table for table in tables if table.rows]
    same = sum(cell["same_file"] for cell in document["cells"])
    words = [f"{same} of {counted(len(document['cells']), 'cell')} ran the same file in both runs."]
    if not tables[0].rows and document["cells"]:
        words.append("No status, file or executed precision changed.")
    if not tables[1].rows and any(cell["accuracy"] for cell in document["cells"]):
        words.append("No accuracy changed.")
    return Section("What changed for certain", words, tables=shown)


def _changes(document: Document, names: Names) -> Table:
    """Each change once, with the cells that it is of."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for cell in document["cells"]:
        for change in cell["changes"]:
            why = clean(cell["reason"]["second"] or "", 300) if change["of"] == "status" else ""
            sides = _value(change, "first"), _value(change, "second")
            key = (clean(cell["variant"]), change["of"], *sides, why)
            found.setdefault(key, []).append(cell)
    columns = [Column(name) for name in ("variant", "what", "first", "second", "why", "in")]
    rows = [
        [*key, names.label(cells[0]) if len(cells) == 1 else counted(len(cells), "cell")]
        for key, cells in found.items()
    ]
    return Table("Changes", columns, rows).filled()


def _value(change: Row, side: str) -> str:
    value = change[side]
    if change["of"] in _SIZES:
        return mebibytes(value)
    if change["of"] == "sparsity":
        return percent(value)
    return clean(value, 200)[:12] if change["of"] == "file" else clean(value, 200)


def _accuracy(document: Document, names: Names) -> Table:
    """Once for each evaluation, which has no batch size; not of a file that answered as before."""
    without = ("batch", "threads", "scenario")
    columns = [
        *names.columns(without),
        Column("score"),
        *(Column(name, "number") for name in ("first", "second", "lost [95% interval]")),
        Column("why not known"),
    ]
    rows = [
        [
            *names.values(cell, without),
            row["score"],
            percent(row["first"]),
            percent(row["second"]),
            percent(row["drop"], row["ci"]),
            clean(row["reason"] or "", 300) if row["drop"] is None else "",
        ]
        for cell in document["cells"]
        for row in cell["accuracy"]
        if not cell["same_file"] or row["first"] != row["second"]
    ]
    distinct = [list(row) for row in dict.fromkeys(map(tuple, rows))]
    caption = "Accuracy of both, and what was lost, sample by sample; below 0 is gained"
    return Table(caption, columns, distinct).filled()


def _planned(document: Document, names: Names) -> Table:
    columns = [Column("only in"), *names.columns()]
    rows = [
        [label, *names.values(cell)]
        for label, key in (("first", "only_first"), ("second", "only_second"))
        for cell in document[key]
    ]
    return Table("Cells that one run alone has", columns, rows, detail=True)


def _times(document: Document) -> Section:
    names = Names({"results": document["cells"]})
    cells = [cell for cell in document["cells"] if cell["measured"]]
    if not cells:
        return Section("Times and memory", ["Nothing can be held against each other here."])
    leading = [(cell, row) for cell in cells if (row := _leading(cell))]
    others = [
        (cell, row) for cell in cells for row in cell["measured"] if row is not _leading(cell)
    ]
    words = [
        "A plain ratio is a description: the runs were not interleaved, so that it holds what the "
        "session did as much as what changed. The ratio to the anchor is second over first of what "
        "the launches of each run say of the cell beside the anchor.",
        *_without(document),
    ]
    tables = [
        _table("p50, or throughput where no time is one user's", names, leading),
        _table("The other values", names, others, detail=True),
    ]
    return Section("Times and memory", words, tables=[table for table in tables if table.rows])


def _leading(cell: Row) -> Row | None:
    rows = {row["metric"]: row for row in cell["measured"]}
    return next((rows[name] for name in LEADING if name in rows), None)


def _table(
    caption: str, names: Names, found: Sequence[tuple[Row, Row]], detail: bool = False
) -> Table:
    heads = ("first [95% interval]", "second [95% interval]", "plain ratio")
    columns = [
        *names.columns(),
        Column("value"),
        *(Column(name, "number") for name in heads),
        Column("to the anchor [95% interval]", "number"),
        Column("moved"),
    ]
    rows = [
        [
            *names.values(cell),
            row["metric"],
            with_interval(row["first"]["value"], row["first"]["ci"]),
            with_interval(row["second"]["value"], row["second"]["ci"]),
            number(row["ratio"]),
            *_anchored(row["anchored"]),
        ]
        for cell, row in found
    ]
    return Table(caption, columns, rows, detail).filled()


def _anchored(found: Any) -> tuple[str, str]:
    if not found or found["ratio"] is None:
        return NOTHING, ""
    return with_interval(found["ratio"], found["ci"]), "nominated" if found["nominated"] else ""


def _without(document: Document) -> list[str]:
    """Why some cells have no ratio to an anchor, once for each reason."""
    told: dict[str, list[Row]] = {}
    for cell in document["cells"]:
        if cell["no_anchor"] and cell["measured"]:
            told.setdefault(clean(cell["no_anchor"], 400), []).append(cell)
    return [_told_of(cells, reason) for reason, cells in told.items()]


def _told_of(cells: Sequence[Row], reason: str) -> str:
    variants = ", ".join(dict.fromkeys(clean(cell["variant"]) for cell in cells))
    what = "No ratio" if cells[0]["forbidden"] else "No ratio to an anchor"
    return f"{what} in {counted(len(cells), 'cell')} ({variants}): {reason}."


def _method(document: Document) -> Section:
    return Section(
        "How far this may be trusted",
        [
            "Status, file, sparsity, executed precision and accuracy on the same samples are facts "
            "of files and answers: they are compared exactly.",
            document["not_covered"],
            "Nominated: Holm's procedure confirms a difference of more than 1% over all cells and "
            "the same metric. By Welch's test of log ratios, for tails by the rank-sum test.",
        ],
        detail=True,
    )
