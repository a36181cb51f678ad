"""Runs of several boards for the tests of selection: seeded, synthetic, prices made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reports.run import DeviceRecord, Run
from tests.unit.run_builder import RIGHT, RunBuilder, cell, floor

# Median of the dense variant in ms, and the profile; boards that never existed.
BOARDS: Mapping[str, tuple[float, str]] = {
    "pi5": (40.0, "raspberry-pi-5"),
    "orin": (12.0, "jetson-orin-nano"),
    "nuc": (9.0, "intel-nuc-12-pro"),
}
SPEED = {"dense": 1.0, "int8": 0.4, "slim-40": 0.55}
PRICES = {"pi5": 80.0, "orin": 249.0, "nuc": 400.0}


def session(
    name: str = "20260101-kws",
    *,
    seed: int = 7,
    launches: int = 8,
    boards: Mapping[str, tuple[float, str]] = BOARDS,
    drift: float = 0.02,
    between: float = 0.0,
    runtimes: Sequence[str] = ("onnxruntime",),
    variants: Sequence[str] = tuple(SPEED),
) -> Run:
    """One run on some boards; `between` is the sd of what this session does to each board's log."""
    rng = np.random.default_rng(seed)
    made = [
        _board(
            RunBuilder(seed=seed * 100 + at, launches=launches, device=device, drift=drift),
            profile,
            {variant: ms * SPEED[variant] * moved for variant in variants},
            runtimes,
        )
        for at, (device, (ms, profile)) in enumerate(boards.items())
        for moved in [float(np.exp(between * rng.standard_normal()))]
    ]
    runs = [builder.build() for builder in made]
    return replace(
        runs[0],
        id=name,
        devices=[device for run in runs for device in run.devices],
        cells=[each for run in runs for each in run.cells],
        groups=[each for run in runs for each in run.groups],
        launches=[each for run in runs for each in run.launches],
        evaluations=[each for run in runs for each in run.evaluations],
    )


def _board(
    made: RunBuilder, profile: str, times: Mapping[str, float], runtimes: Sequence[str]
) -> RunBuilder:
    facts = {"machine": "aarch64", "cpu_model": f"{profile} chip", "memory_kib": 8 << 20, "cpus": 4}
    record = DeviceRecord(made.device, profile, "ok", facts=facts, seconds=60.0, floor=floor())
    made.devices = [record]
    for variant in times:
        made.add_artifact(variant, 3_000_000)
    for runtime in runtimes:
        cells = {variant: cell(variant, runtime) for variant in times}
        for each in cells.values():
            made.add_cell(each)
        made.add_group(runtime, {cells[variant]["id"]: ms for variant, ms in times.items()})
        for variant, each in cells.items():
            made.add_evaluation(each, RIGHT[variant])
    return made
