"""Gates: the metrics a limit may name, and what one value says about one limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agents import wire
from reports.estimate import Estimate

Outcome = Literal["pass", "fail", "inconclusive"]
Bound = Literal["max", "min"]
Launchwise = Literal["p50", "p95", "p99", "unpreempted_p50", "unpreempted_p95", "throughput"]
Row = Mapping[str, Any]
Ratios = Mapping[tuple[str, str, str], Row]  # device, candidate cell, metric -> comparison
BOUNDS: tuple[Bound, ...] = ("max", "min")
BYTES_PER_MIB = 2**20
ALL_SCENARIOS = frozenset(wire.SCENARIOS)
# Where one sample is the time that a user waits: of an inference, a query, a first answer.
WAITING = ALL_SCENARIOS - {wire.OFFLINE, wire.SERVER}
# Where inputs follow each other without a pause.
FLOWING = ALL_SCENARIOS - {wire.SERVER, wire.COLD_START}
# Where preemptions are counted for each sample.
WATCHED = frozenset({wire.SINGLE_STREAM, wire.MULTI_STREAM})


@dataclass(frozen=True)
class Metric:
    """A metric that a gate may name: where its value comes from, and whether it is noisy.

    A noisy metric passes or fails only by its interval; a metric against the baseline is not asked
    of the baseline itself, and no metric of a cell whose scenario does not measure it.
    """

    unit: str
    meaning: str
    read: Callable[[Row, Ratios], Estimate]
    noisy: bool = True
    against_baseline: bool = False
    scenarios: frozenset[str] = ALL_SCENARIOS
    # What of one launch the metric, or its ratio, is about (reports/launchwise.py says how it is
    # computed); null where a cell has one value only. Such gates are decided at looks.
    launchwise: Launchwise | None = None


@dataclass(frozen=True)
class Limit:
    """One bound of one gate, asked of the cells of one scenario or (null) of all."""

    metric: str
    bound: Bound
    value: float
    scenario: str | None = None

    def __str__(self) -> str:
        where = f" in {self.scenario}" if self.scenario else ""
        return f"{self.metric} {'<=' if self.bound == 'max' else '>='} {self.value:g}{where}"

    def asks(self, scenario: str) -> bool:
        """Whether cells of a scenario are judged by this limit."""
        return scenario in METRICS[self.metric].scenarios and self.scenario in (None, scenario)


def _from_row(path: str, interval_path: str | None = None, factor: float = 1.0) -> Any:
    def read(row: Row, _: Ratios) -> Estimate:
        reasons = row["reasons"]
        value = _at(row, path)
        if value is None:
            return Estimate.missing(reasons.get(path, "not measured"))
        ends = _at(row, interval_path) if interval_path else None
        interval = (ends[0], ends[1]) if ends else None
        return Estimate(value, interval, reasons.get(interval_path)).scaled(factor)

    return read


def _from_ratio(metric: str) -> Any:
    def read(row: Row, ratios: Ratios) -> Estimate:
        found = ratios.get((row["device"], row["cell"], metric))
        if found is None:
            why = row["reason"] or "it was not compared with the baseline in any group"
            return Estimate.missing(why)
        ends = found["ci"]
        return Estimate(found["ratio"], (ends[0], ends[1]) if ends else None, found["reason"])

    return read


def _latency(of: Launchwise, meaning: str) -> Metric:
    read = _from_row(f"latency_ms.{of}", f"latency_ms.ci.{of}")
    return Metric("ms", meaning, read, scenarios=WAITING, launchwise=of)


def _unpreempted(of: Launchwise, meaning: str) -> Metric:
    name = of.removeprefix("unpreempted_")
    read = _from_row(f"unpreempted_ms.{name}", f"unpreempted_ms.ci.{name}")
    return Metric("ms", meaning, read, scenarios=WATCHED, launchwise=of)


def _latency_ratio(of: Launchwise, scenarios: frozenset[str] = WAITING) -> Metric:
    meaning = f"{of.replace('_', ' ')} over the baseline's; below 1 is faster"
    return _ratio(f"latency_{of}_ratio", of, scenarios, meaning)


def _ratio(name: str, of: Launchwise, scenarios: frozenset[str], meaning: str) -> Metric:
    read = _from_ratio(name)
    return Metric("x", meaning, read, against_baseline=True, scenarios=scenarios, launchwise=of)


def _per_launch(name: str, unit: str, meaning: str) -> Metric:
    return Metric(unit, meaning, _from_row(name, f"intervals.{name}"))


def _accuracy(name: str, meaning: str, against_baseline: bool = False) -> Metric:
    read = _from_row(f"accuracy.{name}", f"accuracy.ci.{name}")
    return Metric("share", meaning, read, against_baseline=against_baseline)


def _of_class(place: str, name: str, meaning: str, against_baseline: bool = False) -> Metric:
    """A value of the class that stands out, which is null as a whole where there is none."""

    def read(row: Row, _: Ratios) -> Estimate:
        found = row["accuracy"][place]
        if found is None:
            return Estimate.missing(row["reasons"].get(f"accuracy.{place}", "not measured"))
        low, high = found["interval"]
        return Estimate(found[name], (low, high))

    return Metric("share", meaning, read, against_baseline=against_baseline)


def _calibration(name: str, meaning: str) -> Metric:
    def read(row: Row, ratios: Ratios) -> Estimate:
        if row["calibration"] is None:
            return Estimate.missing(row["reasons"].get("calibration", "not measured"))
        found: Estimate = _from_row(f"calibration.{name}", f"calibration.ci.{name}")(row, ratios)
        return found

    return Metric("share", meaning, read)


def _file(unit: str, path: str, factor: float, meaning: str) -> Metric:
    return Metric(unit, meaning, _from_row(path, factor=factor), noisy=False)


METRICS: Mapping[str, Metric] = {
    "latency_p50_ms": _latency("p50", "median time of one inference"),
    "latency_p95_ms": _latency("p95", "time that 95% of inferences do not exceed"),
    "latency_p99_ms": _latency("p99", "time that 99% of inferences do not exceed"),
    "latency_mean_ms": Metric(
        "ms",
        "mean time of one inference",
        _from_row("latency_ms.mean", "latency_ms.ci.mean"),
        scenarios=WAITING,
    ),
    "latency_unpreempted_p50_ms": _unpreempted(
        "unpreempted_p50",
        "p50 of the inferences that kept their core: a regression shows here first",
    ),
    "latency_unpreempted_p95_ms": _unpreempted(
        "unpreempted_p95",
        "p95 of the inferences that kept their core; users wait for the others too",
    ),
    "latency_p50_ratio": _latency_ratio("p50"),
    "latency_p95_ratio": _latency_ratio("p95"),
    "latency_p99_ratio": _latency_ratio("p99"),
    "latency_unpreempted_p50_ratio": _latency_ratio("unpreempted_p50", WATCHED),
    "latency_unpreempted_p95_ratio": _latency_ratio("unpreempted_p95", WATCHED),
    "throughput_ips": Metric(
        "1/s",
        "inputs a second: those of one sample over the mean time of a sample",
        _from_row("throughput_ips", "intervals.throughput_ips"),
        scenarios=FLOWING,
        launchwise="throughput",
    ),
    "throughput_ratio": _ratio(
        "throughput_ratio",
        "throughput",
        FLOWING,
        "inputs a second over the baseline's; above 1 is faster",
    ),
    "server_rate_ips": Metric(
        "1/s",
        "inputs a second of the highest rate of random arrivals whose p99 keeps its target",
        _from_row("server.rate_ips", "server.ci.rate_ips"),
        scenarios=frozenset({wire.SERVER}),
    ),
    "sustained_ratio": Metric(
        "x",
        "p50 of the last minute under load over the first minute's; above 1: it slows down",
        _from_row("sustained.ratio", "sustained.ci.ratio"),
        scenarios=frozenset({wire.SUSTAINED}),
    ),
    "peak_rss_mib": _per_launch("peak_rss_mib", "MiB", "peak resident memory, median of launches"),
    "load_ms": _per_launch("load_ms", "ms", "time to load the model, median of launches"),
    "first_inference_ms": _per_launch(
        "first_inference_ms", "ms", "time of the first inference, median of launches"
    ),
    "file_mib": _file("MiB", "file_bytes", 1 / BYTES_PER_MIB, "size of the model file"),
    "compressed_mib": _file(
        "MiB", "compressed_bytes", 1 / BYTES_PER_MIB, "size of the model file, compressed"
    ),
    "sparsity": _file("share", "sparsity", 1.0, "share of zero weights in the file, 0..1"),
    "accuracy_top1": _accuracy("top1", "share of samples whose best class is right, 0..1"),
    "accuracy_top5": _accuracy("top5", "share of samples with the right class in five, 0..1"),
    "accuracy_top1_drop": _accuracy(
        "top1_drop", "baseline's top-1 minus this one's, same samples", against_baseline=True
    ),
    "accuracy_top5_drop": _accuracy(
        "top5_drop", "baseline's top-5 minus this one's, same samples", against_baseline=True
    ),
    "accuracy_map50": _accuracy("map50", "mean average precision of boxes at an IoU of 0.5, 0..1"),
    "accuracy_map50_drop": _accuracy(
        "map50_drop", "baseline's mAP@0.5 minus this one's, same samples", against_baseline=True
    ),
    "accuracy_miou": _accuracy("miou", "mean intersection over union of the classes, 0..1"),
    "accuracy_miou_drop": _accuracy(
        "miou_drop", "baseline's mIoU minus this one's, same samples", against_baseline=True
    ),
    "accuracy_auc": _accuracy("auc", "area under the ROC curve of a two-class model, 0..1"),
    "accuracy_auc_drop": _accuracy(
        "auc_drop", "baseline's area minus this one's, same samples", against_baseline=True
    ),
    "accuracy_agreement": _accuracy(
        "agreement", "share of samples with the baseline's best class", against_baseline=True
    ),
    "accuracy_recall_worst": _of_class(
        "recall_worst", "recall", "lowest recall of a class, all classes heeded, 0..1"
    ),
    "accuracy_recall_loss_worst": _of_class(
        "recall_loss_worst",
        "loss",
        "largest loss of recall of a class against the baseline, all classes heeded",
        against_baseline=True,
    ),
    "calibration_ece": _calibration(
        "ece", "expected calibration error: mean gap of confidence and accuracy in 15 bins, 0..1"
    ),
}


def limits(gates: Iterable[Mapping[str, Any]]) -> list[Limit]:
    """The bounds that a study's gates set, in its order."""
    return [
        Limit(gate["metric"], bound, float(gate[bound]), gate.get("scenario"))
        for gate in gates
        for bound in BOUNDS
        if gate.get(bound) is not None
    ]


