"""Gates: the metrics a limit may name, and what one value says about one limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reports.estimate import Estimate

Outcome = Literal["pass", "fail", "inconclusive"]
Bound = Literal["max", "min"]
Row = Mapping[str, Any]
Ratios = Mapping[tuple[str, str, str], Row]  # device, candidate cell, metric -> comparison
BOUNDS: tuple[Bound, ...] = ("max", "min")
BYTES_PER_MIB = 2**20
QUANTILES = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Metric:
    """A metric that a gate may name: where its value comes from, and whether it is noisy.

    A noisy metric passes or fails only by its interval; a metric against the baseline is not asked
    of the baseline itself.
    """

    unit: str
    meaning: str
    read: Callable[[Row, Ratios], Estimate]
    noisy: bool = True
    against_baseline: bool = False
    # Of a quantile of the latency: its name. Such a gate is decided launch by launch, at looks.
    quantile: str | None = None


@dataclass(frozen=True)
class Limit:
    """One bound of one gate."""

    metric: str
    bound: Bound
    value: float

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.bound == 'max' else '>='} {self.value:g}"


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
            return Estimate.missing("it was not compared with the baseline in any group")
        ends = found["ci"]
        return Estimate(found["ratio"], (ends[0], ends[1]) if ends else None, found["reason"])

    return read


def _latency(name: str, meaning: str) -> Metric:
    read = _from_row(f"latency_ms.{name}", f"latency_ms.ci.{name}")
    return Metric("ms", meaning, read, quantile=name if name in QUANTILES else None)


def _ratio(quantile: str, meaning: str) -> Metric:
    read = _from_ratio(f"latency_{quantile}_ratio")
    return Metric("x", meaning, read, against_baseline=True, quantile=quantile)


def _per_launch(name: str, unit: str, meaning: str) -> Metric:
    return Metric(unit, meaning, _from_row(name, f"intervals.{name}"))


def _accuracy(name: str, meaning: str, against_baseline: bool = False) -> Metric:
    read = _from_row(f"accuracy.{name}", f"accuracy.ci.{name}")
    return Metric("share", meaning, read, against_baseline=against_baseline)


def _file(unit: str, path: str, factor: float, meaning: str) -> Metric:
    return Metric(unit, meaning, _from_row(path, factor=factor), noisy=False)


METRICS: Mapping[str, Metric] = {
    "latency_p50_ms": _latency("p50", "median time of one inference"),
    "latency_p95_ms": _latency("p95", "time that 95% of inferences do not exceed"),
    "latency_p99_ms": _latency("p99", "time that 99% of inferences do not exceed"),
    "latency_mean_ms": _latency("mean", "mean time of one inference"),
    "latency_p50_ratio": _ratio("p50", "p50 over the baseline's; below 1 is faster"),
    "latency_p95_ratio": _ratio("p95", "p95 over the baseline's; below 1 is faster"),
    "throughput_ips": _per_launch("throughput_ips", "1/s", "inputs a second: batch over mean time"),
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
}


def limits(gates: Iterable[Mapping[str, Any]]) -> list[Limit]:
    """The bounds that a study's gates set, in its order."""
    return [
        Limit(gate["metric"], bound, float(gate[bound]))
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
