"""Everything that one evaluation says of its model file, alone and against its baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reports import accuracy, calibration, detection, ranking, recall, resampling, segmentation
from reports.answers import TOP, Answers
from reports.calibration import Calibration
from reports.estimate import Estimate
from reports.recall import Extreme
from reports.resampling import Resampled
from reports.robustness import Robustness, robustness
from reports.strangers import strangers

IS_BASELINE = "this is the baseline"
NO_BASELINE = "the baseline has no cell in this runtime and precision"


@dataclass(frozen=True)
class Subject:
    """One evaluation's answers and what is costly to make of them, made once."""

    answers: Answers

    @cached_property
    def detected(self) -> Resampled | str:
        return detection.detected(self.answers)

    @cached_property
    def segmented(self) -> Resampled | str:
        return segmentation.segmented(self.answers)

    @cached_property
    def calibration(self) -> Calibration | str:
        return calibration.calibration(self.answers)


@dataclass(frozen=True)
class Assessment:
    """One evaluation beside its baseline's, or why there is none (`theirs` is a reason then)."""

    ours: Subject
    theirs: Subject | str

    @cached_property
    def accuracy(self) -> Mapping[str, Estimate]:
        """Every share and drop of the clean set by name."""
        ours = self.ours
        found = {name: accuracy.accuracy(ours.answers, name) for name in TOP}
        found |= {
            "auc": ranking.accuracy_area(ours.answers),
            "map50": resampling.share(ours.detected),
            "miou": resampling.share(ours.segmented),
        }
        names = ("agreement", *(f"{name}_drop" for name in found))
        return found | (self._against() or dict.fromkeys(names, Estimate.missing(self.why_alone)))

    def _against(self) -> dict[str, Estimate] | None:
        """The values that need a baseline; null without one."""
        ours, theirs = self.ours, self.theirs
        if isinstance(theirs, str):
            return None
        drops = {f"{name}_drop": accuracy.drop(ours.answers, theirs.answers, name) for name in TOP}
        return drops | {
            "agreement": accuracy.agreement(ours.answers, theirs.answers),
            "auc_drop": ranking.area_drop(ours.answers, theirs.answers),
            "map50_drop": resampling.drop(ours.detected, theirs.detected),
            "miou_drop": resampling.drop(ours.segmented, theirs.segmented),
        }

    @cached_property
    def changed(self) -> tuple[int, int] | str:
        """How many samples only the baseline and only this one gets right by top-1."""
        if isinstance(self.theirs, str):
            return self.theirs
        return accuracy.changed(self.ours.answers, self.theirs.answers, "top1")

    @cached_property
    def recall_worst(self) -> Extreme | str:
        return recall.worst(self.ours.answers)

    @cached_property
    def recall_loss_worst(self) -> Extreme | str:
        if isinstance(self.theirs, str):
            return self.theirs
        return recall.worst_loss(self.ours.answers, self.theirs.answers)

    @cached_property
    def robustness(self) -> Robustness | str:
        theirs = self.theirs
        return robustness(self.ours.answers, theirs if isinstance(theirs, str) else theirs.answers)

    @property
    def why_alone(self) -> str:
        """Why it has no baseline."""
        return self.theirs if isinstance(self.theirs, str) else ""

    @property
    def samples(self) -> int | None:
        """How many samples of the dataset have answers, whatever their kind."""
        answers = self.ours.answers
        if answers.samples is not None or answers.clean is None or answers.unread:
            return answers.samples
        return answers.clean["samples"]

    def details(self) -> dict[str, Any]:
        """What is too long for a row of results."""
        answers, theirs = self.ours.answers, self.theirs
        base = None if isinstance(theirs, str) else theirs.answers
        event, calibrated, tried = answers.event, self.ours.calibration, self.robustness
        known = {} if isinstance(calibrated, str) else calibrated.values
        return {
            "status": event["status"] if event else None,
            "reason": answers.reason,
            "samples": self.samples,
            "scores": event["scores"] if event else None,
            "inputs_sha256": event["inputs_sha256"] if event else None,
            "seconds": event["seconds"] if event else None,
            "per_class": recall.per_class(answers, base),
            "reliability": [] if isinstance(calibrated, str) else calibrated.bins,
            "calibration": {name: each.value for name, each in known.items()},
            "corruptions": [] if isinstance(tried, str) else tried.rows,
            "out_of_distribution": strangers(answers),
        }
