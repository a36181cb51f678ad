"""Targets: what the variant to ship must meet. Unlike gates they stop nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from reports.families import baseline_of
from reports.gates import METRICS, Limit, Outcome, Ratios, judge, limits
from reports.places import PLACE
from reports.run import ArtifactRecord, manifest_of

Row = Mapping[str, Any]
Told = tuple[Outcome, str]  # a verdict and why
# Their values come from evaluations, which have no scenario.
EVALUATED = ("accuracy_", "calibration_")
NOT_MEASURED: Told = ("inconclusive", "no scenario that was measured has it")


def targets(study: Row) -> list[Limit]:
    """The study's targets; one that sets none has its gates for targets."""
    return limits(study.get("targets") or study.get("gates") or [])


def worst(found: Sequence[Outcome]) -> Outcome:
    """One word for several targets."""
    if "fail" in found:
        return "fail"
    return "inconclusive" if "inconclusive" in found else "pass"


@dataclass(frozen=True)
class Measured:
    """What a run tells of its variants, to be held against targets."""

    study: Row
    artifacts: Mapping[str, ArtifactRecord]  # by sha256
    rows: Sequence[Row]
    limits: Sequence[Limit] = ()
    ratios: Ratios = field(default_factory=dict)
    verdicts: Sequence[Row] = ()  # of the gates

    def baseline(self, row: Row) -> str:
        """The variant that a row is compared with."""
        return baseline_of(self.study, row["variant"])

    def judged(self, row: Row) -> dict[str, Told]:
        """Each target's verdict on a variant, the worst of the scenarios that it asks."""
        same = ("variant", *PLACE, "batch", "threads")
        mine = [other for other in self.rows if all(other[key] == row[key] for key in same)]
        found = {}
        for limit in self.limits:
            asked = [other for other in mine if limit.asks(other["scenario"])]
            if not asked and limit.metric.startswith(EVALUATED):
                asked = [row]
            told = [self._verdict(other, limit) for other in asked] or [NOT_MEASURED]
            outcome = worst([each for each, _ in told])
            found[str(limit)] = next(each for each in told if each[0] == outcome)
        return found

    def share(self, row: Row) -> float | None:
        """How much was taken away: as the manifest says, else the zeros in the file."""
        zeros: float | None = row["sparsity"]
        return self.taken(row) if self.manifest(row["artifact"]) else zeros

    def taken(self, row: Row) -> float:
        """What manifests say was taken; where nothing was, of the file that it was made from."""
        file = row["artifact"]
        found = self.manifest(file)
        while found and found["sparsity"] is None:
            # Opening a file may give the same bytes again, which are then their own parent.
            file, before = found["parent"]["sha256"], file
            found = self.manifest(file) if file != before else {}
        return float(found["sparsity"]["reached"]) if found else 0.0

    def manifest(self, artifact: str) -> Row:
        """The manifest of a file by its sha256; empty if there is none."""
        return manifest_of(self.artifacts.get(artifact))

    def _verdict(self, row: Row, limit: Limit) -> Told:
        """The gate's own verdict; else by the interval. A baseline has lost nothing to itself."""
        metric = METRICS[limit.metric]
        if metric.against_baseline and self.baseline(row) == row["variant"]:
            return "pass", "this is the baseline"
        gate = self._gates.get((row["device"], row["cell"], str(limit)))
        return gate or judge(metric.read(row, self.ratios), limit, metric.noisy)

    @cached_property
    def _gates(self) -> Mapping[tuple[str, str, str], Told]:
        """The verdicts by device, cell and limit, but for those that a waiver's ceiling decided."""
        return {
            (each["device"], each["cell"], each["gate"]): (each["verdict"], each["reason"])
            for each in self.verdicts
            if not (each["waiver"] and each["waiver"]["in_force"])
        }
