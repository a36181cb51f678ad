"""What a study demands of its cells: gates, and waivers of cells that may break one for a while."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, model_validator

from harness import documents
from harness.documents import Model, refused, unknown
from harness.fields import Count, Number, Slug, Text
from harness.labels import Label
from reports.gates import METRICS, limits
from reports.waivers import AXES

if TYPE_CHECKING:
    from harness.study import Study


def _metric(name: str) -> str:
    if name not in METRICS:
        raise refused(unknown("metric", name, METRICS))
    return name


class Gate(Model):
    """A limit on a metric."""

    metric: Annotated[Text, AfterValidator(_metric)]
    max: Number | None = None
    min: Number | None = None
    scenario: Text | None = None  # asked of the cells of one scenario only

    @model_validator(mode="after")
    def _one_limit(self) -> Gate:
        if (self.max is None) == (self.min is None):
            raise refused("give exactly one of max and min")
        limit = self.min if self.max is None else self.max
        if limit is not None and limit < 0 and not self.metric.endswith("_drop"):
            raise refused(f"{self.metric} is never negative, so the limit {limit:g} is pointless")
        if limit is not None and METRICS[self.metric].unit == "share" and abs(limit) > 1:
            raise refused(f"{self.metric} is a share of 1, not a percentage; it is {limit:g}")
        return self


class Waiver(Gate):
    """A wider limit for one cell, until a day (its last, UTC) and for a reason."""

    variant: Slug
    device: Slug
    runtime: Label
    # These may be left out where the study has only one.
    precision: Text | None = None
    batch: Count | None = None
    threads: Count | None = None
    expires: datetime.date
    reason: Annotated[Text, Field(max_length=1000)]
    issue: Text | None = None  # where it is being worked on


def waiver_problems(study: Study, document: documents.Document) -> Iterator[documents.Problem]:
    """Find waivers of cells or gates that the study does not have, and those that waive nothing."""
    for index, waiver in enumerate(study.waivers):
        for key, what, advice in _problems(study, waiver):
            loc: documents.Loc = ("waivers", index, key) if key else ("waivers", index)
            yield documents.problem(document, loc, what, advice)


def _problems(study: Study, waiver: Waiver) -> Iterator[tuple[str, str, str | None]]:
    known: dict[str, Sequence[object]] = {
        "variant": list(study.variants),
        "device": study.devices,
        "runtime": study.runtimes,
        "precision": study.precisions,
        "batch": study.batch_sizes,
        "threads": study.threads,
        "scenario": [scenario.name for scenario in study.scenarios],
    }
    for axis in AXES:
        given = getattr(waiver, axis)
        if given is None and len(known[axis]) > 1:
            several = ", ".join(map(str, known[axis]))
            yield "", f"names no {axis}, and the study has {several}", "a waiver is for one cell"
        elif given is not None and given not in known[axis]:
            yield axis, unknown(axis, str(given), map(str, known[axis])), None
    yield from _pointless(study, waiver)


def _pointless(study: Study, waiver: Waiver) -> Iterator[tuple[str, str, str | None]]:
    [ceiling] = limits([waiver.model_dump()])
    mine = [
        gate
        for gate in limits(gate.model_dump() for gate in study.gates)
        if (gate.metric, gate.bound) == (ceiling.metric, ceiling.bound)
    ]
    if not mine:
        yield "metric", f"no gate of this study limits {ceiling.metric} by {ceiling.bound}", None
    for gate in mine:
        wider = ceiling.value > gate.value if gate.bound == "max" else ceiling.value < gate.value
        if not wider:
            what = f"{ceiling.value:g} allows no more than the gate, {gate}"
            yield gate.bound, what, "give the ceiling up to which the gate may be broken"
