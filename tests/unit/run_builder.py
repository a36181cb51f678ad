"""Makes runs out of nothing for the tests of the reports: seeded, synthetic launches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents import wire
from reports.run import (
    ArtifactRecord,
    CellRecord,
    DeviceRecord,
    EvaluationRecord,
    GroupRecord,
    LaunchRecord,
    Run,
)


def cell(
    variant: str,
    runtime: str = "onnxruntime",
    *,
    precision: str = "fp32",
    batch: int = 1,
    threads: int = 1,
    scenario: str = wire.SINGLE_STREAM,
    fmt: str = "onnx",
) -> wire.Cell:
    single = scenario == wire.SINGLE_STREAM
    made: Any = {  # without what was added later: reports read old runs too
        "id": f"{variant}/{runtime}/{precision}/{batch}/{threads}" + f"/{scenario}" * (not single),
        "variant": variant,
        "runtime": runtime,
        "precision": precision,
        "batch": batch,
        "threads": threads,
        "scenario": scenario,
        "artifact": f"sha-{variant}",
        "format": fmt,
        "inputs": [],
        "evaluation": f"{variant}/{runtime}/{precision}",
    }
    return made  # type: ignore[no-any-return]


def blocks(
    ms: float, rng: np.random.Generator, count: int = 20, length: int = 10
) -> list[list[int]]:
    """Blocks of lognormal samples around a median in ms."""
    samples = ms * 1e6 * np.exp(0.05 * rng.standard_normal((count, length)))
    return [[int(sample) for sample in block] for block in samples]


SCENARIOS: list[dict[str, Any]] = [
    {"name": wire.SINGLE_STREAM},
    {"name": wire.MULTI_STREAM, "streams": 4},
    {"name": wire.OFFLINE, "streams": 2, "requests": 16},
    {"name": wire.SERVER, "streams": 2, "seconds": 2.0, "target_p99_ms": 20.0},
    {"name": wire.COLD_START},
    {"name": wire.SUSTAINED, "minutes": 3},
]
# How many times as long a request takes as the inference alone, at each rate that is tried.
QUEUEING = {100.0: 1.0, 200.0: 3.0, 400.0: 8.0}


def of_scenario(scenario: str, ms: float, rng: np.random.Generator) -> dict[str, Any]:
    """What a launch of a scenario in SCENARIOS holds when one inference takes so many ms."""
    if scenario == wire.MULTI_STREAM:
        return {"blocks": blocks(4 * ms, rng), "streams": 4}
    if scenario == wire.OFFLINE:
        return {"blocks": blocks(16 * ms / 2, rng), "streams": 2}
    if scenario == wire.COLD_START:
        return {"blocks": blocks(100 + ms, rng, count=4, length=1)}
    if scenario == wire.SUSTAINED:
        minutes = [blocks(ms * slow, rng, count=1, length=300)[0] for slow in (1.0, 1.1, 1.2)]
        return {"blocks": minutes, "readings": heating(len(minutes))}
    if scenario == wire.SERVER:
        trials = [
            {"rate": rate, "latencies_ns": blocks(ms * longer, rng, count=1, length=400)[0]}
            for rate, longer in QUEUEING.items()
        ]
        return {"blocks": [], "streams": 2, "trials": trials}
    return {"blocks": blocks(ms, rng)}


def heating(minutes: int, throttles_at: int = 2) -> list[wire.Reading]:
    """What a Raspberry Pi reads before a sustained load and after each minute of it."""
    return [
        {
            "clock": {"0": 1500.0 if at >= throttles_at else 2400.0},
            "throttling": {"get_throttled": 0x4 if at >= throttles_at else 0},
            "temperature": {"cpu-thermal": 55.0 + 12.5 * at, "nvme": 35.0 + at},
        }
        for at in range(minutes + 1)
    ]


def cell_launch(cell_id: str, sample_blocks: list[list[int]], **changes: Any) -> wire.CellLaunch:
    whole: dict[str, Any] = {
        "cell": cell_id,
        "status": "ok",
        "reason": None,
        "blocks": sample_blocks,
        "load_ns": 20_000_000,
        "import_ns": 150_000_000,
        "first_ns": 4_000_000,
        "warmup": {"iterations": 50, "steady": True, "ns": 100_000_000},
        "memory": {"peak_kib": 65536, "anon_kib": 40000, "floor_kib": 30000},
        "executed": {"precision": "fp32", "threads": 1, "provider": "CPU", "runtime_version": "1"},
        "noise": {"preempted": [], "run_delay_ns": 1000},
        "cpus": [0],
        "streams": 1,
        "call_overhead_ns": None,
        "trials": [],
        "readings": [],
    } | changes
    return whole  # type: ignore[return-value]


def conditions() -> wire.Conditions:
    """Readings of the probes around a launch on a Raspberry Pi that nothing disturbs."""

    def reading(pressure_us: int, celsius: float) -> dict[str, Any]:
        return {
            "clock": {str(cpu): 2400.0 for cpu in range(4)},
            "pressure": pressure_us,
            "steal": 0.0,
            "temperature": {"cpu-thermal": celsius},
            "throttling": {"get_throttled": 0},
        }

    return {"before": reading(10_000, 51.2), "after": reading(12_000, 55.6)}


def floor() -> wire.FloorEvent:
    """What measuring costs on such a board."""
    return {
        "kind": "floor",
        "reason": None,
        "loop_ns": [400, 500, 600, 500],
        "supervisor_kib": 14_336,
        "worker_kib": 15_360,
        "seconds": 0.3,
    }


def event(of: wire.Cell, top: list[list[int]] | None, **changes: Any) -> wire.EvaluationEvent:
    whole: dict[str, Any] = {
        "kind": "evaluation",
        "evaluation": of["evaluation"],
        "cell": of["id"],
        "status": "ok",
        "reason": None,
        "top": top,
        "nonfinite": 0,
        "scores": None,
        "inputs_sha256": None,
        "sets": [],
        "seconds": 1.0,
        "executed": {},
    } | changes
    return whole  # type: ignore[return-value]


def answers(labels: Sequence[int], right: float, classes: int = 12) -> list[list[int]]:
    """Best five classes per sample, the first `right` share of them with the label on top."""
    count = round(right * len(labels))
    return [
        [(label + (0 if at < count else 1) + step) % classes for step in range(5)]
        for at, label in enumerate(labels)
    ]


@dataclass
class RunBuilder:
    """Collects a run piece by piece; `times` gives each variant's median in ms."""

    seed: int = 7
    launches: int = 8
    device: str = "pi5"
    drift: float = 0.05  # launch-to-launch standard deviation shared by the cells of a group
    labels: list[int] | None = field(default_factory=lambda: [i % 12 for i in range(200)])
    boxes: list[list[list[float]]] | None = None
    study: dict[str, Any] = field(
        default_factory=lambda: {
            "name": "kws",
            "baseline": "dense",
            "gates": [],
            "measure": {"effort": "quick"},
        }
    )
    devices: list[DeviceRecord] = field(default_factory=list)
    artifacts: dict[str, ArtifactRecord] = field(default_factory=dict)
    cells: list[CellRecord] = field(default_factory=list)
    groups: list[GroupRecord] = field(default_factory=list)
    records: list[LaunchRecord] = field(default_factory=list)
    events: list[EvaluationRecord] = field(default_factory=list)
    begun: dict[tuple[str, str, int], float] = field(default_factory=dict)  # of launches

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def add_cell(
        self, made: wire.Cell, status: wire.Status = "ok", reason: str | None = None
    ) -> None:
        self.cells.append(CellRecord(self.device, made, status, reason))

    def add_artifact(self, variant: str, size: int, sparsity: float | None = 0.0) -> None:
        sha = f"sha-{variant}"
        made = ArtifactRecord(
            sha,
            f"{variant}.onnx",
            "onnx",
            size,
            size // 2,
            sparsity,
            reason=None if sparsity is not None else "the file cannot be read",
            provenance={"from": "dense", "method": variant},
        )
        self.artifacts[sha] = made

    def add_group(
        self,
        name: str,
        times: Mapping[str, float],
        *,
        kind: str = "variant",
        baseline: str | None = None,
        **changes: Any,
    ) -> None:
        """Launches of cells that the run has already; `times` maps a cell id to its median."""
        group: Any = {
            "id": name,
            "kind": kind,
            "baseline": baseline or next(iter(times)),
            "cells": list(times),
            "launches": self.launches,
        }
        self.groups.append(GroupRecord(self.device, group))
        scenarios = {record.cell["id"]: record.cell["scenario"] for record in self.cells}
        for ordinal in range(self.launches):
            shared = float(np.exp(self.drift * self.rng.standard_normal()))
            for cell_id, ms in times.items():
                scenario = scenarios.get(cell_id, wire.SINGLE_STREAM)
                measured = of_scenario(scenario, ms * shared, self.rng) | changes
                launch = cell_launch(cell_id, measured.pop("blocks"), **measured)
                self.add_launch(name, ordinal, launch)

    def add_launch(
        self,
        group: str,
        ordinal: int,
        launch: wire.CellLaunch,
        interleaved: bool = True,
        around: wire.Conditions | None = None,
    ) -> None:
        key = (self.device, group, ordinal)
        started = self.begun.setdefault(key, 1.8e9 + 2.5 * len(self.begun))
        record = LaunchRecord(*key, interleaved, 2.0, launch, around or conditions(), started)
        self.records.append(record)

    def add_evaluation(self, of: wire.Cell, right: float, **changes: Any) -> None:
        top = answers(self.labels, right) if self.labels is not None else None
        self.events.append(EvaluationRecord(self.device, event(of, **({"top": top} | changes))))

    def build(self) -> Run:
        device = DeviceRecord(
            self.device,
            "raspberry-pi-5",
            "ok",
            facts={"model": "Raspberry Pi 5", "cpus": 4, "kernel": "6.6"},
            pushed_bytes={"agent": 40_000, "models": 3_000_000},
            seconds=60.0,
            floor=floor(),
        )
        return Run(
            id="20260101-kws",
            study=self.study,
            started="2026-01-01T10:00:00Z",
            finished="2026-01-01T10:05:00Z",
            devices=self.devices or [device],
            artifacts=self.artifacts,
            cells=self.cells,
            groups=self.groups,
            launches=self.records,
            evaluations=self.events,
            labels=self.labels,
            boxes=self.boxes,
        )


