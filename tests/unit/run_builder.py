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
    fmt: str = "onnx",
) -> wire.Cell:
    return wire.Cell(
        id=f"{variant}/{runtime}/{precision}/{batch}/{threads}",
        variant=variant,
        runtime=runtime,
        precision=precision,
        batch=batch,
        threads=threads,
        scenario="single-stream",
        artifact=f"sha-{variant}",
        format=fmt,
        inputs=[],
        evaluation=f"{variant}/{runtime}/{precision}",
    )


def blocks(
    ms: float, rng: np.random.Generator, count: int = 20, length: int = 10
) -> list[list[int]]:
    """Blocks of lognormal samples around a median in ms."""
    samples = ms * 1e6 * np.exp(0.05 * rng.standard_normal((count, length)))
    return [[int(sample) for sample in block] for block in samples]


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
        "noise": {"involuntary_switches": 1, "run_delay_ns": 1000},
        "cpus": [0],
    } | changes
    return whole  # type: ignore[return-value]


def event(of: wire.Cell, top: list[list[int]] | None, **changes: Any) -> wire.EvaluationEvent:
    whole: dict[str, Any] = {
        "kind": "evaluation",
        "evaluation": of["evaluation"],
        "cell": of["id"],
        "status": "ok",
        "reason": None,
        "top": top,
        "nonfinite": 0,
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
        for ordinal in range(self.launches):
            shared = float(np.exp(self.drift * self.rng.standard_normal()))
            for cell_id, ms in times.items():
                launch = cell_launch(cell_id, blocks(ms * shared, self.rng), **changes)
                self.add_launch(name, ordinal, launch)

    def add_launch(
        self, group: str, ordinal: int, launch: wire.CellLaunch, interleaved: bool = True
    ) -> None:
        self.records.append(LaunchRecord(self.device, group, ordinal, interleaved, 2.0, launch))

    def add_evaluation(self, of: wire.Cell, right: float, **changes: Any) -> None:
        top = answers(self.labels, right) if self.labels is not None else None
        self.events.append(EvaluationRecord(self.device, event(of, **({"top": top} | changes))))

    def build(self) -> Run:
        device = DeviceRecord(
            self.device,
            "raspberry-pi-5",
            "ok",
            facts={"model": "Raspberry Pi 5", "cores": 4, "kernel": "6.6"},
            pushed_bytes={"agent": 40_000, "models": 3_000_000},
            seconds=60.0,
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