def judge(estimate: Estimate, limit: Limit, noisy: bool = True) -> tuple[Outcome, str]:
    """The verdict on one value, and why.

    With an interval: pass if all of it is within the limit, fail if all of it is beyond, otherwise
    inconclusive. A noisy metric without an interval never passes.
    """
    if estimate.value is None:
        return "inconclusive", estimate.reason or "no value"
    if estimate.interval is None:
        if noisy:
            return "inconclusive", f"no interval: {estimate.reason or 'too little was measured'}"
        within = _within(estimate.value, limit)
        return ("pass", "within the limit") if within else ("fail", "beyond the limit")
    inside = [_within(end, limit) for end in estimate.interval]
    if all(inside):
        return "pass", "all of the interval is within the limit"
    if not any(inside):
        return "fail", "all of the interval is beyond the limit"
    return "inconclusive", "the limit lies inside the interval"


def overall(found: Iterable[Mapping[str, Any]]) -> Outcome:
    """One answer for all verdicts: one fail fails, and pass means that nothing was left open."""
    outcomes = {verdict["verdict"] for verdict in found}
    if "fail" in outcomes:
        return "fail"
    return "inconclusive" if "inconclusive" in outcomes else "pass"


def _within(value: float, limit: Limit) -> bool:
    return value <= limit.value if limit.bound == "max" else value >= limit.value


def _at(row: Row, path: str) -> Any:
    place: Any = row
    for key in path.split("."):
        place = place[key]
    return place
