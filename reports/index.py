"""A run's records by the keys that the reports look them up with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents import wire
from reports.answers import answers
from reports.assessment import IS_BASELINE, NO_BASELINE, Assessment, Subject
from reports.conditions import throttled
from reports.run import CellRecord, DeviceRecord, LaunchRecord, Run
from reports.stats import Samples, kept_samples, kept_switches, switches_by_block

CellKey = tuple[str, str]  # device, cell id
EvaluationKey = tuple[str, str]  # device, evaluation id


@dataclass(frozen=True)
class Taken:
    """One cell's part of one launch with the samples that count."""

    record: LaunchRecord
    dropped: int  # samples left out at the start of each block
    samples: Samples  # ms
    switches: NDArray[np.int64] | None  # preemptions during each of `samples`; null if not counted
    invalid: str | None  # why it does not count though it came back whole

    @property
    def launch(self) -> wire.CellLaunch:
        return self.record.launch

    @property
    def blocks(self) -> list[Samples]:
        """The samples that count of each block, ms."""
        return [kept_samples([block], self.dropped) for block in self.launch["blocks"]]

    @property
    def counts(self) -> bool:
        """Whether it came back with something measured and nothing makes that worthless."""
        measured = self.samples.size or self.launch["trials"]
        return self.launch["status"] == "ok" and bool(measured) and self.invalid is None


@dataclass
class Index:
    """A run, looked up by device and cell, group and evaluation."""

    run: Run
    devices: Mapping[str, DeviceRecord]
    cells: Mapping[CellKey, CellRecord]
    launches: Mapping[CellKey, Sequence[Taken]]
    events: Mapping[tuple[str, str], wire.EvaluationEvent]
    _subjects: dict[EvaluationKey, Subject] = field(default_factory=dict)
    _assessments: dict[tuple[EvaluationKey, EvaluationKey | None], Assessment] = field(
        default_factory=dict
    )

    def event(self, record: CellRecord) -> wire.EvaluationEvent | None:
        return self.events.get((record.device, record.cell["evaluation"]))

    def assessment(self, record: CellRecord, baseline: CellRecord | None) -> Assessment:
        """What the evaluation of a cell's model file says, beside that of its baseline."""
        key, other = _evaluation(record), _evaluation(baseline) if baseline else None
        if (key, other) not in self._assessments:
            alone = IS_BASELINE if key == other else NO_BASELINE
            theirs = self._subject(baseline) if baseline and key != other else alone
            self._assessments[key, other] = Assessment(self._subject(record), theirs)
        return self._assessments[key, other]

    def assessments(self) -> Mapping[EvaluationKey, Assessment]:
        """All that were asked for so far, by device and evaluation."""
        return {key: found for (key, _), found in self._assessments.items()}

    def _subject(self, record: CellRecord) -> Subject:
        key = _evaluation(record)
        if key not in self._subjects:
            found = answers(self.event(record), self.run.labels, self.run.boxes)
            self._subjects[key] = Subject(found)
        return self._subjects[key]

    @cached_property
    def preprocessed_apart(self) -> str | None:
        """Who got other inputs from the same dataset than the others; null if they all agree.

        Preprocessing is the same steps everywhere, so its bytes must be the same on every device
        and in every runtime.
        """
        places: dict[str, dict[str, None]] = {}
        for (device, _), event in self.events.items():
            if event["inputs_sha256"] is not None:
                cell = self.cells.get((device, event["cell"]))
                runtime = f" ({cell.cell['runtime']})" if cell else ""
                places.setdefault(event["inputs_sha256"], {})[device + runtime] = None
        if len(places) < 2:
            return None
        return " but ".join(f"{sha[:8]} on {', '.join(who)}" for sha, who in places.items())


def index(run: Run) -> Index:
    """Look-ups for a run; a launch that arrived twice counts once."""
    cells = {(record.device, record.cell["id"]): record for record in run.cells}
    launches: dict[CellKey, dict[tuple[str, int], Taken]] = defaultdict(dict)
    for record in run.launches:
        key = (record.device, record.launch["cell"])
        taken = take(record, cells[key].cell["scenario"])
        launches[key].setdefault((record.group, record.ordinal), taken)
    return Index(
        run=run,
        devices={device.name: device for device in run.devices},
        cells=cells,
        launches={key: [taken[k] for k in sorted(taken)] for key, taken in launches.items()},
        events={(e.device, e.event["evaluation"]): e.event for e in run.evaluations},
    )


def take(record: LaunchRecord, scenario: str) -> Taken:
    """The samples of a launch that count in its scenario.

    The first sample of each block follows a switch and is left out, but for a cold start, each of
    which is a block of its own. A sustained load is there to show throttling, which makes a launch
    of any other scenario invalid.
    """
    launch, noise = record.launch, record.launch["noise"]
    dropped = 0 if scenario == wire.COLD_START else 1
    cause = throttled(record.conditions) if scenario != wire.SUSTAINED else None
    return Taken(
        record,
        dropped,
        kept_samples(launch["blocks"], dropped),
        noise and kept_switches(switches_by_block(launch["blocks"], noise["preempted"]), dropped),
        cause and f"throttled ({cause})",
    )


def _evaluation(record: CellRecord) -> EvaluationKey:
    return record.device, record.cell["evaluation"]
