"""Accuracy under corruptions, against the same model without them and against the baseline.

Every corruption is made of the same first samples of the dataset, so all differences are paired.
Intervals are closed forms: of one set Wilson's (or the credible one), of a difference Tango's, and
of a mean over sets Student's across samples, each of which gives one mean over the sets: that
heeds that a sample which fails under one corruption tends to fail under others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import detection, segmentation
from reports.answers import Answers, Classes, Floats, Right
from reports.calibration import expected_error, in_bins
from reports.estimate import Estimate
from reports.shares import (
    credible_interval,
    mean_of,
    paired_intervals,
    score_interval,
    unseen,
    widened,
)

Key = tuple[str, int]  # corruption, severity 1..5
Rights = Mapping[Key, Right]
_KEYS = (
    *("top1", "ci", "credible", "ece", "ece_ci", "confidence"),
    *("clean_drop", "clean_drop_ci", "top1_drop", "top1_drop_ci"),
)
ASKED_NONE = "the study asks for no corruptions"


@dataclass(frozen=True)
class Robustness:
    """Every set of one evaluation, and the means over them."""

    rows: list[dict[str, Any]]  # one a corruption and severity
    values: dict[str, Estimate]  # top1, top1_drop, clean_drop, mce
    sets: int  # that the means are over


def robustness(ours: Answers, theirs: Answers | str) -> Robustness | str:
    """All that is known of an evaluation under corruptions, or why nothing is.

    `theirs` is the baseline's, or why there is none to compare with.
    """
    if ours.reason:
        return ours.reason
    if not ours.corrupted:
        return ASKED_NONE
    if ours.labels is None:
        return _of_other_heads(ours, theirs)
    mine = rights(ours)
    base = theirs if isinstance(theirs, str) else rights(theirs)
    rows, values = _rows(ours, mine, base), _means(ours, mine, base)
    return Robustness(rows, values, len(mine))


def rights(found: Answers) -> Rights:
    """Which samples of each corrupted set are right; without the sets that have no answers."""
    labels = found.labels
    if labels is None:
        return {}
    return {
        key: classes.best == labels[: scored["samples"]]
        for key, (scored, classes) in found.corrupted.items()
        if not isinstance(classes, str)
    }


def error_ratio(mine: Rights, base: Rights) -> Estimate:
    """Mean corruption error, relative to the baseline: above 1 is less robust.

    Of each corruption the errors over all severities over the baseline's, then the mean over
    corruptions (Hendrycks and Dietterich 2019, arXiv 1903.12261, section 3, with the baseline in
    the place of AlexNet and 1 for 100%). The interval is Student's across samples of the linearised
    ratios (delta method), at least as wide as one that no changed answer leaves.
    """
    parts, sizes = [], []
    for corruption in _names(mine):
        keys = [key for key in mine if key[0] == corruption]
        ours, theirs = (_errors(rights, keys) for rights in (mine, base))
        error = float(theirs.mean())
        if not error:
            return Estimate.missing(f"the baseline makes no error under {corruption}")
        ratio = float(ours.mean()) / error
        parts.append(ratio + (ours - ratio * theirs) / error)
        sizes.append(1 / error)
    least = unseen(parts[0].size) * float(np.mean(sizes))
    return widened(mean_of(np.mean(parts, axis=0)), least, 0.0, float("inf"))


def _rows(ours: Answers, mine: Rights, base: Rights | str) -> list[dict[str, Any]]:
    """Each set: accuracy, and its paired drops; all intervals of a column at once."""
    made = {
        key: _row(key, mine[key], classes)
        for key, (_, classes) in ours.corrupted.items()
        if not isinstance(classes, str)
    }
    clean = ours.right.get("top1")
    before = {} if clean is None else {key: clean[: right.size] for key, right in mine.items()}
    _put_drops(made, mine, "clean_drop", before)
    _put_drops(made, mine, "top1_drop", {} if isinstance(base, str) else base)
    why = base if isinstance(base, str) else "the baseline has no answers to this set"
    return [
        made[key] | {"drop_reason": None if made[key]["top1_drop"] is not None else why}
        if key in made
        else _missing(key, scored["samples"], str(classes))
        for key, (scored, classes) in ours.corrupted.items()
    ]


def _row(key: Key, right: Right, classes: Classes) -> dict[str, Any]:
    count, total = int(right.sum()), int(right.size)
    kept = classes.finite
    error = Estimate.missing("no sample has finite probabilities")
    if kept.any():
        error = expected_error(in_bins(classes.confidence[kept], right[kept]))
    return _named(key, total) | {
        "top1": count / total,
        "ci": _ends(score_interval(count, total)),
        "credible": _ends(credible_interval(count, total)),
        "ece": error.value,
        "ece_ci": list(error.interval) if error.interval else None,
        "confidence": float(classes.confidence[kept].mean()) if kept.any() else None,
        "reason": None,
    }


def _put_drops(made: Mapping[Key, dict[str, Any]], mine: Rights, name: str, other: Rights) -> None:
    """How many fewer are right than in the same samples of `other`, with Tango's intervals."""
    keys = [key for key in mine if key in other and other[key].size == mine[key].size]
    lost = np.array([(other[key] & ~mine[key]).sum() for key in keys])
    gained = np.array([(mine[key] & ~other[key]).sum() for key in keys])
    total = np.array([mine[key].size for key in keys])
    low, high = paired_intervals(lost, gained, total)
    for row in made.values():
        row[name], row[f"{name}_ci"] = None, None
    for at, key in enumerate(keys):
        made[key][name] = float((lost[at] - gained[at]) / total[at])
        made[key][f"{name}_ci"] = [float(low[at]), float(high[at])]


