"""One row of results for each cell: what was measured, and a reason for everything that was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents import wire
from reports import stats
from reports.accuracy import TOP, Answers, accuracy, drop
from reports.estimate import Estimate
from reports.flags import flags
from reports.index import Index, Taken
from reports.run import ArtifactRecord, CellRecord
from reports.stats import NS_PER_MS

Row = dict[str, Any]
KIB_PER_MIB = 1024
OUT_OF_BUDGET = "the board-time budget ended before its first launch"
NOT_SEPARATED = "not separated yet"
UNTOLD = "the runtime does not tell"
NO_POWER_SENSOR = "no power sensor was read"


class RowBuilder:
    """Collects the values of one row; every null that goes in takes its reason along."""

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self.row: Row = dict(identity)
        self.reasons: dict[str, str] = {}

    def put(self, path: str, value: Any, reason: str | None = None) -> None:
        """Set a value by its dotted path; a null must have a reason."""
        *parents, last = path.split(".")
        place = self.row
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
        if value is None:
            self.reasons[path] = reason or "not measured"

    def put_estimate(self, path: str, interval_path: str, estimate: Estimate) -> None:
        """Set a value and its interval."""
        self.put(path, estimate.value, estimate.reason)
        interval = list(estimate.interval) if estimate.interval else None
        self.put(interval_path, interval, estimate.reason)


def result_row(found: Index, record: CellRecord, baseline: CellRecord | None) -> Row:
    """The row of one cell; `baseline` is the cell that its accuracy is held against."""
    launches = found.launches.get((record.device, record.cell["id"]), [])
    good = [taken for taken in launches if taken.launch["status"] == "ok" and taken.samples.size]
    status, reason = _status(found, record, launches, good)
    builder = RowBuilder(_identity(record))
    executed = _executed(found, record, good)
    precision = executed.pop("precision")
    builder.put("precision_executed", precision, reason or UNTOLD)
    for key, value in executed.items():
        builder.put(f"executed.{key}", value, reason or UNTOLD)
    builder.row |= {"status": status, "reason": reason, "launches": len(good)}
    builder.row["samples"] = sum(int(taken.samples.size) for taken in good)
    _put_speed(builder, record.cell, good, reason)
    _put_memory_and_load(builder, good, reason)
    _put_artifact(builder, record.cell, found.run.artifacts)
    theirs = found.answers(baseline) if baseline else None
    _put_accuracy(builder, record, baseline, found.answers(record), theirs)
    builder.put("energy_mj", None, NO_POWER_SENSOR)
    builder.row["flags"] = flags(record.cell, launches, good, found.event(record), precision)
    builder.row["reasons"] = builder.reasons
    return builder.row


def _identity(record: CellRecord) -> Row:
    cell = record.cell
    return {
        "device": record.device,
        "cell": cell["id"],
        "variant": cell["variant"],
        "runtime": cell["runtime"],
        "format": cell["format"],
        "artifact": cell["artifact"],
        "precision_requested": cell["precision"],
        "precision_executed": None,
        "batch": cell["batch"],
        "threads": cell["threads"],
        "scenario": cell["scenario"],
    }


def _status(
    found: Index, record: CellRecord, launches: Sequence[Taken], good: Sequence[Taken]
) -> tuple[wire.Status, str | None]:
    """A cell is ok with one good launch; otherwise the first thing that went wrong counts."""
    if good:
        return "ok", None
    if record.status != "ok":
        return record.status, record.reason or "no reason was recorded"
    for taken in launches:
        if taken.launch["status"] != "ok":
            return taken.launch["status"], taken.launch["reason"] or "no reason was recorded"
    if launches:
        return "invalid", "its launches hold no samples"
    return _never_launched(found, record)


def _never_launched(found: Index, record: CellRecord) -> tuple[wire.Status, str]:
    event = found.event(record)
    if event is not None and event["status"] != "ok":
        return event["status"], event["reason"] or "its evaluation failed without a reason"
    device = found.devices.get(record.device)
    if device is not None and device.status == "failed":
        return "failed", f"the device failed: {device.reason or 'no reason was recorded'}"
    if device is not None and device.status == "running":
        return "invalid", "not measured yet: the device is still running"
    if device is not None and device.reason:
        return "invalid", f"never launched: {device.reason}"
    return "invalid", OUT_OF_BUDGET


def _executed(found: Index, record: CellRecord, good: Sequence[Taken]) -> dict[str, Any]:
    """What ran: by the launches, and by the evaluation where a runtime tells only when traced."""
    event = found.event(record)
    sources = [taken.launch["executed"] for taken in good] + ([event["executed"]] if event else [])
    told: dict[str, str | None] = {}
    for key in ("precision", "threads", "provider", "runtime_version", "note"):
        values = {str(source[key]) for source in sources if source.get(key) is not None}
        told[key] = " / ".join(sorted(values)) or None
    return told


def _put_speed(
    builder: RowBuilder, cell: wire.Cell, good: Sequence[Taken], reason: str | None
) -> None:
    samples = [taken.samples for taken in good]
    mean = stats.pooled_mean(samples)
    estimates = {name: stats.pooled_quantile(samples, name) for name in stats.QUANTILES}
    estimates |= {"mean": mean, "min": stats.smallest(samples)}
    for name, estimate in estimates.items():
        builder.put(f"latency_ms.{name}", estimate.value, reason or estimate.reason)
    for name, estimate in estimates.items():
        interval = list(estimate.interval) if estimate.interval else None
        builder.put(f"latency_ms.ci.{name}", interval, reason or estimate.reason)
    throughput = _because(_throughput(mean, cell["batch"]), reason)
    builder.put_estimate("throughput_ips", "intervals.throughput_ips", throughput)


def _throughput(mean_ms: Estimate, batch: int) -> Estimate:
    """Inputs a second: the batch over the mean time of one inference."""
    if mean_ms.value is None or not mean_ms.value > 0:
        return Estimate.missing(mean_ms.reason or "the mean time is zero")
    per_second = batch * 1e3
    ends = mean_ms.interval
    interval = (per_second / ends[1], per_second / ends[0]) if ends else None
    return Estimate(per_second / mean_ms.value, interval, mean_ms.reason)


def _put_memory_and_load(builder: RowBuilder, good: Sequence[Taken], reason: str | None) -> None:
    launches = [taken.launch for taken in good]
    peaks = [m["peak_kib"] / KIB_PER_MIB for item in launches if (m := item["memory"])]
    loads = [ns / NS_PER_MS for item in launches if (ns := item["load_ns"]) is not None]
    firsts = [ns / NS_PER_MS for item in launches if (ns := item["first_ns"]) is not None]
    peak = _because(stats.median_of_launches(peaks, "its peak memory"), reason)
    builder.put_estimate("peak_rss_mib", "intervals.peak_rss_mib", peak)
    builder.put("weights_mib", None, reason or NOT_SEPARATED)
    builder.put("activations_mib", None, reason or NOT_SEPARATED)
    load = _because(stats.median_of_launches(loads, "its load time"), reason)
    builder.put_estimate("load_ms", "intervals.load_ms", load)
    first = _because(stats.median_of_launches(firsts, "its first inference"), reason)
    builder.put_estimate("first_inference_ms", "intervals.first_inference_ms", first)


def _put_artifact(
    builder: RowBuilder, cell: wire.Cell, artifacts: Mapping[str, ArtifactRecord]
) -> None:
    artifact = artifacts.get(cell["artifact"])
    if artifact is None:
        reason = "the run holds no record of its file" if cell["artifact"] else "no file to measure"
        for name in ("file_bytes", "compressed_bytes", "sparsity"):
            builder.put(name, None, reason)
        return
    reason = artifact.reason or "no reason was recorded"
    builder.put("file_bytes", artifact.bytes)
    builder.put("compressed_bytes", artifact.compressed_bytes, reason)
    builder.put("sparsity", artifact.sparsity, reason)


def _put_accuracy(
    builder: RowBuilder,
    record: CellRecord,
    baseline: CellRecord | None,
    ours: Answers,
    theirs: Answers | None,
) -> None:
    unsupported = record.reason if record.status != "ok" else None
    why = unsupported or ours.reasons.get("top1")
    for name in TOP:
        estimate = _because(accuracy(ours, name), unsupported)
        builder.put_estimate(f"accuracy.{name}", f"accuracy.ci.{name}", estimate)
    builder.put("accuracy.samples", ours.samples, why)
    for name in TOP:
        if baseline is not None and baseline.cell["id"] == record.cell["id"]:
            lost = Estimate.missing("this is the baseline")
        else:
            lost = _because(drop(ours, theirs, name), unsupported)
        builder.put_estimate(f"accuracy.{name}_drop", f"accuracy.ci.{name}_drop", lost)


def _because(estimate: Estimate, reason: str | None) -> Estimate:
    """A missing estimate takes the cell's own reason, which comes first."""
    if estimate.value is None and reason:
        return Estimate.missing(reason)
    return estimate
