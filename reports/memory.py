"""The peak memory of a cell, taken apart: runtime, weights, activations, tensors, the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from agents import wire
from reports import stats
from reports.index import Taken
from reports.row_builder import Row, RowBuilder, because

KIB_PER_MIB = 1024
PARTS = ("runtime_mib", "weights_mib", "activations_mib", "io_mib")
STAGES = ("started", "imported", "loaded", "first", "end")
UNTOLD = "the runtime does not tell; it is in other_mib"
NO_STAGES = "the launches tell of the whole only: an older edgeproof measured them"
NO_MAPS = "the kernel does not tell whose the mapped pages are; it is in other_mib"
NO_RESET = "the kernel does not let the peak be reset between the stages"
NO_GPU = "the runtime tells of no memory on a GPU"
NO_PEAK = "no launch reported its peak memory"


def put_memory(
    builder: RowBuilder,
    good: Sequence[Taken],
    event: wire.EvaluationEvent | None,
    reason: str | None,
) -> None:
    """The peak and its parts, MiB; parts that are null lie in the rest, which is `other_mib`.

    Each is the median over launches, and the rest is what the parts leave of the peak, so that they
    add up. On a GPU weights and activations are no part of it.
    """
    told = [memory for taken in good if (memory := taken.launch["memory"])]
    peaks = [memory["peak_kib"] / KIB_PER_MIB for memory in told]
    peak = because(stats.median_of_launches(peaks, "its peak memory"), reason)
    builder.put_estimate("peak_rss_mib", "intervals.peak_rss_mib", peak)
    # Records of an older edgeproof lack the rest.
    staged = [memory for memory in told if "stages" in memory]
    why = reason or (NO_STAGES if told else NO_PEAK)
    account = _account(staged, event)
    _put_parts(builder, staged, account, why)
    _put_rest(builder, bool(staged), why)
    builder.put("memory.account", account["account"], why if not staged else UNTOLD)
    _put_stages(builder, staged, why)


def _account(
    staged: Sequence[wire.Memory], event: wire.EvaluationEvent | None
) -> Mapping[str, Any]:
    """What the runtime tells: of the launches, and what only a session tells that traces."""
    evaluated: Any = (event.get("account") if event else None) or {}
    keys = ("weights_kib", "activations_kib", "gpu_kib")
    own = {key: _median([memory[key] for memory in staged]) for key in keys}  # type: ignore[literal-required]
    missing = {key: evaluated.get(key) for key in keys if own[key] is None}
    sources = [memory["account"] for memory in staged if memory["account"]]
    if not sources or any(value is not None for value in missing.values()):
        sources = [evaluated.get("account")]
    return own | missing | {"account": sources[0]}


def _put_parts(
    builder: RowBuilder, staged: Sequence[wire.Memory], account: Mapping[str, Any], why: str
) -> None:
    runtime = _median([_runtime_kib(memory) for memory in staged])
    builder.put("runtime_mib", _mib(runtime), NO_MAPS if staged else why)
    for part in ("weights", "activations"):
        value = account[f"{part}_kib"] if staged else None
        builder.put(f"{part}_mib", _mib(value), UNTOLD if staged else why)
    builder.put("io_mib", _mib(_median([memory["io_kib"] for memory in staged])), why)
    gpu = account["gpu_kib"] if staged else None
    builder.put("gpu_mib", _mib(gpu), NO_GPU if staged else why)


def _put_rest(builder: RowBuilder, staged: bool, why: str) -> None:
    """What is left of the peak as reported; below zero where parts share pages."""
    row = builder.row
    rest = row["peak_rss_mib"] - sum(parts_of(row).values()) if staged else None
    builder.put("other_mib", rest, why)


def parts_of(row: Row) -> dict[str, float]:
    """The parts of the peak that are known, MiB."""
    on_gpu = ("weights_mib", "activations_mib") if row["gpu_mib"] is not None else ()
    return {name: row[name] for name in PARTS if row.get(name) is not None and name not in on_gpu}


def _put_stages(builder: RowBuilder, staged: Sequence[wire.Memory], why: str) -> None:
    """What was resident at each stage, and the highest on the way there from the one before."""
    for stage in STAGES:
        now = _median([_at(memory, stage, "rss_kib") for memory in staged])
        builder.put(f"memory.rss_mib.{stage}", _mib(now), why)
        peak = _median([_at(memory, stage, "peak_kib") for memory in staged])
        builder.put(f"memory.peak_mib.{stage}", _mib(peak), NO_RESET if staged else why)


def _runtime_kib(memory: wire.Memory) -> float | None:
    """What is resident before the model comes, and the pages of libraries that it brings in.

    Their code is read from the disk as it is first run, so a part of it comes with the model.
    """
    if memory["mapped_kib"] is None:
        return None
    libraries = _at(memory, "end", "file_kib") - memory["mapped_kib"]
    return float(
        _at(memory, "imported", "rss_kib") + max(0, libraries - _at(memory, "imported", "file_kib"))
    )


def _at(memory: wire.Memory, stage: str, field: str) -> Any:
    found: Mapping[str, Any] = next(one for one in memory["stages"] if one["stage"] == stage)
    return found[field]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _mib(kib: float | None) -> float | None:
    return None if kib is None else kib / KIB_PER_MIB
