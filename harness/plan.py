"""What one device is asked to measure: study x device -> cells, groups, evaluations, a job."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents import backends, wire
from harness.artifact import Artifact, Unresolvable, resolve_inputs
from harness.devices import Device
from harness.effort import EFFORTS, TIMING, Effort, on_the_wire
from harness.study import Study
from harness.variant import suffix
from reports import families

Artifacts = Mapping[tuple[str, str], Artifact]  # by (variant, format)


# Measured alone, so a second time beside the other runtimes would tell nothing new: the rows of the
# runtimes stand next to each other anyway.
WITHOUT_RUNTIME_GROUPS = (wire.SERVER, wire.SUSTAINED, wire.COLD_START)


@dataclass(frozen=True)
class PlannedCell:
    """One cell; one that cannot be measured is known now, and why."""

    cell: wire.Cell
    status: wire.Status
    reason: str | None = None


@dataclass(frozen=True)
class DevicePlan:
    """Everything that one device is asked to measure."""

    device: str
    cells: tuple[PlannedCell, ...]
    groups: tuple[wire.Group, ...]
    evaluations: tuple[wire.Evaluation, ...]
    scenarios: Mapping[str, wire.Scenario]  # by name
    timing: wire.Timing
    budget_s: float

    @property
    def measurable(self) -> dict[str, wire.Cell]:
        """Return the cells to measure by id."""
        return {item.cell["id"]: item.cell for item in self.cells if item.status == "ok"}

    @property
    def runtimes(self) -> list[str]:
        """List the runtimes that the device needs."""
        return sorted({cell["runtime"] for cell in self.measurable.values()})

    @property
    def artifacts(self) -> list[str]:
        """List the sha256 of the model files that the device needs."""
        return sorted({cell["artifact"] for cell in self.measurable.values()})


@dataclass(frozen=True)
class _Setting:
    """What the cells of a group share."""

    runtime: str
    precision: str
    batch: int
    threads: int
    scenario: str
    options: Mapping[str, Any]  # of the runtime on this device

    def __str__(self) -> str:
        return f"{self.runtime}/{self.without_runtime}"

    @property
    def without_runtime(self) -> str:
        """Return what the cells of a group of runtimes share, beside the variant."""
        return f"{self.precision}/b{self.batch}/t{self.threads}/{self.scenario}"


def plan(
    study: Study,
    device: Device,
    artifacts: Artifacts,
    formats: Mapping[str, Sequence[str]] | None = None,
) -> DevicePlan:
    """Plan a study on one device.

    `artifacts` holds every file of every variant; `formats` says what each runtime reads, the
    preferred first, and defaults to what its backend says.
    """
    reads = formats or {label: backends.find(label).FORMATS for label in study.runtimes}
    options = {label: device.details().options(label) for label in study.runtimes}
    settings = list(_settings(study, options))
    cells = [
        _planned(study, variant, setting, artifacts, reads[setting.runtime])
        for setting in settings
        for variant in _baseline_first(study)
    ]
    effort = EFFORTS[study.measure.effort]
    evaluations = _evaluations(study, cells)
    known = {evaluation["id"] for evaluation in evaluations}
    return DevicePlan(
        device=device.name,
        cells=tuple(_with_evaluation(item, known) for item in cells),
        groups=tuple(_groups(study, settings, cells, effort)),
        evaluations=tuple(evaluations),
        scenarios={item.name: on_the_wire(item, effort) for item in study.scenarios},
        timing=TIMING,
        budget_s=study.measure.budget,
    )


def job(
    plan: DevicePlan,
    run: str,
    *,
    seed: int,
    runtimes: Mapping[str, wire.Runtime],
    files: Mapping[str, Mapping[str, str]],
    attempt: str,
    profile: bool = False,
    dataset: wire.Dataset | None = None,
    robustness: wire.Robustness | None = None,
    skip: Mapping[str, str] | None = None,
    done_evaluations: Iterable[str] = (),
    answered: Mapping[str, wire.Answered] | None = None,
    done_launches: Iterable[tuple[str, int]] = (),
) -> wire.Job:
    """Make the job of a plan.

    Cells of a runtime that is not in `runtimes` are left out, as are evaluations and groups that
    lose theirs: that runtime could not be brought onto the device.
    """
    cells = {key: cell for key, cell in plan.measurable.items() if cell["runtime"] in runtimes}
    return {
        "schema": wire.JOB_SCHEMA,
        "run": run,
        "device": plan.device,
        "seed": seed,
        "budget_s": plan.budget_s,
        "timing": plan.timing,
        "runtimes": dict(runtimes),
        "profile": profile,
        "files": {key: dict(parts) for key, parts in files.items()},
        "dataset": dataset,
        "robustness": robustness,
        "scenarios": {
            cell["scenario"]: plan.scenarios[cell["scenario"]] for cell in cells.values()
        },
        "cells": cells,
        "evaluations": [item for item in plan.evaluations if item["cell"] in cells],
        "groups": list(_reduced(plan.groups, cells)),
        "attempt": attempt,
        "skip": dict(skip or {}),
        "done_evaluations": sorted(done_evaluations),
        "answered": dict(answered or {}),
        "done_launches": _as_lists(done_launches),
    }


def _reduced(groups: Iterable[wire.Group], cells: Container[str]) -> Iterator[wire.Group]:
    """Leave out of groups the cells that are not there; a group of runtimes needs two."""
    for group in groups:
        held = [key for key in group["cells"] if key in cells]
        if len(held) >= (2 if group["kind"] == "runtime" else 1):
            yield {**group, "cells": held}


def _as_lists(done: Iterable[tuple[str, int]]) -> list[list[Any]]:
    return [[group, ordinal] for group, ordinal in sorted(done)]


def _settings(study: Study, options: Mapping[str, Mapping[str, Any]]) -> Iterator[_Setting]:
    scenarios = [scenario.name for scenario in study.scenarios]
    axes = (study.runtimes, study.precisions, study.batch_sizes, study.threads, scenarios)
    for combination in itertools.product(*axes):
        yield _Setting(*combination, options[combination[0]])


def _baseline_first(study: Study) -> list[str]:
    others = [name for name in study.variants if name != study.baseline]
    return [study.baseline, *others]


def _planned(
    study: Study, variant: str, setting: _Setting, artifacts: Artifacts, reads: Sequence[str]
) -> PlannedCell:
    has = [name for name in reads if (variant, name) in artifacts]
    if not has:
        files = " and ".join(map(suffix, sorted(study.variants[variant].model)))
        read = " or ".join(map(suffix, reads))
        reason = f"{setting.runtime} reads {read}; {variant} has only {files}"
        return PlannedCell(_cell(variant, setting, None, []), "unsupported", reason)
    artifact = artifacts[variant, has[0]]
    try:
        inputs = resolve_inputs(artifact, setting.batch, study.variants[variant].shapes)
    except Unresolvable as error:
        return PlannedCell(_cell(variant, setting, artifact, []), "unsupported", str(error))
    return PlannedCell(_cell(variant, setting, artifact, inputs), "ok")


def _cell(
    variant: str, setting: _Setting, artifact: Artifact | None, inputs: list[wire.TensorSpec]
) -> wire.Cell:
    return {
        "id": f"{variant}/{setting}",
        "variant": variant,
        "runtime": setting.runtime,
        "target": backends.target_of(setting.runtime),
        "options": dict(setting.options),
        "precision": setting.precision,
        "batch": setting.batch,
        "threads": setting.threads,
        "scenario": setting.scenario,
        "artifact": artifact.sha256 if artifact else "",
        "format": artifact.format if artifact else "",
        "inputs": inputs,
        "outputs": _outputs(artifact) if artifact else [],
        "evaluation": f"{variant}/{setting.runtime}/{setting.precision}",
    }


def _outputs(artifact: Artifact) -> list[wire.OutputSpec]:
    return [
        {
            "name": port.name,
            "dtype": port.dtype,
            "scale": port.scale,
            "zero_point": port.zero_point,
        }
        for port in artifact.outputs
    ]


def _with_evaluation(item: PlannedCell, known: set[str]) -> PlannedCell:
    """Take the evaluation away from a cell none of whose kind can be measured."""
    if item.cell["evaluation"] in known:
        return item
    cell: wire.Cell = {**item.cell, "evaluation": ""}
    return PlannedCell(cell, item.status, item.reason)


def _evaluations(study: Study, cells: Sequence[PlannedCell]) -> list[wire.Evaluation]:
    """Choose the lightest cell of each variant x runtime x precision for its first run."""
    able = [item.cell for item in cells if item.status == "ok"]
    lightest: dict[str, wire.Cell] = {}
    for cell in sorted(able, key=lambda cell: (cell["batch"], cell["threads"])):
        lightest.setdefault(cell["evaluation"], cell)
    return [
        {
            "id": key,
            "cell": cell["id"],
            # What a twin answers means nothing.
            "answers": not study.variants[cell["variant"]].densify,
        }
        for key, cell in lightest.items()
    ]


def _groups(
    study: Study, settings: Sequence[_Setting], cells: Sequence[PlannedCell], effort: Effort
) -> Iterator[wire.Group]:
    """List the groups of variants, each family's own, then those of runtimes.

    Every measurable cell is in one group of variants; in one of runtimes only beside others.
    """
    measurable = {item.cell["id"] for item in cells if item.status == "ok"}
    document = study.document()
    for setting, baseline in itertools.product(settings, families.baselines(document)):
        names = families.members(document, baseline, list(study.variants))
        ids = [f"{variant}/{setting}" for variant in names]
        held = [key for key in ids if key in measurable]
        if held:
            # A family of another network is a group of its own: its ratios are to its own root.
            own = "" if baseline == study.baseline else f"/{baseline}"
            yield {
                "id": f"variant/{setting}{own}",
                "kind": "variant",
                "baseline": ids[0] if ids[0] in measurable else None,
                "cells": held,
                "launches": effort.launches_of(setting.scenario),
            }
    if "runtimes" in study.compare:
        yield from _runtime_groups(study, settings, measurable, effort)


def _runtime_groups(
    study: Study, settings: Sequence[_Setting], measurable: Container[str], effort: Effort
) -> Iterator[wire.Group]:
    """List the groups of one variant in several runtimes, the study's first as the baseline."""
    alike: dict[str, list[_Setting]] = {}
    for setting in settings:
        if setting.scenario not in WITHOUT_RUNTIME_GROUPS:
            alike.setdefault(setting.without_runtime, []).append(setting)
    names = [name for name in _baseline_first(study) if not study.variants[name].densify]
    for (shared, members), variant in itertools.product(alike.items(), names):
        held = [key for key in (f"{variant}/{one}" for one in members) if key in measurable]
        if len(held) > 1:
            yield {
                "id": f"runtime/{variant}/{shared}",
                "kind": "runtime",
                "baseline": held[0],
                "cells": held,
                "launches": effort.launches_of(members[0].scenario),
            }
