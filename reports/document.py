"""The JSON document of a run, "edgeproof.report/1": all that any form of the report shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from agents import wire
from reports.comparison import comparisons, to_baseline
from reports.counts import counts
from reports.curves import curves
from reports.estimate import CONFIDENCE
from reports.evaluated import evaluations
from reports.executed import profiles
from reports.fastest import fastest_runtimes
from reports.findings import findings
from reports.fronts import Prices, fronts
from reports.gates import overall
from reports.index import index
from reports.layout import Row
from reports.realised import with_shares
from reports.recommendation import recommendations
from reports.rows import all_rows
from reports.run import ArtifactRecord, DeviceRecord, Run
from reports.saturation import saturation
from reports.selftest import of_report
from reports.sessions import drift
from reports.targets import Measured, targets
from reports.thermal import thermal
from reports.transfer import transfer
from reports.verdicts import verdicts

SCHEMA = "edgeproof.report/1"


def build(run: Run, prices: Prices = MappingProxyType({})) -> dict[str, Any]:
    """The document of a run, complete or not; plain JSON types only, no NaN.

    `prices` has what each device costs, by its name: value (USD), of, as_of.
    """
    found = index(run)
    baseline = str(run.study.get("baseline", ""))
    rows, controls = all_rows(found)
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
        "overall": overall(judged) if judged else None,
        "counts": counts(rows, judged),
        "findings": findings(run.study, rows, compared, judged),
        "fastest_runtimes": fastest_runtimes(compared),
        "devices": [_device(run, device) for device in run.devices],
        "results": rows,
        "controls": controls,
        "evaluations": evaluations(found),
        "profiles": profiles(found),
        "saturation": saturation(rows),
        "thermal": thermal(run),
        "fronts": fronts(found, rows, compared, prices),
        "comparisons": compared,
        "verdicts": judged,
        "drift": drift.of_report(run),
        **_shipping(run, rows, compared, judged),
        "artifacts": [_artifact(artifact) for artifact in run.artifacts.values()],
        "study_document": run.study,
    }
    plain_document: dict[str, Any] = plain(document)
    return plain_document


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
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, (Sequence, set, frozenset, np.ndarray)):
        return [plain(item) for item in (sorted(value) if isinstance(value, set) else value)]
    return str(value)


def _device(run: Run, device: DeviceRecord) -> dict[str, Any]:
    return {
        "name": device.name,
        "profile": device.profile,
        "facts": device.facts,
        "status": device.status,
        "reason": device.reason,
        "pushed_bytes": device.pushed_bytes,
        "seconds": device.seconds,
        "floor": _floor(device.floor) if device.floor else None,
        "selftest": of_report(run, device),
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
        "zeros": with_shares(artifact.zeros) if artifact.zeros else None,
    }
