"""The JSON document of a run, "edgeproof.report/1": all that any form of the report shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents import wire
from reports.comparison import comparisons, to_baseline
from reports.curves import curves
from reports.estimate import CONFIDENCE
from reports.evaluated import evaluations
from reports.executed import profiles
from reports.families import baseline_of, is_twin
from reports.fastest import fastest_runtimes
from reports.findings import findings
from reports.gates import overall
from reports.index import Index, index
from reports.layout import Row
from reports.realised import put_realised
from reports.recommendation import recommendations
from reports.results import result_row
from reports.run import ArtifactRecord, CellRecord, DeviceRecord, Run
from reports.saturation import saturation
from reports.targets import Measured, targets
from reports.transfer import transfer
from reports.verdicts import verdicts

SCHEMA = "edgeproof.report/1"


def build(run: Run) -> dict[str, Any]:
    """The document of a run, complete or not; plain JSON types only, no NaN."""
    found = index(run)
    baseline = str(run.study.get("baseline", ""))
    rows, controls = _rows(found)
    compared = comparisons(found)
    judged = verdicts(found, rows, compared)
    document = {
        "schema": SCHEMA,
        "run": run.id,
        "study": run.study.get("name"),
        "started": run.started,
        "finished": run.finished,
        "baseline": baseline,
        "confidence": CONFIDENCE,
        "overall": overall(judged),
        "findings": findings(run.study, rows, compared, judged),
        "fastest_runtimes": fastest_runtimes(compared),
        "devices": [_device(device) for device in run.devices],
        "results": rows,
        "controls": controls,
        "evaluations": evaluations(found),
        "profiles": profiles(found),
        "saturation": saturation(rows),
        "comparisons": compared,
        "verdicts": judged,
        **_shipping(run, rows, compared, judged),
        "artifacts": [_artifact(artifact) for artifact in run.artifacts.values()],
        "study_document": run.study,
    }
    plain_document: dict[str, Any] = plain(document)
    return plain_document


def _rows(found: Index) -> tuple[list[Row], list[Row]]:
    """The rows of the results, with what zeros realised, and those of the twins beside them."""
    results: list[Row] = []
    controls: list[Row] = []
    for record in found.run.cells:
        row = result_row(found, record, _baseline_of(found, record))
        if is_twin(found.run.study, row["variant"]):
            controls.append(row)
        else:
            put_realised(found, row)
            results.append(row)
    return results, controls


def _shipping(
    run: Run, rows: Sequence[Row], compared: Sequence[Row], judged: Sequence[Row]
) -> dict[str, Any]:
    """What taking away costs and brings, and which variant to ship."""
    wanted = targets(run.study)
    found = Measured(run.study, run.artifacts, rows, wanted, to_baseline(compared), judged)
    return {
        "targets": [str(limit) for limit in wanted],
        "curves": curves(found),
        "recommendations": recommendations(found),
        "transfer": transfer(found),
    }


def plain(value: Any) -> Any:
    """The same in JSON's own types; a number that JSON cannot hold becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return plain(value.item())
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (Sequence, set, frozenset, np.ndarray)):
        return [plain(item) for item in (sorted(value) if isinstance(value, set) else value)]
    return str(value)


def _baseline_of(found: Index, record: CellRecord) -> CellRecord | None:
    """The cell of its baseline that ran the same way, or else in the same runtime."""
    baseline = baseline_of(found.run.study, record.cell["variant"])
    wanted = (record.device, record.cell["runtime"], record.cell["precision"])
    alike = [
        other
        for other in found.run.cells
        if other.cell["variant"] == baseline
        and (other.device, other.cell["runtime"], other.cell["precision"]) == wanted
    ]
    if record in alike:
        return record
    return max(alike, key=lambda other: _likeness(record, other), default=None)


def _likeness(record: CellRecord, other: CellRecord) -> int:
    keys = ("batch", "threads", "scenario")
    return sum(dict(record.cell)[key] == dict(other.cell)[key] for key in keys)


def _device(device: DeviceRecord) -> dict[str, Any]:
    return {
        "name": device.name,
        "profile": device.profile,
        "facts": device.facts,
        "status": device.status,
        "reason": device.reason,
        "pushed_bytes": device.pushed_bytes,
        "seconds": device.seconds,
        "floor": _floor(device.floor) if device.floor else None,
    }


def _floor(floor: wire.FloorEvent) -> dict[str, Any]:
    worker, loop = floor["worker_kib"], floor["loop_ns"]
    return {
        "loop_us": np.median(loop) / 1e3 if loop else None,
        "supervisor_mib": floor["supervisor_kib"] / 1024,
        "worker_mib": worker / 1024 if worker is not None else None,
        "reason": floor["reason"],
    }


def _artifact(artifact: ArtifactRecord) -> dict[str, Any]:
    return {
        "sha256": artifact.sha256,
        "file": artifact.file,
        "format": artifact.format,
        "bytes": artifact.bytes,
        "compressed_bytes": artifact.compressed_bytes,
        "sparsity": artifact.sparsity,
        "reason": artifact.reason,
        "provenance": artifact.provenance,
        "zeros": artifact.zeros,
    }
