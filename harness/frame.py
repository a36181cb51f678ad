"""A run as a pandas table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports import stats
from reports.index import Taken, index
from reports.run import CellRecord, Run

KEYS = ("variant", "runtime", "precision", "batch", "threads", "scenario")


def launches(run: Run) -> pd.DataFrame:
    """One row for each launch of each cell; see `harness.load_run`."""
    found = index(run)
    rows = [
        _row(found.cells[key], taken) for key, all_of in found.launches.items() for taken in all_of
    ]
    columns = ["device", *KEYS, "group", "ordinal", "status", "reason", "streams"]
    columns += ["p50_ms", "peak_rss_mib", "load_ms", "first_inference_ms", "samples_ms", "trials"]
    return pd.DataFrame(rows, columns=columns)


def _row(cell: CellRecord, taken: Taken) -> dict[str, Any]:
    """A launch that came back whole but must not count (throttled) has the status invalid."""
    item, launch = taken.record, taken.launch
    invalid = taken.invalid if launch["status"] == "ok" else None
    memory, load, first = launch["memory"], launch["load_ns"], launch["first_ns"]
    return {
        "device": item.device,
        **{key: cell.cell[key] for key in KEYS},  # type: ignore[literal-required]
        "group": item.group,
        "ordinal": item.ordinal,
        "status": "invalid" if invalid else launch["status"],
        "reason": invalid or launch["reason"],
        "streams": launch["streams"],
        "p50_ms": stats.quantile(taken.samples, "p50") if taken.samples.size else None,
        "peak_rss_mib": memory["peak_kib"] / 1024 if memory else None,
        "load_ms": load / 1e6 if load is not None else None,
        "first_inference_ms": first / 1e6 if first is not None else None,
        "samples_ms": taken.samples,
        "trials": [
            {"rate": trial["rate"], "latencies_ms": [ns / 1e6 for ns in trial["latencies_ns"]]}
            for trial in launch["trials"]
        ],
    }
