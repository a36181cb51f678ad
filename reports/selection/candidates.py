"""What can be chosen: a variant in a runtime on a hardware, with all that was measured of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from reports import stats
from reports.comparison import comparisons, to_baseline
from reports.estimate import Estimate
from reports.families import baseline_of
from reports.gates import METRICS, Ratios
from reports.index import Index, Taken, index
from reports.launchwise import logs, of_cell, value
from reports.rows import all_rows
from reports.run import LaunchRecord, Run
from reports.selection.draws import Doubt
from reports.selection.wanted import ENERGY, HIGHER

Row = Mapping[str, Any]
Level = Literal["board", "session", "launch"]
# What a candidate is called by, beside its hardware.
IDENTITY = ("variant", "runtime", "precision_requested", "batch", "threads", "scenario")
# Their interval is of the samples of the dataset, whatever ran how often.
_OF_SAMPLES = ("accuracy_", "calibration_")


@dataclass(frozen=True)
class Session:
    """One run with its rows of results and its launches.

    Ratios are of two variants in one runtime, and by its own clock. Other times are `timed` by the
    clock that the rows are by.
    """

    found: Index
    timed: Index
    rows: Sequence[Row]
    ratios: Ratios

    @classmethod
    def of(cls, run: Run) -> Session:
        """Read a run; its values are those of its report, but for times by the clock around the
        call, which every runtime has: some time themselves.
        """
        found, timed = index(run), index(_around_call(run))
        results, _ = all_rows(timed)
        return cls(found, timed, results, to_baseline(comparisons(found)))

    @property
    def id(self) -> str:
        return self.found.run.id


@dataclass(frozen=True)
class Member:
    """One cell of one board in one session."""

    session: Session
    row: Row

    @property
    def device(self) -> str:
        return str(self.row["device"])

    def read(self, metric: str) -> Estimate:
        """The value that the report of the session has."""
        if self._is_baseline and metric in METRICS and METRICS[metric].against_baseline:
            same = 1.0 if metric.endswith(("_ratio", "_agreement")) else 0.0
            return Estimate(same, (same, same))
        if metric == ENERGY:
            reasons, ends = self.row["reasons"], self.row["intervals"].get(ENERGY)
            interval = (ends[0], ends[1]) if ends else None
            return Estimate(self.row[ENERGY], interval, reasons.get(ENERGY))
        return METRICS[metric].read(self.row, self.session.ratios)

    @property
    def _is_baseline(self) -> bool:
        variant = self.row["variant"]
        return bool(baseline_of(self.session.found.run.study, variant) == variant)

    def launch_logs(self, metric: str) -> dict[str, float]:
        """The log of what each launch says, by the launch's place in the session."""
        of = METRICS[metric].launchwise
        if of is None:
            return {}
        if not METRICS[metric].against_baseline:
            timed = self._by_launch(self.session.timed, self.row["cell"])
            return {at: found[0] for at, taken in timed.items() if (found := self._logs(taken, of))}
        run = self.session.found
        mine = self._by_launch(run, self.row["cell"])
        compared = self.session.ratios.get((self.device, self.row["cell"], metric))
        theirs = self._by_launch(run, compared["baseline_cell"]) if compared else {}
        both = {at: (mine[at], theirs[at]) for at in mine.keys() & theirs.keys()}
        sides = {at: [value(run, each, of) for each in pair] for at, pair in both.items()}
        return {at: math.log(a / b) for at, (a, b) in sorted(sides.items()) if a and b}

    def _logs(self, taken: Taken, of: Any) -> list[float]:
        return logs(self.session.timed, [taken], of)

    def _by_launch(self, run: Index, cell: str) -> dict[str, Taken]:
        """By ordinal alone: launches of one ordinal follow each other, whatever their group."""
        taken = of_cell(run, self.device, cell)
        return {f"{self.session.id}/{t.record.ordinal}": t for t in taken if t.counts}


