"""All rows of results of a run, each beside the baseline that its accuracy is held against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from reports.families import baseline_of, is_twin
from reports.index import Index, index
from reports.realised import put_realised
from reports.results import result_row
from reports.row_builder import Row
from reports.run import CellRecord, Run

# Of the setting of a baseline's cell as much as possible is alike; where it ran must be.
_SETTING = ("batch", "threads", "scenario")
_Place = tuple[str, str, str, str]  # device, variant, runtime, precision
_Places = Mapping[_Place, Sequence[CellRecord]]


def all_rows(found: Index) -> tuple[list[Row], list[Row]]:
    """The rows of the results, with what zeros realised, and those of the twins beside them."""
    places = _places(found)
    results: list[Row] = []
    controls: list[Row] = []
    for record in found.run.cells:
        row = result_row(found, record, _baseline(found, places, record))
        if is_twin(found.run.study, row["variant"]):
            controls.append(row)
        else:
            put_realised(found, row)
            results.append(row)
    return results, controls


def blank_row() -> Row:
    """The row of a cell of which nothing is known: the columns that any table of cells has."""
    unknown = dict.fromkeys(("id", "variant", "runtime", "artifact", "format", "evaluation"), "")
    cell: Any = {**unknown, "precision": "", "batch": 1, "threads": 1, "scenario": ""}
    planned = CellRecord("", cell, "failed", "there is no cell")
    [[row], _] = all_rows(index(Run("", {}, "", None, [], {}, [planned], [], [], [], None)))
    return row


def _places(found: Index) -> _Places:
    places: dict[_Place, list[CellRecord]] = defaultdict(list)
    for record in found.run.cells:
        cell = record.cell
        place = record.device, cell["variant"], cell["runtime"], cell["precision"]
        places[place].append(record)
    return places


def _baseline(found: Index, places: _Places, record: CellRecord) -> CellRecord | None:
    """The cell of its baseline that ran the same way, or else in the same runtime."""
    cell = record.cell
    baseline = baseline_of(found.run.study, cell["variant"])
    if baseline == cell["variant"]:
        return record
    alike = places.get((record.device, baseline, cell["runtime"], cell["precision"]), [])
    return max(alike, key=lambda other: _likeness(record, other), default=None)


def _likeness(record: CellRecord, other: CellRecord) -> int:
    return sum(dict(record.cell)[key] == dict(other.cell)[key] for key in _SETTING)
