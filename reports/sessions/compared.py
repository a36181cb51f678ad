"""The JSON document of two runs side by side, "edgeproof.compare/1": what changed, cell by cell.

Facts of files and answers are compared exactly. Times of two sessions were not interleaved: their
plain ratio is shown and never judged. Beside it stands the ratio of ratios to an anchor, where both
runs measured the same file beside the cell; what lies beyond chance there is nominated, and proven
only by measuring both again in turns. Where the surroundings differ, no ratio is made at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.answers import answers
from reports.assessment import Assessment, Subject
from reports.document import plain
from reports.estimate import CONFIDENCE, Estimate
from reports.families import is_twin
from reports.gates import METRICS
from reports.index import Index, index
from reports.multiplicity import DIFFERENCE_ALPHA, holm
from reports.results import result_row
from reports.run import CellRecord, Run
from reports.sessions.anchor import CellName, anchor_cell, by_name, moved, why_no_anchor
from reports.sessions.environment import Difference, differences

SCHEMA = "edgeproof.compare/1"
# What belongs to a board and its hour; all else is of the files and their answers.
MEASURED = (
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_unpreempted_p50_ms",
    "throughput_ips",
    "server_rate_ips",
    "sustained_ratio",
    "load_ms",
    "first_inference_ms",
    "peak_rss_mib",
)
SCORES = ("top1", "top5", "auc", "map50", "miou")
# Path in a row of results, and what it is called.
_EXACT: Mapping[str, str] = {
    "status": "status",
    "artifact": "file",
    "format": "format",
    "file_bytes": "file size",
    "compressed_bytes": "compressed size",
    "sparsity": "sparsity",
    "precision_executed": "precision executed",
    "executed.provider": "provider",
    "executed.threads": "threads executed",
}
NOT_COVERED = (
    "The interval is made of the launches of both runs. It does not cover how much the ratio "
    "itself differs from session to session: one session on each side says nothing of that."
)
Row = Mapping[str, Any]
Pair = tuple[CellRecord, CellRecord]
Indexes = tuple[Index, Index]
Cells = Mapping[CellName, CellRecord]


def build(first: Run, second: Run, anchor: str | None = None) -> dict[str, Any]:
    """The document of two runs; `anchor` names the variant that ties them, else the baselines do.

    Cells are matched by their device, variant and all that a study asks of them.
    """
    anchor = anchor or _common(first, second)
    cells, others = by_name(first), by_name(second)
    apart = differences(first, second)
    compared = list(_compared((first, second), (cells, others), apart, anchor))
    _nominate(compared)
    comparable = any(cell["forbidden"] is None for cell in compared)
    document = {
        "schema": SCHEMA,
        "first": _run(first),
        "second": _run(second),
        "confidence": CONFIDENCE,
        "comparable": comparable,
        "refusal": None if comparable else _refusal(apart, compared),
        "next_step": _next_step(first, apart, compared),
        "differences": [each.document() for each in apart],
        "cells": compared,
        "only_first": _unmatched(first, cells, others),
        "only_second": _unmatched(second, others, cells),
        "anchors": _anchors(compared),
        "not_covered": NOT_COVERED,
    }
    found: dict[str, Any] = plain(document)
    return found


def _compared(
    runs: tuple[Run, Run],
    cells: tuple[Cells, Cells],
    apart: Sequence[Difference],
    anchor: str | None,
) -> Iterator[dict[str, Any]]:
    """The cells that both runs have, in the order of the first; controls are no candidates."""
    indexes = index(runs[0]), index(runs[1])
    for name, first in cells[0].items():
        second = cells[1].get(name)
        if second is not None and not is_twin(runs[0].study, first.cell["variant"]):
            anchors = [
                anchor_cell(run.study, known, record, anchor)
                for run, known, record in zip(runs, cells, (first, second), strict=True)
            ]
            yield _cell(indexes, (first, second), anchors, apart)


def _common(first: Run, second: Run) -> str | None:
    """Where their baselines differ, as after `gate --against`: the one that both have measured.

    Null where the baseline of each will do.
    """
    baselines = dict.fromkeys(str(run.study.get("baseline")) for run in (first, second))
    have = [{record.cell["variant"] for record in run.cells} for run in (first, second)]
    both = [name for name in baselines if all(name in names for names in have)]
    return both[0] if len(baselines) > 1 and both else None


def _run(run: Run) -> dict[str, Any]:
    keys = {"run": run.id, "study": run.study.get("name")}
    return keys | {"started": run.started, "finished": run.finished}


def _refusal(apart: Sequence[Difference], cells: Sequence[Row]) -> str:
    if not cells:
        return "they have no cell in common"
    forbidding = [str(each) for each in apart if each.forbids == "times"]
    return "; ".join(forbidding)


def _next_step(first: Run, apart: Sequence[Difference], cells: Sequence[Row]) -> str:
    """What settles it: to measure two files in turns, or the same file in the same surroundings."""
    if not cells or not all(cell["same_file"] for cell in cells):
        return f"edgeproof gate STUDY --against {first.id}, which measures both in turns"
    unlike = dict.fromkeys(each.fact for each in apart if each.forbids == "times")
    when = f"once both have the same {', '.join(unlike)}" if unlike else "once more"
    return f"edgeproof run STUDY {when}: the files are the same, so no model changed"


def _unmatched(run: Run, ours: Cells, theirs: Cells) -> list[dict[str, Any]]:
    """The cells that one run alone has; controls are no candidates."""
    return [
        _identity(ours[name])
        for name in ours
        if name not in theirs and not is_twin(run.study, ours[name].cell["variant"])
    ]


def _identity(record: CellRecord) -> dict[str, Any]:
    cell = record.cell
    return {
        "device": record.device,
        "variant": cell["variant"],
        "runtime": cell["runtime"],
        "precision_requested": cell["precision"],
        "batch": cell["batch"],
        "threads": cell["threads"],
        "scenario": cell["scenario"],
    }


def _cell(
    indexes: Indexes,
    pair: Pair,
    anchors: Sequence[CellRecord | str],
    apart: Sequence[Difference],
) -> dict[str, Any]:
    first, second = (
        result_row(found, record, None) for found, record in zip(indexes, pair, strict=True)
    )
    about = [each for each in apart if each.about(first)]
    forbidden = [str(each) for each in about if each.forbids == "times"]
    untied = why_no_anchor(anchors)
    tying = [each for each in anchors if not isinstance(each, str)] if untied is None else []
    return {
        **_identity(pair[0]),
        "status": {"first": first["status"], "second": second["status"]},
        "reason": {"first": first["reason"], "second": second["reason"]},
        "same_file": bool(first["artifact"]) and first["artifact"] == second["artifact"],
        "changes": list(_changes(first, second)),
        "accuracy": list(_accuracy(indexes, (first, second), pair, about)),
        "forbidden": "; ".join(forbidden) or None,
        "anchor": tying[0].cell["variant"] if tying else None,
        "no_anchor": untied,
        "measured": [] if forbidden else list(_measured(indexes, (first, second), pair, tying)),
    }


def _changes(first: Row, second: Row) -> Iterator[dict[str, Any]]:
    """What is exactly known of both and differs."""
    for path, name in _EXACT.items():
        ours, theirs = (_at(row, path) for row in (first, second))
        known = path == "status" or (ours is not None and theirs is not None)
        if known and ours != theirs:
            yield {"of": name, "first": ours, "second": theirs}


def _accuracy(
    indexes: Indexes, rows: tuple[Row, Row], pair: Pair, about: Sequence[Difference]
) -> Iterator[dict[str, Any]]:
    """Each score of both, and what was lost: paired over the samples, where they are the same.

    Answers do not depend on the hour, so that this is proof like any drop within a run.
    """
    unlike = next((str(each) for each in about if each.forbids == "accuracy"), None)
    known = [name for name in SCORES if all(row["accuracy"].get(name) is not None for row in rows)]
    if not known:
        return
    first, second = (_subject(found, record) for found, record in zip(indexes, pair, strict=True))
    together = Assessment(second, unlike or _otherwise_fed(first, second) or first)
    for name in known:
        drop = together.accuracy[f"{name}_drop"]
        yield {
            "score": name,
            "first": rows[0]["accuracy"][name],
            "second": rows[1]["accuracy"][name],
            "drop": drop.value,
            "ci": drop.interval,
            "reason": drop.reason,
        }


def _subject(found: Index, record: CellRecord) -> Subject:
    return Subject(answers(found.event(record), found.run.labels, found.run.boxes))


def _otherwise_fed(first: Subject, second: Subject) -> str | None:
    """Why the answers are not to the same inputs, though of the same dataset."""
    told = [side.answers.event and side.answers.event["inputs_sha256"] for side in (first, second)]
    if None not in told and told[0] != told[1]:
        return f"the inputs were preprocessed otherwise: {str(told[0])[:8]}, {str(told[1])[:8]}"
    return None


def _measured(
    indexes: Indexes, rows: tuple[Row, Row], pair: Pair, anchors: Sequence[CellRecord]
) -> Iterator[dict[str, Any]]:
    """Each value of both runs with its plain ratio, and the ratio of ratios to the anchor."""
    for name in MEASURED:
        metric = METRICS[name]
        if rows[0]["scenario"] not in metric.scenarios:
            continue
        ours, theirs = (metric.read(row, {}) for row in rows)
        if ours.value is None and theirs.value is None:
            continue
        of = metric.launchwise if anchors and theirs.value is not None else None
        yield {
            "metric": name,
            "unit": metric.unit,
            "first": _estimate(ours),
            "second": _estimate(theirs),
            "ratio": theirs.value / ours.value if ours.value and theirs.value is not None else None,
            "anchored": moved(indexes, pair, anchors, of) if of else None,
        }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"value": found.value, "ci": found.interval, "reason": found.reason}


def _nominate(cells: Sequence[dict[str, Any]]) -> None:
    """Mark the ratios that chance does not explain among all of their metric (Holm)."""
    for metric in MEASURED:
        rows = [
            row["anchored"]
            for cell in cells
            for row in cell["measured"]
            if row["metric"] == metric and row["anchored"] and row["anchored"]["ratio"] is not None
        ]
        for row, p_value in zip(rows, holm([row["p_moved"] for row in rows]), strict=True):
            row["nominated"] = p_value <= DIFFERENCE_ALPHA


def _anchors(cells: Sequence[Row]) -> list[dict[str, Any]]:
    """How far each anchor moved, whose file is the same in both: so far moved the session."""
    used = {cell["anchor"] for cell in cells if cell["anchor"]}
    return [
        {
            "device": cell["device"],
            "variant": cell["variant"],
            "runtime": cell["runtime"],
            "metric": row["metric"],
            "ratio": row["ratio"],
        }
        for cell in cells
        if cell["variant"] in used and cell["same_file"]
        for row in cell["measured"]
        if row["metric"] in ("latency_p50_ms", "throughput_ips") and row["ratio"] is not None
    ]


def _at(row: Row, path: str) -> Any:
    place: Any = row
    for key in path.split("."):
        place = place.get(key) if isinstance(place, Mapping) else None
    return place
