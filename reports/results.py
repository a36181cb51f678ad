"""One row of results for each cell: what was measured, and a reason for everything that was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agents import wire
from reports import launchwise, server, stats, sustained
from reports.clock import highest_mhz
from reports.estimate import Estimate
from reports.evaluated import put_evaluation
from reports.executed import put_executed
from reports.flags import all_of, execution_flags
from reports.gates import FLOWING, WAITING, WATCHED
from reports.heat import HEAT, heat
from reports.index import Index, Taken
from reports.memory import put_memory
from reports.noise import noise_row, variance_row
from reports.row_builder import Row, RowBuilder, because
from reports.run import ArtifactRecord, CellRecord, DeviceRecord
from reports.scenarios import elsewhere, inputs, parameters
from reports.stats import NS_PER_MS

OUT_OF_BUDGET = "the board-time budget ended before its first launch"
UNTOLD = "the runtime does not tell"
NO_REASON = "no reason was recorded"
NO_POWER_SENSOR = "no power sensor was read"
NOT_COUNTED = "preemptions were not counted"
NO_TIME = "the mean time is zero"
NO_REQUESTS = "the study does not tell how many requests make one sample"


def result_row(found: Index, record: CellRecord, baseline: CellRecord | None) -> Row:
    """The row of one cell; `baseline` is the cell that its accuracy is held against."""
    launches = launchwise.of_cell(found, record.device, record.cell["id"])
    good = [taken for taken in launches if taken.counts]
    status, reason, log = _status(found, record, launches, good)
    builder = RowBuilder(_identity(record))
    executed = _executed(found, record, good)
    builder.put("precision_executed", executed.pop("precision"), reason or UNTOLD)
    for key, value in executed.items():
        builder.put(f"executed.{key}", value, reason or UNTOLD)
    put_executed(builder, found.event(record), record.cell, reason)
    builder.row |= {"status": status, "reason": reason, "log": log, "launches": len(good)}
    builder.row["samples"] = sum(_samples(taken) for taken in good)
    _put_streams(builder, good, reason)
    _put_latency(builder, record.cell, good, reason)
    _put_unpreempted(builder, record.cell, good, reason)
    _put_throughput(builder, found, record.cell, good, reason)
    _put_server(builder, found, record.cell, good, reason)
    _put_sustained(builder, record.cell, good, reason, found.devices.get(record.device))
    put_memory(builder, good, found.event(record), reason)
    _put_load(builder, good, reason)
    _put_artifact(builder, record.cell, found.run.artifacts)
    assessed = found.assessment(record, baseline)
    put_evaluation(builder, assessed, record.reason if record.status != "ok" else None)
    builder.put("energy_mj", None, NO_POWER_SENSOR)
    builder.put_noise(noise_row(found, record, good), variance_row(good), reason)
    builder.put("executed.flags", list(execution_flags(found, record, builder.row)))
    builder.row["flags"] = all_of(found, record, launches, assessed, builder.row)
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
        "evaluation": cell["evaluation"],
        "precision_requested": cell["precision"],
        "precision_executed": None,
        "batch": cell["batch"],
        "threads": cell["threads"],
        "scenario": cell["scenario"],
    }


class _State(NamedTuple):
    """How a cell ended; what has no result has a reason, and what broke the end of its log."""

    status: wire.Status
    reason: str | None
    log: Sequence[str] = ()


def _status(
    found: Index, record: CellRecord, launches: Sequence[Taken], good: Sequence[Taken]
) -> _State:
    """A cell is ok with one good launch; otherwise the first thing that went wrong counts."""
    if good:
        return _State("ok", None)
    if record.status != "ok":
        return _State(record.status, record.reason or NO_REASON)
    for taken in launches:
        if taken.launch["status"] != "ok":
            return _broken(taken.launch)
        if taken.invalid is not None:
            return _State("invalid", taken.invalid)
    if launches:
        return _State("invalid", "its launches hold no samples")
    return _never_launched(found, record)


def _broken(what: wire.CellLaunch | wire.EvaluationEvent) -> _State:
    # Runs that were stored earlier have no log.
    return _State(what["status"], what["reason"] or NO_REASON, what.get("log", []))


def _never_launched(found: Index, record: CellRecord) -> _State:
    event = found.event(record)
    if event is not None and event["status"] != "ok":
        return _broken(event)
    device = found.devices.get(record.device)
    if device is not None and device.status == "failed":
        return _State("failed", f"the device failed: {device.reason or NO_REASON}")
    if device is not None and device.status == "running":
        return _State("invalid", "not measured yet: the device is still running")
    if device is not None and device.reason:
        return _State("invalid", f"never launched: {device.reason}")
    return _State("invalid", OUT_OF_BUDGET)


def _executed(found: Index, record: CellRecord, good: Sequence[Taken]) -> dict[str, Any]:
    """What ran: by the launches, and by the evaluation where a runtime tells only when traced."""
    event = found.event(record)
    sources = [taken.launch["executed"] for taken in good] + ([event["executed"]] if event else [])
    told: dict[str, str | None] = {}
    for key in ("precision", "threads", "provider", "runtime_version", "note"):
        values = {str(source[key]) for source in sources if source.get(key) is not None}
        told[key] = " / ".join(sorted(_longest(values))) or None
    return told


def _longest(told: set[str]) -> Iterator[str]:
    """Leave out what is part of something else that is told: an evaluation tells most."""
    for text in told:
        parts = set(text.split("; "))
        if not any(parts < set(other.split("; ")) for other in told):
            yield text


def _samples(taken: Taken) -> int:
    """Samples of a launch that count, or the requests of a server."""
    requests = sum(len(trial["latencies_ns"]) for trial in taken.launch["trials"])
    return int(taken.samples.size) + requests


def _put_streams(builder: RowBuilder, good: Sequence[Taken], reason: str | None) -> None:
    streams = sorted({taken.launch["streams"] for taken in good})
    differ = f"it differs between launches: {', '.join(map(str, streams))}"
    builder.put("streams", streams[0] if len(streams) == 1 else None, reason or differ)


def _put_latency(
    builder: RowBuilder, cell: wire.Cell, good: Sequence[Taken], reason: str | None
) -> None:
    away = elsewhere(cell["scenario"], WAITING)
    samples = [] if away else [taken.samples for taken in good]
    estimates = {name: stats.pooled_quantile(samples, name) for name in stats.QUANTILES}
    estimates |= {"mean": stats.pooled_mean(samples), "min": stats.smallest(samples)}
    builder.put_all("latency_ms", estimates, away or reason)


def _put_unpreempted(
    builder: RowBuilder, cell: wire.Cell, good: Sequence[Taken], reason: str | None
) -> None:
    """Of the launches whose preemptions were counted."""
    away = elsewhere(cell["scenario"], WATCHED)
    counted = [] if away else [taken for taken in good if taken.switches is not None]
    samples = [taken.samples for taken in counted]
    switches = [taken.switches for taken in counted if taken.switches is not None]
    estimates = {
        name: stats.unpreempted_quantile(samples, switches, name)
        for name in stats.UNPREEMPTED.values()
    }
    why = away or reason or (None if counted else NOT_COUNTED)
    builder.put_all("unpreempted_ms", estimates, why)


def _put_throughput(
    builder: RowBuilder, found: Index, cell: wire.Cell, good: Sequence[Taken], reason: str | None
) -> None:
    why = elsewhere(cell["scenario"], FLOWING) or reason
    estimate = Estimate.missing(why) if why else _throughput(found, cell, good)
    builder.put_estimate("throughput_ips", "intervals.throughput_ips", estimate)


def _throughput(found: Index, cell: wire.Cell, good: Sequence[Taken]) -> Estimate:
    """Inputs a second: those of one sample over the mean time of a sample."""
    whole = launchwise.throughput(found, good)
    if whole is None:
        told = inputs(found.run.study, cell, good[0].launch)
        return Estimate.missing(NO_TIME if told else NO_REQUESTS)
    each = [launchwise.throughput(found, [taken]) for taken in good]
    return stats.log_t_estimate(whole, [value for value in each if value is not None])


def _put_server(
    builder: RowBuilder, found: Index, cell: wire.Cell, good: Sequence[Taken], reason: str | None
) -> None:
    """The rate that it held, in inputs a second, and every rate tried, in requests a second."""
    if away := elsewhere(cell["scenario"], {wire.SERVER}):
        builder.put("server", None, away)
        return
    target = float(parameters(found.run.study, wire.SERVER)["target_p99_ms"])
    trials = [taken.launch["trials"] for taken in good]
    rate = server.held_rate(trials, target).scaled(cell["batch"])
    builder.put_estimate("server.rate_ips", "server.ci.rate_ips", because(rate, reason))
    builder.put("server.target_ms", target)
    builder.put("server.trials", server.tried(trials, target))


def _put_sustained(
    builder: RowBuilder,
    cell: wire.Cell,
    good: Sequence[Taken],
    reason: str | None,
    device: DeviceRecord | None,
) -> None:
    if away := elsewhere(cell["scenario"], {wire.SUSTAINED}):
        builder.put("sustained", None, away)
        return
    launches = [taken.blocks for taken in good]
    minutes = sustained.minute_medians(launches)
    ratio = because(sustained.slowdown(launches), reason)
    first, last = (minutes[0], minutes[-1]) if minutes else (None, None)
    builder.put("sustained.first_p50_ms", first, ratio.reason)
    builder.put("sustained.last_p50_ms", last, ratio.reason)
    builder.put_estimate("sustained.ratio", "sustained.ci.ratio", ratio)
    builder.put("sustained.minutes", minutes)
    builder.put("sustained.over_first", sustained.over_first(minutes))
    heated = heat([taken.launch for taken in good], len(minutes), highest_mhz(device))
    for name in HEAT:
        builder.put(f"sustained.{name}", getattr(heated, name), reason or heated.reasons.get(name))


def _put_load(builder: RowBuilder, good: Sequence[Taken], reason: str | None) -> None:
    launches = [taken.launch for taken in good]
    loads = [ns / NS_PER_MS for item in launches if (ns := item["load_ns"]) is not None]
    firsts = [ns / NS_PER_MS for item in launches if (ns := item["first_ns"]) is not None]
    load = because(stats.median_of_launches(loads, "its load time"), reason)
    builder.put_estimate("load_ms", "intervals.load_ms", load)
    first = because(stats.median_of_launches(firsts, "its first inference"), reason)
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
