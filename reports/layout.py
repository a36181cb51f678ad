"""What a section of a report is made of, whatever the form: words, tables, charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Document = Mapping[str, Any]
Row = Mapping[str, Any]
Spec = dict[str, Any]  # a Vega-Lite specification
Kind = Literal["text", "number", "word"]  # a word column holds verdicts, findings or states

TONES: Mapping[str, str] = {
    "pass": "good",
    "faster": "good",
    "yes": "good",
    "realised": "good",
    "ok": "good",
    "fail": "bad",
    "failed": "bad",
    "slower": "bad",
    "no": "bad",
    "not realised": "bad",
    "inconclusive": "unsure",
    "undecided": "unsure",
    "partly": "unsure",
    "invalid": "unsure",
    "beyond": "unsure",
    "unsupported": "unsure",
}


@dataclass(frozen=True)
class Column:
    """A column of a table; `detail` ones are left out where there is little room."""

    name: str
    kind: Kind = "text"
    detail: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text; `detail` ones are left out where there is little room."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    detail: bool = False

    def narrow(self) -> Table:
        """The same without its detail columns."""
        return self._keep([at for at, column in enumerate(self.columns) if not column.detail])

    def filled(self) -> Table:
        """The same without columns that hold nothing."""
        return self._keep([at for at in range(len(self.columns)) if any(r[at] for r in self.rows)])

    def _keep(self, kept: Sequence[int]) -> Table:
        columns = [self.columns[at] for at in kept]
        rows = [[row[at] for at in kept] for row in self.rows]
        return Table(self.caption, columns, rows, self.detail)


@dataclass(frozen=True)
class Chart:
    """A picture of numbers that a table of the same section holds too."""

    caption: str
    draw: Callable[[], Spec]  # called only by forms that can show it


@dataclass(frozen=True)
class Section:
    """One part of a report; `detail` ones are left out where there is little room."""

    title: str
    words: Sequence[str] = ()
    points: Sequence[tuple[str, str]] = ()  # what it is about, "" if nothing in particular; text
    tables: Sequence[Table] = field(default_factory=tuple)
    charts: Sequence[Chart] = field(default_factory=tuple)
    detail: bool = False
