"""A run as a pandas table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.run import CellRecord, LaunchRecord, Run
from reports.stats import kept_samples

KEYS = ("variant", "runtime", "precision", "batch", "threads", "scenario")


def launches(run: Run) -> pd.DataFrame:
    """One row for each launch of each cell; see `harness.load_run`."""
    cells = {(record.device, record.cell["id"]): record for record in run.cells}
    rows = [_row(cells[item.device, item.launch["cell"]], item) for item in run.launches]
    columns = ["device", *KEYS, "group", "ordinal", "status", "reason"]
    columns += ["p50_ms", "peak_rss_mib", "load_ms", "first_inference_ms", "samples_ms"]
    return pd.DataFrame(rows, columns=columns)


def _row(cell: CellRecord, item: LaunchRecord) -> dict[str, Any]:
    launch = item.launch
    samples = kept_samples(launch["blocks"])
    memory, load, first = launch["memory"], launch["load_ns"], launch["first_ns"]
    return {
        "device": item.device,
        **{key: cell.cell[key] for key in KEYS},  # type: ignore[literal-required]
        "group": item.group,
        "ordinal": item.ordinal,
        "status": launch["status"],
        "reason": launch["reason"],
        "p50_ms": float(pd.Series(samples).median()) if samples.size else None,
        "peak_rss_mib": memory["peak_kib"] / 1024 if memory else None,
        "load_ms": load / 1e6 if load is not None else None,
        "first_inference_ms": first / 1e6 if first is not None else None,
        "samples_ms": samples,
    }
