"""A pinned file that several runs measured beside a variant: what moves both is the surroundings.

A ratio to it, launch by launch of one group, takes out what a session does to all models alike. It
leaves in what a session does to one model and not to the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.comparison import FASTER_BELOW, SLOWER_ABOVE, paired
from reports.families import Study, baseline_of
from reports.gates import Launchwise
from reports.index import Index
from reports.launchwise import log_ratios
from reports.run import CellRecord, Run
from reports.sequential import STATISTICS
from reports.sessions.two_samples import p_beyond, shift

# A difference that is none, in logs, as within a run.
MARGIN = math.log(SLOWER_ABOVE / FASTER_BELOW) / 2
IS_ANCHOR = "it is the anchor itself"
CellName = tuple[str, str, str, str, int, int, str]


def named(record: CellRecord, variant: str | None = None) -> CellName:
    """What a cell is called in every run, or the same cell of another variant."""
    cell = record.cell
    return (
        record.device,
        variant or cell["variant"],
        cell["runtime"],
        cell["precision"],
        cell["batch"],
        cell["threads"],
        cell["scenario"],
    )


def by_name(run: Run) -> dict[CellName, CellRecord]:
    """The planned cells of a run by their name in every run."""
    return {named(record): record for record in run.cells}


def anchor_cell(
    study: Study, cells: Mapping[CellName, CellRecord], record: CellRecord, wanted: str | None
) -> CellRecord | str:
    """The cell of the anchor that ran as `record` did, or why there is none.

    The anchor is the variant `wanted`, or else the one that the study compares this one with.
    """
    variant = record.cell["variant"]
    anchor = wanted or baseline_of(study, variant)
    if anchor == variant:
        return IS_ANCHOR
    return cells.get(named(record, anchor), f"{anchor} has no cell of this kind")


def anchored_logs(
    found: Index, record: CellRecord, anchor: CellRecord, of: Launchwise
) -> list[float]:
    """The log of a cell over its anchor, of each launch of their group in which both ran."""
    together = paired(found, anchor, record)
    return log_ratios(found, together[1], of) if together else []


def why_no_anchor(anchors: Sequence[CellRecord | str]) -> str | None:
    """Why what `anchor_cell` found in several runs does not tie them; null if it does."""
    missing = [each for each in anchors if isinstance(each, str)]
    if missing:
        return missing[0]
    cells = [each.cell for each in anchors if not isinstance(each, str)]
    names = sorted({cell["variant"] for cell in cells})
    if len(names) > 1:
        return f"not every run compares it with the same variant: {', '.join(names)}"
    if len({cell["artifact"] for cell in cells}) > 1 or not cells[0]["artifact"]:
        return f"the file of {names[0]} is not the same in all runs"
    return None


def moved(
    indexes: Sequence[Index],
    pair: Sequence[CellRecord],
    anchors: Sequence[CellRecord],
    of: Launchwise,
) -> dict[str, Any]:
    """The ratio to the anchor in the second run over that in the first.

    `p_moved` is that of a difference of more than 1%; whether it is nominated is for all
    comparisons of the metric together to say.
    """
    statistic = STATISTICS[of]
    first, second = (anchored_logs(*each, of) for each in zip(indexes, pair, anchors, strict=True))
    found = shift(first, second, statistic)
    return {
        "ratio": found.value,
        "ci": found.interval,
        "launches": [len(first), len(second)],
        "p_moved": p_beyond(first, second, statistic, MARGIN),
        "nominated": False,
        "reason": found.reason,
    }