TIMES = {"dense": 4.0, "int8": 1.2, "pruned-70": 4.0, "slim-40": 2.1}
RIGHT = {"dense": 0.92, "int8": 0.915, "pruned-70": 0.80, "slim-40": 0.90}
SPARSITY = {"dense": 0.0, "int8": 0.01, "pruned-70": 0.7, "slim-40": 0.0}
RUNTIMES = {"onnxruntime": 1.0, "openvino": 0.8}
GATES = [
    {"metric": "latency_p95_ms", "max": 3},
    {"metric": "latency_p50_ratio", "max": 1.03},
    {"metric": "peak_rss_mib", "max": 350},
    {"metric": "throughput_ips", "min": 240},
    {"metric": "accuracy_top1_drop", "max": 0.02},
]


def realistic(launches: int = 8, batches: Sequence[int] = (1, 8), seed: int = 7) -> Run:
    """A study as a lab would run it: four variants, two runtimes, one cell that cannot run."""
    made = RunBuilder(seed=seed, launches=launches)
    made.study["gates"] = GATES
    for variant, sparsity in SPARSITY.items():
        made.add_artifact(variant, {"int8": 800_000}.get(variant, 3_000_000), sparsity)
    for runtime in RUNTIMES:
        for batch in batches:
            for variant in TIMES:
                made.add_cell(cell(variant, runtime, batch=batch))
    made.add_cell(cell("int8", "litert"), "unsupported", "no tflite file of this variant")
    for runtime, speed in RUNTIMES.items():
        for batch in batches:
            times = {
                cell(variant, runtime, batch=batch)["id"]: ms * speed * batch**0.9
                for variant, ms in TIMES.items()
            }
            made.add_group(f"{runtime}-{batch}", times)
        for variant, right in RIGHT.items():
            made.add_evaluation(cell(variant, runtime), right)
    by_runtime = {cell("int8", runtime)["id"]: 1.2 * s for runtime, s in RUNTIMES.items()}
    made.add_group("runtimes-int8", by_runtime, kind="runtime")
    return made.build()


def every_scenario(launches: int = 7) -> RunBuilder:
    """The baseline and a variant of half its time in all scenarios, and of one both runtimes."""
    made = RunBuilder(launches=launches)
    made.study["scenarios"] = SCENARIOS
    for scenario in wire.SCENARIOS:
        dense, int8 = (cell(variant, scenario=scenario) for variant in ("dense", "int8"))
        made.add_cell(dense)
        made.add_cell(int8)
        made.add_group(f"variant/{scenario}", {dense["id"]: 4.0, int8["id"]: 1.5})
    other = cell("dense", "openvino")
    made.add_cell(other)
    made.add_group("variant/openvino", {other["id"]: 3.0})
    # So slow here that nobody could take it for a launch of the variant group.
    made.add_group("runtime/dense", {cell("dense")["id"]: 40.0, other["id"]: 30.0}, kind="runtime")
    return made
