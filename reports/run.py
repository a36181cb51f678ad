"""A run as the reports see it: what was asked, what the devices are, all that came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents import wire

MANIFEST = "edgeproof.variant/1"


@dataclass(frozen=True)
class DeviceRecord:
    """One device of a run; a device that could not be reached has a reason and no facts."""

    name: str
    profile: str
    status: str  # ok | failed | running
    reason: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    pushed_bytes: Mapping[str, int] = field(
        default_factory=dict
    )  # agent, models, datasets, runtimes
    seconds: float | None = None  # board time
    floor: wire.FloorEvent | None = None  # the last; null until it came back


@dataclass(frozen=True)
class ArtifactRecord:
    """One model file: size in bytes, share of zero weights (0..1), where it came from."""

    sha256: str
    file: str
    format: str
    bytes: int
    compressed_bytes: int | None
    sparsity: float | None
    reason: str | None = None  # why sparsity or compressed size is null
    provenance: Mapping[str, Any] | None = None
    # Layer by layer, as harness.variants.zeros tells; null in runs of before it did.
    zeros: Mapping[str, Any] | None = None


def manifest_of(artifact: ArtifactRecord | None) -> Mapping[str, Any]:
    """How a file was made, by its manifest; empty without one, and for other JSON beside a file."""
    found = (artifact.provenance if artifact else None) or {}
    return found if found.get("schema") == MANIFEST else {}


@dataclass(frozen=True)
class CellRecord:
    """One planned cell on one device; a status other than ok was known before measuring."""

    device: str
    cell: wire.Cell
    status: wire.Status
    reason: str | None = None


@dataclass(frozen=True)
class GroupRecord:
    """One planned group on one device."""

    device: str
    group: wire.Group


@dataclass(frozen=True)
class LaunchRecord:
    """One cell's part of one launch of one group."""

    device: str
    group: str
    ordinal: int
    interleaved: bool
    seconds: float  # board time of the whole launch of the group
    launch: wire.CellLaunch
    conditions: wire.Conditions  # around the whole launch of the group
    # Seconds since the epoch by the device's clock; null in runs that were stored before it was.
    started: float | None = None


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation that came back."""

    device: str
    event: wire.EvaluationEvent


@dataclass(frozen=True)
class SelftestModel:
    """A network of a self-test: the baseline once more, or one with layers added to it."""

    kind: str  # same | slow3 | slow5
    target: float  # the slowdown that its layers were fitted to; 0 for the same
    layers: int  # added
    # Log ratios to the baseline of launches that no gate saw.
    ratios: Sequence[float] = field(default_factory=list)


@dataclass(frozen=True)
class SelftestTrial:
    """One gate of a self-test, decided by the launches of a run of its own."""

    kind: str
    verdict: str  # pass | fail | inconclusive
    reason: str
    value: float | None
    ci: Sequence[float] | None
    ratios: Sequence[float]  # log ratios, one a launch, in order
    seconds: float  # board time


@dataclass(frozen=True)
class Selftest:
    """Gates on identical and on slower networks on one device: `edgeproof selftest`."""

    id: str
    started: str  # ISO 8601, UTC
    finished: str | None  # null: it was ended before all that was planned
    device: DeviceRecord  # as it was then
    runtime: str
    runtime_version: str | None
    metric: str
    limit: float
    effort: str
    planned: int  # gates
    baseline_p50_ms: float | None
    models: Sequence[SelftestModel]
    trials: Sequence[SelftestTrial]


@dataclass(frozen=True)
class Release:
    """A variant of a run under a name."""

    name: str
    named: str  # when, ISO 8601 in UTC
    run: str
    variant: str
    files: Sequence[str]  # sha256


@dataclass(frozen=True)
class Run:
    """One execution of a study, complete or not."""

    id: str
    study: Mapping[str, Any]  # the study document, validated
    started: str  # ISO 8601, UTC
    finished: str | None
    devices: Sequence[DeviceRecord]
    artifacts: Mapping[str, ArtifactRecord]  # by sha256
    cells: Sequence[CellRecord]
    groups: Sequence[GroupRecord]
    launches: Sequence[LaunchRecord]
    evaluations: Sequence[EvaluationRecord]
    labels: Sequence[int] | None  # of the dataset, in its order
    # Its boxes instead, of each sample: class, x1, y1, x2, y2 in pixels of the models' input.
    boxes: Sequence[Sequence[Sequence[float]]] | None = None
    dataset: str | None = None  # sha256 of all its sets
    selftests: Sequence[Selftest] = ()  # the newest of each device that has one
    release: Release | None = None  # the last of its study before it; null if none has a name
    since: Sequence[Run] = ()  # what was measured between that release and this run, oldest first
