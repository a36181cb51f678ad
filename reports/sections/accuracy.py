"""Accuracy on the device, and the files that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.answers import NO_BOXES, NO_LABELS, NO_MASKS
from reports.layout import Column, Document, Row, Section, Table
from reports.names import Names
from reports.places import WITHOUT, one_each
from reports.recall import FEWEST_SAMPLES
from reports.text import NOTHING, clean, mebibytes, percent

ORDER = 60
_SHARES = {
    "top-1": "top1",
    "top-1 drop": "top1_drop",
    "agreement": "agreement",
    "AUC": "auc",
    "AUC drop": "auc_drop",
    "mAP@0.5": "map50",
    "mAP@0.5 drop": "map50_drop",
    "mIoU": "miou",
    "mIoU drop": "miou_drop",
    "top-5": "top5",
}
_DETAILS = frozenset({"top-5", "samples"})


def section(document: Document) -> Section:
    rows = one_each(document["results"])
    if not rows:
        return Section("Accuracy", ["The run has no cells."], detail=True)
    words = [
        "Each file is evaluated once in each runtime, on the samples of the dataset. A drop is the "
        "baseline's value minus this variant's on the same samples; below zero is a gain. "
        "Agreement is the share of samples with the baseline's best class, right or wrong."
    ]
    classes = list(_classes(document, rows))
    if classes:
        words.append(
            "Of many classes one always looks worst by chance, so the intervals of the lowest "
            "recall and of the largest loss heed all classes at once (Bonferroni); classes with "
            f"fewer than {FEWEST_SAMPLES} samples are left out."
        )
    return Section(
        "Accuracy",
        words,
        tables=[_table(document, rows), *classes, _files(rows)],
        detail=True,
    )


def _table(document: Document, rows: Sequence[Row]) -> Table:
    """What is right; a column that no row has a value for is left out."""
    names = Names(document)
    columns = [
        *names.columns(WITHOUT),
        *(Column(name, "number", detail=name in _DETAILS) for name in _values(rows[0])),
        Column("note"),
    ]
    body = [
        [*names.values(row, WITHOUT), *_values(row).values(), clean(_note(row))] for row in rows
    ]
    return Table("Right answers, with 95% intervals", columns, body).filled()


def _values(row: Row) -> dict[str, str]:
    found = row["accuracy"]
    shares = {name: _share(found, key) for name, key in _SHARES.items()}
    shares["top-1"] = shares["top-1"] or NOTHING  # its column is never left out
    return shares | {"samples": "" if found["samples"] is None else str(found["samples"])}


def _share(found: Row, key: str) -> str:
    return "" if found[key] is None else percent(found[key], found["ci"][key])


def _classes(document: Document, rows: Sequence[Row]) -> Iterator[Table]:
    """The classes that stand out, where there are any."""
    names = Names(document)
    rows = [row for row in rows if row["accuracy"]["recall_worst"] is not None]
    columns = [
        *names.columns(WITHOUT),
        Column("lowest recall", "number"),
        Column("of class", "number"),
        Column("samples", "number"),
        Column("largest loss", "number"),
        Column("of class", "number"),
    ]
    body = [
        [
            *names.values(row, WITHOUT),
            *_of_class(row["accuracy"]["recall_worst"], "recall"),
            str(row["accuracy"]["recall_worst"]["samples"]),
            *_of_class(row["accuracy"]["recall_loss_worst"], "loss"),
        ]
        for row in rows
    ]
    if body:
        caption = "Classes that stand out, with 95% intervals for all classes at once"
        yield Table(caption, columns, body).filled()


def _of_class(found: Row | None, name: str) -> tuple[str, str]:
    if found is None:
        return "", ""
    return percent(found[name], found["interval"]), str(found["class"])


def _note(row: Row) -> str:
    """Why there is nothing, by the kind that the study asks for, unless another kind is there."""
    found = row["accuracy"]
    if any(found[key] is not None for key in _SHARES.values()):
        return ""
    told = [str(row["reasons"].get(f"accuracy.{kind}", "")) for kind in ("top1", "map50", "miou")]
    asked = (reason for reason in told if reason not in (NO_LABELS, NO_BOXES, NO_MASKS))
    return next(asked, told[0])


def _files(rows: Sequence[Row]) -> Table:
    """A row a file, whatever devices and runtimes it ran on."""
    found = {(row["variant"], row["artifact"]): row for row in reversed(rows) if row["artifact"]}
    columns = [
        Column("variant"),
        Column("format"),
        Column("zeros", "number"),
        Column("file", "number"),
        Column("compressed", "number"),
        Column("note"),
    ]
    body = [
        [
            clean(row["variant"]),
            clean(row["format"]),
            percent(row["sparsity"]),
            mebibytes(row["file_bytes"]),
            mebibytes(row["compressed_bytes"]),
            clean(row["reasons"].get("sparsity", "")),
        ]
        for row in reversed(found.values())
    ]
    caption = "The files; zeros are a share of all weights, also of layers that were left as is"
    return Table(caption, columns, body).filled()
