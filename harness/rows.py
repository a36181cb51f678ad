"""Rows of the store and the records that they hold, one into the other."""

from __future__ import annotations

from typing import Any, cast

from agents import wire
from harness.samples import packed, unpacked
from reports.run import CellRecord, DeviceRecord, LaunchRecord


def cell_document(cell: CellRecord) -> dict[str, Any]:
    """A planned cell as the row of its device holds it."""
    return {"cell": cell.cell, "status": cell.status, "reason": cell.reason}


def cell_record(device: str, item: dict[str, Any]) -> CellRecord:
    """A planned cell."""
    return CellRecord(device, item["cell"], item["status"], item["reason"])


def device_record(row: Any) -> DeviceRecord:
    """A device of a run."""
    return DeviceRecord(
        row.name,
        row.profile,
        row.status,
        row.reason,
        row.facts,
        row.pushed_bytes,
        row.seconds,
        row.floor,
    )


def launch_row(
    run: str, device: str, launch: wire.LaunchEvent, cell: wire.CellLaunch
) -> dict[str, Any]:
    """One cell's part of a launch as a row."""
    record: dict[str, Any] = {key: value for key, value in cell.items() if key != "blocks"}
    record["block_lengths"] = [len(block) for block in cell["blocks"]]
    record["started"] = launch["started"]
    return {
        "run": run,
        "device": device,
        "group_id": launch["group"],
        "ordinal": launch["ordinal"],
        "cell": cell["cell"],
        "interleaved": launch["interleaved"],
        "seconds": launch["seconds"],
        "record": record,
        "samples": packed(cell["blocks"]),
        "conditions": launch["conditions"],
    }


def launch_record(row: Any) -> LaunchRecord:
    """One cell's part of a launch."""
    record = dict(row.record)
    record["blocks"] = unpacked(row.samples, record.pop("block_lengths"))
    # Runs that were stored earlier have neither.
    started = record.pop("started", None)
    record.setdefault("readings", [])
    return LaunchRecord(
        row.device,
        row.group_id,
        row.ordinal,
        row.interleaved,
        row.seconds,
        cast(wire.CellLaunch, record),
        row.conditions,
        started,
    )
