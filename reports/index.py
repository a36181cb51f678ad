"""A run's records by the keys that the reports look them up with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agents import wire
from reports.accuracy import Answers, answers
from reports.run import CellRecord, DeviceRecord, LaunchRecord, Run
from reports.stats import Samples, kept_samples

CellKey = tuple[str, str]  # device, cell id


@dataclass(frozen=True)
class Taken:
    """One cell's part of one launch with the samples that count."""

    record: LaunchRecord
    samples: Samples

    @property
    def launch(self) -> wire.CellLaunch:
        return self.record.launch


@dataclass
class Index:
    """A run, looked up by device and cell, group and evaluation."""

    run: Run
    devices: Mapping[str, DeviceRecord]
    cells: Mapping[CellKey, CellRecord]
    launches: Mapping[CellKey, Sequence[Taken]]
    events: Mapping[tuple[str, str], wire.EvaluationEvent]
    _answers: dict[tuple[str, str], Answers] = field(default_factory=dict)

    def event(self, record: CellRecord) -> wire.EvaluationEvent | None:
        return self.events.get((record.device, record.cell["evaluation"]))

    def answers(self, record: CellRecord) -> Answers:
        """What the cell's model file got right in its runtime on this device."""
        key = (record.device, record.cell["evaluation"])
        if key not in self._answers:
            self._answers[key] = answers(self.event(record), self.run.labels)
        return self._answers[key]


def index(run: Run) -> Index:
    """Look-ups for a run; a launch that arrived twice counts once."""
    launches: dict[CellKey, dict[tuple[str, int], Taken]] = defaultdict(dict)
    for record in run.launches:
        taken = Taken(record, kept_samples(record.launch["blocks"]))
        by_launch = launches[record.device, record.launch["cell"]]
        by_launch.setdefault((record.group, record.ordinal), taken)
    return Index(
        run=run,
        devices={device.name: device for device in run.devices},
        cells={(record.device, record.cell["id"]): record for record in run.cells},
        launches={key: [taken[k] for k in sorted(taken)] for key, taken in launches.items()},
        events={(e.device, e.event["evaluation"]): e.event for e in run.evaluations},
    )
