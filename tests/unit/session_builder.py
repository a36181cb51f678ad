"""Makes runs of several sessions out of nothing: a board, its surroundings, its times."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.store import Store
from reports.run import Run
from tests.unit.run_builder import RIGHT, TIMES, RunBuilder, cell

FACTS: dict[str, Any] = {
    "machine": "aarch64",
    "hostname": "pi5",
    "identity": {"serial": "ab12cd34ab12cd34", "machine_id": "77aa77aa77aa77aa"},
    "boot_id": "11111111-aaaa",
    "cpu_model": "Cortex-A76",
    "cpu_flags": ["fp", "asimd"],
    "cpus": 4,
    "memory_kib": 8_000_000,
    "kernel": "6.6.31",
    "system": "Raspberry Pi OS 12",
    "python": "3.11.2",
    "clocks": {"scaling_governor": "performance", "scaling_max_freq": "2400000"},
    "agent_sha256": "a" * 64,
}
DATASET = "d" * 64


def session(
    number: int = 1,
    times: Mapping[str, float] = TIMES,
    *,
    slower: float = 1.0,
    facts: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    runtimes: tuple[str, ...] = ("onnxruntime",),
    version: str = "1.31",
    launches: int = 8,
    scenario: str = "single-stream",
    right: Mapping[str, float] = RIGHT,
    conditions: Any = None,
) -> Run:
    """One run of the study kws on the 1st to 28th of January: every cell takes `slower` as long.

    `facts` change those of the board, `files` the sha256 of a variant's file.
    """
    made = RunBuilder(seed=number, launches=launches)
    made.study["variants"] = {name: {"model": f"{name}.onnx"} for name in times}
    for name in times:
        made.add_artifact(name, 3_000_000)
    for name, sha in (files or {}).items():
        made.artifacts[sha] = replace(made.artifacts[f"sha-{name}"], sha256=sha, bytes=2_000_000)
    executed = {"precision": "fp32", "threads": 1, "provider": "CPU", "runtime_version": version}
    for runtime in runtimes:
        here = {name: cell(name, runtime, scenario=scenario) for name in times}
        for name, sha in (files or {}).items():
            here[name]["artifact"] = sha
        for name, one in here.items():
            made.add_cell(one)
            made.add_evaluation(one, right[name])
        medians = {here[name]["id"]: ms * slower for name, ms in times.items()}
        made.add_group(runtime, medians, executed=executed)
    if conditions is not None:
        made.records = [replace(record, conditions=conditions) for record in made.records]
    run = made.build()
    board = replace(run.devices[0], facts=copy.deepcopy(FACTS) | dict(facts or {}))
    return replace(
        run,
        id=f"kws-{number:02d}",
        started=f"2026-01-{number:02d}T10:00:00+00:00",
        dataset=DATASET,
        devices=[board],
    )


def keep(store: Store, run: Run) -> None:
    """Store a run as the controller does: planned first, then launch by launch."""
    store.create_run(run, Path(), None, run.dataset)
    for board in run.devices:
        store.update_device(run.id, board.name, facts=dict(board.facts), status=board.status)
    launches: dict[tuple[str, str, int], list[Any]] = {}
    for record in run.launches:
        launches.setdefault((record.device, record.group, record.ordinal), []).append(record)
    for (board_name, group, ordinal), records in launches.items():
        event: Any = {
            "kind": "launch",
            "group": group,
            "ordinal": ordinal,
            "started": float(ordinal),
            "interleaved": records[0].interleaved,
            "seconds": records[0].seconds,
            "cells": [record.launch for record in records],
            "conditions": records[0].conditions,
        }
        store.add_launch(run.id, board_name, event)
    for each in run.evaluations:
        store.add_evaluation(run.id, each.device, each.event)
    store.finish_run(run.id)