def _means(ours: Answers, mine: Rights, base: Rights | str) -> dict[str, Estimate]:
    """Means over severities, then over corruptions, as each corruption counts alike.

    Without all sets that were asked for they would not be those of other evaluations.
    """
    asked = len(ours.corrupted)
    lost = asked - len(mine)
    why = f"{lost} of {asked} sets have no answers" if mine and lost else _not_alike(mine, mine)
    if why:
        return dict.fromkeys(("top1", "clean_drop", "top1_drop", "mce"), Estimate.missing(why))
    right = _mean_right(mine)
    clean = ours.right.get("top1")
    found = {"top1": _share(right, 0.0)}
    found["clean_drop"] = (
        Estimate.missing(ours.reasons["top1"])
        if clean is None
        else _share(clean[: right.size] - right, -1.0)
    )
    why = base if isinstance(base, str) else _not_alike(mine, base)
    if why or isinstance(base, str):
        missing = Estimate.missing(why or "there is no baseline")
        return found | {"top1_drop": missing, "mce": missing}
    common = {key: base[key] for key in mine}
    drop = _share(_mean_right(common) - right, -1.0)
    return found | {"top1_drop": drop, "mce": error_ratio(mine, common)}


def _not_alike(mine: Rights, base: Rights) -> str | None:
    """Why means over the sets of `mine` say nothing, or not beside those of `base`."""
    if not mine:
        return "no corrupted set has answers"
    lacking = [f"{name} {severity}" for name, severity in mine if (name, severity) not in base]
    if lacking:
        return f"the baseline has no answers to {', '.join(lacking)}"
    if len({right.size for right in [*mine.values(), *(base[key] for key in mine)]}) > 1:
        return "the sets are not of the same samples"
    return None


def _share(per_sample: Floats, least: float) -> Estimate:
    """The mean over samples, with an interval at least as wide as no changed answer leaves."""
    return widened(mean_of(per_sample), unseen(per_sample.size), least, 1.0)


def _mean_right(found: Rights) -> Floats:
    """Of each sample the share of sets in which it is right, each corruption counting alike."""
    names = _names(found)
    each = [1 - _errors(found, [key for key in found if key[0] == name]) for name in names]
    return np.asarray(np.mean(each, axis=0))


def _errors(found: Rights, keys: Sequence[Key]) -> Floats:
    """Of each sample the share of these sets in which it is wrong."""
    return np.asarray(1 - np.mean([found[key] for key in keys], axis=0))


def _names(found: Rights) -> list[str]:
    return list(dict.fromkeys(name for name, _ in found))


def _ends(interval: tuple[Any, Any]) -> list[float]:
    return [float(end) for end in interval]


def _named(key: Key, samples: int) -> dict[str, Any]:
    return {"corruption": key[0], "severity": key[1], "samples": samples}


def _missing(key: Key, samples: int, reason: str) -> dict[str, Any]:
    """A set without answers, with the keys of one that has them."""
    empty = dict.fromkeys(_KEYS)
    return _named(key, samples) | empty | {"reason": reason, "drop_reason": reason}


def _of_other_heads(ours: Answers, theirs: Answers | str) -> Robustness:
    """Boxes and pixels under corruptions: values without intervals."""
    rows = []
    for key, (scored, _) in ours.corrupted.items():
        name, value, reason = _other_value(ours, key)
        row = _missing(key, scored["samples"], reason or "it answers with no classes")
        drop = None
        if name and not isinstance(theirs, str):
            other = _other_value(theirs, key)[1]
            drop = None if value is None or other is None else other - value
        if name:
            row |= {name: value, f"{name}_drop": drop, "reason": reason}
        rows.append(row)
    missing = Estimate.missing("of boxes and pixels each set has a value, but no mean")
    values = dict.fromkeys(("top1", "clean_drop", "top1_drop", "mce"), missing)
    return Robustness(rows, values, 0)


def _other_value(found: Answers, key: Key) -> tuple[str | None, float | None, str | None]:
    """The name of the value that a set has, the value, and why it is null."""
    if key not in found.corrupted:
        return None, None, "no such set"
    scored = found.corrupted[key][0]
    boxes, pixels = scored["boxes"], scored["pixels"]
    if boxes is not None and found.boxes is not None:
        value = detection.point(boxes, found.boxes[: len(boxes)])
        return "map50", value, None if value is not None else "no box in these samples"
    if pixels is not None:
        value = segmentation.point(pixels)
        return "miou", value, None if value is not None else "no class in these samples"
    return None, None, scored["reason"]
