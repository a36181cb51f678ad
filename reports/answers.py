"""What one evaluation answered, unpacked once: for the labelled samples and for every other set."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents import wire

# What a study does not have: its models are of another kind, or their answers are not judged.
NO_LABELS = "the study has no labelled dataset"
NO_BOXES = "the study has no dataset with boxes"
NO_MASKS = "the study has no dataset with masks"
TOP = {"top1": 1, "top5": 5}
Right = NDArray[np.bool_]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Truths = Sequence[Sequence[Sequence[float]]]  # per sample its boxes: class, x1, y1, x2, y2


@dataclass(frozen=True)
class Classes:
    """The five numbers of each sample of a set; a row of NaN had scores that are not finite."""

    best: Integers  # class; -1 without finite scores
    confidence: Floats  # probability of the best class
    label: Floats  # probability of the label; NaN without labels
    squares: Floats  # sum of squared probabilities
    entropy: Floats  # nats

    @property
    def finite(self) -> Right:
        found: Right = self.best >= 0
        return found


@dataclass(frozen=True)
class Answers:
    """One evaluation with the truth to hold it against, or why there are no answers."""

    event: wire.EvaluationEvent | None
    labels: Integers | None  # classes, one a sample
    boxes: Truths | None
    reason: str | None = None  # why there are no answers of any kind

    @property
    def unread(self) -> str | None:
        """Why the dataset itself has no answers, whatever their kind."""
        return self.reason or (self.clean["reason"] if self.clean else None)

    @cached_property
    def why_unlabelled(self) -> str | None:
        """Why nothing can be right or wrong by its class; null if it can."""
        if self.labels is None:
            return NO_LABELS
        if self.unread:
            return self.unread
        top = self.event["top"] if self.event else None
        if top is None:
            return "its answers did not come back"
        if len(top) != self.labels.size:
            return f"{len(top)} answers for {self.labels.size} labels"
        return None

    @cached_property
    def right(self) -> Mapping[str, Right]:
        """Which labelled samples are right by top-1 and, where it says something, top-5."""
        if self.why_unlabelled or self.event is None or self.labels is None:
            return {}
        top = _padded(self.event["top"] or [])
        hits = top == self.labels[:, None]
        found = {name: hits[:, :best].any(axis=1) for name, best in TOP.items()}
        return found if self.why_no_top5 is None else {"top1": found["top1"]}

    @cached_property
    def why_no_top5(self) -> str | None:
        """Why the best five classes say nothing."""
        top = self.event["top"] if self.event is not None else None
        classes = {index for sample in top or [] for index in sample}
        if len(classes) > TOP["top5"]:
            return None
        return f"only {len(classes)} classes were ever among the best: top-5 says nothing"

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why top-1 and top-5 are not known."""
        if self.why_unlabelled:
            return dict.fromkeys(TOP, self.why_unlabelled)
        return {"top5": self.why_no_top5} if self.why_no_top5 else {}

    @property
    def samples(self) -> int | None:
        """How many samples have a known answer by class."""
        return next((int(right.size) for right in self.right.values()), None)

    @cached_property
    def best(self) -> Integers | None:
        """The best class of each sample of the dataset; -1 where scores were not finite."""
        if self.reason or self.event is None or not self.event["top"]:
            return None
        found: Integers = _padded(self.event["top"])[:, 0]
        return found

    def sets(self, kind: str) -> Sequence[wire.Scored]:
        """The sets of a kind that came back, in their order."""
        found = self.event["sets"] if self.event is not None and self.reason is None else []
        return [scored for scored in found if scored["kind"] == kind]

    @cached_property
    def clean(self) -> wire.Scored | None:
        """The dataset as it is."""
        return next(iter(self.sets("clean")), None)

    @cached_property
    def corrupted(self) -> Mapping[tuple[str, int], tuple[wire.Scored, Classes | str]]:
        """The sets under corruptions by name and severity, with their probabilities."""
        return {
            (scored["name"], scored["severity"]): (scored, classes_of(scored))
            for scored in self.sets("corruption")
        }

    @cached_property
    def clean_classes(self) -> Classes | str:
        """The probabilities of the dataset as it is, or why there are none."""
        if self.clean is None:
            return self.reason or "its probabilities did not come back"
        return classes_of(self.clean)


def answers(
    event: wire.EvaluationEvent | None, labels: Sequence[int] | None, boxes: Truths | None = None
) -> Answers:
    """The answers of one evaluation, or the reason why there are none."""
    known = None if labels is None else np.asarray(labels, np.int64)
    return Answers(event, known, boxes, _why_not(event))


def classes_of(scored: wire.Scored) -> Classes | str:
    """The numbers of one set, or why there are none."""
    if scored["classes"] is None:
        return scored["reason"] or "the model gives no class probabilities"
    array = unpacked(scored["classes"])
    if array is None or array.shape != (scored["samples"], 5):
        return "its packed answers are damaged"
    whole = np.isfinite(array[:, [0, 1, 3, 4]]).all(axis=1)
    best = np.where(whole, array[:, 0], -1).astype(np.int64)
    return Classes(best, array[:, 1], array[:, 2], array[:, 3], array[:, 4])


def unpacked(packed: wire.Packed) -> Floats | None:
    """The array in float64; null when its bytes do not hold what its shape says."""
    size = 4 * math.prod(packed["shape"])
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(packed["data"]), size + 1)
    except (binascii.Error, ValueError, zlib.error):
        return None
    if len(data) != size:
        return None
    return np.frombuffer(data, "<f4").reshape(packed["shape"]).astype(np.float64)


def _padded(top: Sequence[Sequence[int]]) -> Integers:
    """The best classes as an array [samples, 5], filled up with -1."""
    most = TOP["top5"]
    return np.array([[*row[:most], *[-1] * (most - len(row))] for row in top], np.int64).reshape(
        -1, most
    )


def _why_not(event: wire.EvaluationEvent | None) -> str | None:
    if event is None:
        return "its evaluation did not come back"
    if event["status"] != "ok":
        return f"the evaluation {event['status']}: {event['reason'] or 'no reason was recorded'}"
    return None