@dataclass(frozen=True)
class Candidate:
    """A variant in a runtime on a hardware, run in one way."""

    hardware: str
    identity: tuple[Any, ...]  # values of IDENTITY
    members: Sequence[Member]

    @property
    def key(self) -> str:
        return "/".join(map(str, (self.hardware, *self.identity)))

    @property
    def named(self) -> dict[str, Any]:
        """What it is called."""
        return {"hardware": self.hardware, **dict(zip(IDENTITY, self.identity, strict=True))}

    @property
    def variant(self) -> str:
        return str(self.identity[0])

    @cached_property
    def devices(self) -> list[str]:
        return sorted({member.device for member in self.members})

    @property
    def level(self) -> Level:
        """The highest unit of which there are several."""
        if len(self.devices) > 1:
            return "board"
        return "session" if len(self.members) > 1 else "launch"

    @property
    def units(self) -> int:
        """How many there are of these units."""
        if self.level == "launch":
            return int(self.members[0].row["launches"])
        return len(self.devices) if self.level == "board" else len(self.members)

    def doubt(self, metric: str) -> Doubt:
        """A metric, and what its uncertainty is to be drawn from."""
        estimates = [member.read(metric) for member in self.members]
        known = [each for each in estimates if each.value is not None]
        if not known:
            return Doubt(estimates[0])
        if metric.startswith(_OF_SAMPLES):
            return _of_samples(metric, known)
        if metric in METRICS and (not METRICS[metric].noisy or _certain(known)):
            return Doubt(known[0], exact=True)
        if self.level == "launch":
            return self._of_launches(metric, known[0])
        return _of_units(known[0], self._unit_logs(metric), self.level)

    def _of_launches(self, metric: str, estimate: Estimate) -> Doubt:
        found = self.members[0].launch_logs(metric) if metric in METRICS else {}
        count = self.members[0].row["launches"]
        return Doubt(estimate, found if len(found) > 1 else {}, count)

    def _unit_logs(self, metric: str) -> dict[str, float]:
        """The log of each unit's value: of a board the mean over its sessions."""
        found: dict[str, list[float]] = {}
        for member in self.members:
            read = member.read(metric).value
            if read is not None and read > 0:
                unit = member.device if self.level == "board" else member.session.id
                found.setdefault(unit, []).append(math.log(read))
        return {unit: float(np.mean(each)) for unit, each in sorted(found.items())}


def candidates(
    sessions: Iterable[Session], hardware: Mapping[str, str]
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """All candidates, and the cells that are none with the reason.

    `hardware` names what each device is a board of.
    """
    members: dict[tuple[str, tuple[Any, ...]], list[Member]] = {}
    lost = []
    for session in sorted(sessions, key=lambda session: session.id):
        for row in session.rows:
            key = hardware[row["device"]], tuple(row[name] for name in IDENTITY)
            if row["status"] == "ok":
                members.setdefault(key, []).append(Member(session, row))
            else:
                lost.append(_lost(key, row, session))
    made = [Candidate(*key, found) for key, found in sorted(members.items(), key=_order)]
    return made, lost


def cautions(candidate: Candidate, boards: int) -> Iterator[str]:
    """What its units do not have in common; `boards` were in the runs."""
    if len(candidate.devices) < boards:
        yield f"ran on {len(candidate.devices)} of {boards} boards: {', '.join(candidate.devices)}"
    told = [member.row["executed"] for member in candidate.members]
    for key, words in (("runtime_version", "versions of the runtime"), ("provider", "providers")):
        values = sorted({str(each[key]) for each in told if each.get(key)})
        if len(values) > 1:
            yield f"its units ran other {words}: {', '.join(values)}"


def _around_call(run: Run) -> Run:
    """The run with what the call adds in each sample of a runtime that times itself."""
    return replace(run, launches=[_with_call(record) for record in run.launches])


def _with_call(record: LaunchRecord) -> LaunchRecord:
    overhead = record.launch["call_overhead_ns"]
    if not overhead:
        return record
    blocks = [[ns + overhead for ns in block] for block in record.launch["blocks"]]
    return replace(record, launch={**record.launch, "blocks": blocks})


def _order(item: tuple[tuple[str, tuple[Any, ...]], list[Member]]) -> tuple[Any, ...]:
    (hardware, identity), _ = item
    return (hardware, *map(str, identity))


def _lost(key: tuple[str, tuple[Any, ...]], row: Row, session: Session) -> dict[str, Any]:
    named = {"hardware": key[0], **dict(zip(IDENTITY, key[1], strict=True))}
    place = {"device": row["device"], "run": session.id}
    return {**named, **place, "reason": f"{row['status']}: {row['reason']}"}


def _of_samples(metric: str, known: Sequence[Estimate]) -> Doubt:
    """The worst of the units: their answers differ only where their arithmetic does."""
    worst = min if metric in HIGHER else max
    found = worst(known, key=lambda each: each.value or 0.0)
    return Doubt(found, exact=_certain([found]))


def _certain(known: Sequence[Estimate]) -> bool:
    """Whether a value is so by definition or never moved, as a baseline's ratio to itself."""
    return all(each.interval == (each.value, each.value) for each in known) and (
        len({each.value for each in known}) == 1
    )


def _of_units(first: Estimate, found: dict[str, float], level: Level) -> Doubt:
    """The geometric mean of the units with Student's t interval of their logs."""
    if not found:
        return Doubt(Estimate(first.value, None, "a value of zero has no place on a log scale"))
    if len(found) < 2:
        return Doubt(Estimate(first.value, None, f"1 {level} has it; an interval needs 2"))
    return Doubt(stats.t_ratio(list(found.values())), found)
