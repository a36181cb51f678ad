"""What to call a cell: its variant and runtime, and only what else differs within the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.layout import Column, Document, Row
from reports.text import clean

LONGEST_LABEL = 48
# Key in a result, key in a comparison, heading, and how a value reads in a label.
_DIMENSIONS = (
    ("device", "device", "device", "{}"),
    ("precision_requested", "precision", "precision", "{}"),
    ("batch", "batch", "batch", "batch {}"),
    ("threads", "threads", "threads", "threads {}"),
    ("scenario", "scenario", "scenario", "{}"),
)
_COUNTS = frozenset({"batch", "threads"})
Dimension = tuple[str, str, str, str]


class Names:
    """Columns and labels that tell the cells of one run apart."""

    def __init__(self, document: Document) -> None:
        self.varying: list[Dimension] = []
        self.constant: list[tuple[Dimension, Any]] = []
        for dimension in _DIMENSIONS:
            values = list(dict.fromkeys(row[dimension[0]] for row in document["results"]))
            if len(values) > 1:
                self.varying.append(dimension)
            elif values:
                self.constant.append((dimension, values[0]))

    def columns(self, without: Sequence[str] = ()) -> list[Column]:
        """The columns that name a cell."""
        names = ["variant", "runtime", *(heading for _, _, heading, _ in self.varying)]
        return [
            Column(name, "number" if name in _COUNTS else "text")
            for name in names
            if name not in without
        ]

    def values(self, row: Row, without: Sequence[str] = ()) -> list[str]:
        """The text of those columns for a result, a comparison or a verdict."""
        named = {"variant": row["variant"], "runtime": row["runtime"]}
        named |= {heading: _get(row, dimension) for *dimension, heading, _ in self.varying}
        return [clean("" if v is None else v) for k, v in named.items() if k not in without]

    def label(self, row: Row, first: str | None = None) -> str:
        """One line for a chart: variant, runtime and what else differs."""
        start = [row["variant"], row["runtime"]] if first is None else [first]
        rest = [form.format(_get(row, keys)) for *keys, _, form in self.varying]
        return " · ".join(clean(part, LONGEST_LABEL) for part in [*start, *rest])

    def shared(self) -> str:
        """What all cells have in common, as a sentence."""
        said = [form.format(clean(value)) for (*_, form), value in self.constant]
        return f"All cells: {', '.join(said)}." if said else ""


def _get(row: Row, keys: Sequence[str]) -> Any:
    return row[keys[0]] if keys[0] in row else row.get(keys[1])
