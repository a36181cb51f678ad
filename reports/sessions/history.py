"""The JSON document of one metric over many runs, "edgeproof.history/1".

What is followed is the ratio to an anchor, launch by launch, so that a moved environment moves no
variant: the anchor's own time shows that, and blames nobody. Change points are nominated, never
judged: what confirms one is to measure both files again, in turns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from reports.document import plain
from reports.estimate import CONFIDENCE, Estimate
from reports.gates import METRICS
from reports.index import Index, index
from reports.results import result_row
from reports.run import CellRecord, Run
from reports.sequential import ESTIMATORS, STATISTICS
from reports.sessions.anchor import MARGIN, anchor_cell, anchored_logs, by_name, named
from reports.sessions.change_points import FEWEST, change_points
from reports.sessions.environment import Difference, differences

SCHEMA = "edgeproof.history/1"
FOLLOWED = tuple(name for name, metric in METRICS.items() if not metric.against_baseline)
# The least noise of a session: half of a difference that is none.
_LEAST_NOISE = MARGIN / 2
Asked = tuple[str, str, int, int, str]  # runtime, precision, batch, threads, scenario
_ASKED = ("runtime", "precision_requested", "batch", "threads", "scenario")


@dataclass(frozen=True)
class Question:
    """What is followed: a metric of one variant on one device, against which anchor."""

    variant: str
    device: str
    metric: str
    anchor: str | None = None  # null: the one that the study compares the variant with


@dataclass(frozen=True)
class Session:
    """One run and what differs around it from the run before."""

    run: str
    started: str
    surroundings: Sequence[Difference]


@dataclass(frozen=True)
class Point:
    """One cell in one session."""

    session: int  # position
    artifact: str  # sha256
    value: Estimate  # of the metric
    anchor: str | None  # variant
    anchor_artifact: str | None
    anchor_value: Estimate
    ratio: Estimate  # to the anchor


@dataclass
class Followed:
    """What the runs read so far say to one question."""

    question: Question
    sessions: list[Session] = field(default_factory=list)
    series: dict[Asked, list[Point]] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)
    before: Run | None = None

    def take(self, found: Index) -> None:
        """Read the next run."""
        run = found.run
        points = _points(found, self.question, len(self.sessions))
        if not points:
            self.left_out.append({"run": run.id, "reason": "it has no such cell"})
            return
        apart = differences(self.before, run) if self.before else []
        here = [each for each in apart if each.device in (None, self.question.device)]
        self.sessions.append(Session(run.id, run.started, here))
        for asked, point in points.items():
            self.series.setdefault(asked, []).append(point)
        self.before = run

    def document(self) -> dict[str, Any]:
        """The answer."""
        metric = self.question.metric
        document = {
            "schema": SCHEMA,
            **vars(self.question),
            "unit": METRICS[metric].unit,
            "meaning": METRICS[metric].meaning,
            "exact": _exact(metric),
            "confidence": CONFIDENCE,
            "fewest_sessions": 2 * FEWEST,
            "sessions": [_session(each) for each in self.sessions],
            "series": [
                _series(self.sessions, *each, self.question) for each in self.series.items()
            ],
            "left_out": self.left_out,
        }
        found: dict[str, Any] = plain(document)
        return found


def build(runs: Iterable[Run], question: Question) -> dict[str, Any]:
    """The document of runs in the order of their start."""
    [found] = follow(runs, [question])
    return found


def follow(runs: Iterable[Run], questions: Sequence[Question]) -> list[dict[str, Any]]:
    """A document for each question; runs come in the order of their start, one at a time."""
    followed = [Followed(question) for question in questions]
    for run in runs:
        found = index(run)
        for each in followed:
            each.take(found)
    return [each.document() for each in followed]


def _exact(metric: str) -> bool:
    """Whether it is of a file, or of its answers to the same samples, so that no hour moves it."""
    return not METRICS[metric].noisy or METRICS[metric].unit == "share"


def _session(session: Session) -> dict[str, Any]:
    apart = [each.document() for each in session.surroundings]
    return {"run": session.run, "started": session.started, "surroundings": apart}


def _points(found: Index, question: Question, session: int) -> dict[Asked, Point]:
    metric = METRICS[question.metric]
    return {
        named(record)[2:]: _point(found, record, question, session)
        for record in found.run.cells
        if record.device == question.device
        and record.cell["variant"] == question.variant
        and record.cell["scenario"] in metric.scenarios
    }


def _point(found: Index, record: CellRecord, question: Question, session: int) -> Point:
    of = METRICS[question.metric].launchwise
    value = _value(found, record, question.metric)
    anchor = anchor_cell(found.run.study, by_name(found.run), record, question.anchor)
    if isinstance(anchor, str) or of is None:
        none = Estimate.missing(
            str(anchor) if of else "the metric is one of a run, not of a launch"
        )
        return Point(session, record.cell["artifact"], value, None, None, none, none)
    return Point(
        session,
        record.cell["artifact"],
        value,
        anchor.cell["variant"],
        anchor.cell["artifact"],
        _value(found, anchor, question.metric),
        ESTIMATORS[STATISTICS[of]](anchored_logs(found, record, anchor, of)),
    )


def _value(found: Index, record: CellRecord, metric: str) -> Estimate:
    row = result_row(found, record, None)
    estimate = METRICS[metric].read(row, {})
    if estimate.value is None and row["reason"]:
        return Estimate.missing(f"{row['status']}: {row['reason']}")
    return estimate


def _series(
    sessions: Sequence[Session], asked: Asked, points: Sequence[Point], question: Question
) -> dict[str, Any]:
    """One cell over the sessions: its points, and the changes of the ratio and of the anchor."""
    tying = [point for point in points if point.ratio.value is not None]
    follows = "ratio" if tying else "value"
    pinned = tying[-1].anchor_artifact if tying else None
    tied = [_pinned(point, pinned) for point in points]
    here = [(point, point.ratio if tying else point.value) for point in tied]
    beside = [(point, point.anchor_value) for point in tied] if tying else []
    changes = _steps if _exact(question.metric) else _levels
    around = _levels(sessions, beside, question)
    return {
        **dict(zip(_ASKED, asked, strict=True)),
        "follows": follows,
        "anchor": tying[-1].anchor if tying else None,
        "anchor_file": pinned,
        "no_anchor": None if tying else points[-1].ratio.reason,
        "points": [_shown(sessions[point.session], point) for point in tied],
        "changes": changes(sessions, here, question),
        "anchor_changes": [change | {"same_file": True, "confirm": None} for change in around],
    }


def _pinned(point: Point, artifact: str | None) -> Point:
    """The point without its ratio where the anchor was another file than in the last such."""
    if point.ratio.value is None or point.anchor_artifact == artifact:
        return point
    other = Estimate.missing(f"{point.anchor} was another file: {str(point.anchor_artifact)[:12]}")
    return replace(point, ratio=other, anchor_value=other)


def _shown(session: Session, point: Point) -> dict[str, Any]:
    return {
        "run": session.run,
        "started": session.started,
        "artifact": point.artifact,
        "value": _estimate(point.value),
        "ratio": _estimate(point.ratio),
        "anchor_value": _estimate(point.anchor_value),
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"value": found.value, "ci": found.interval, "reason": found.reason}


def _steps(
    sessions: Sequence[Session], followed: Sequence[tuple[Point, Estimate]], question: Question
) -> list[dict[str, Any]]:
    """Every change of an exact value from one session to the next that has one."""
    known = [(point, each.value) for point, each in followed if each.value is not None]
    return [
        _change(sessions, (last, first), (before, after), question) | {"confirm": None}
        for (last, before), (first, after) in pairwise(known)
        if before != after
    ]


def _levels(
    sessions: Sequence[Session], followed: Sequence[tuple[Point, Estimate]], question: Question
) -> list[dict[str, Any]]:
    """The nominated changes of a level, of more than 1%."""
    known = [(point, each) for point, each in followed if each.value is not None and each.value > 0]
    values = [float(each.value or 0.0) for _, each in known]
    noise = median([_error(each) for _, each in known] or [0.0])
    starts = change_points([math.log(value) for value in values], max(_LEAST_NOISE, noise))
    pieces = pairwise([0, *starts, len(known)])
    levels = [median(values[begin:end]) for begin, end in pieces] if starts else []
    return [
        _change(sessions, (known[start - 1][0], known[start][0]), (before, after), question)
        for start, (before, after) in zip(starts, pairwise(levels), strict=True)
        if abs(math.log(after / before)) > MARGIN
    ]


def _error(estimate: Estimate) -> float:
    """About the standard error of the log of a value: a quarter of its 95% interval."""
    low, high = estimate.interval or (1.0, 1.0)
    return math.log(high / low) / 4


def _change(
    sessions: Sequence[Session],
    ends: tuple[Point, Point],
    levels: tuple[float, float],
    question: Question,
) -> dict[str, Any]:
    """One change, between the last session of a level and the first of the next."""
    last, first = ends
    between = sessions[last.session + 1 : first.session + 1]
    same = bool(first.artifact) and last.artifact == first.artifact
    run = sessions[last.session].run
    return {
        "last": run,
        "first": sessions[first.session].run,
        "started": sessions[first.session].started,
        "before": levels[0],
        "after": levels[1],
        "ratio": levels[1] / levels[0] if levels[0] else None,
        "same_file": same,
        "surroundings": [each.document() for session in between for each in session.surroundings],
        # Measured in turns, a file is as fast as itself: that would settle nothing.
        "confirm": None if same else f"edgeproof gate STUDY --against {run}:{question.variant}",
    }
