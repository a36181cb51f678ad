"""Out-of-distribution sets: does the confidence tell that samples come from elsewhere."""

from __future__ import annotations

from typing import Any

from reports.answers import Answers, Classes, classes_of
from reports.estimate import Estimate
from reports.ranking import area
from reports.shares import mean_of

_KEYS = ("confidence_in", "confidence_out", "auroc")


def strangers(found: Answers) -> list[dict[str, Any]]:
    """A row for each set from elsewhere.

    `auroc` is the chance that a sample of the dataset has the higher confidence (probability of the
    best class) than one from elsewhere: the maximum softmax probability as a detector (Hendrycks
    and Gimpel 2017, arXiv 1610.02136). 0.5 tells nothing, 1 tells them all apart.
    """
    return [
        _row(scored["name"], found.clean_classes, classes_of(scored))
        for scored in found.sets("ood")
    ]


def _row(name: str, here: Classes | str, there: Classes | str) -> dict[str, Any]:
    why = _unusable(here) or _unusable(there)
    if why or isinstance(here, str) or isinstance(there, str):
        values = dict.fromkeys(_KEYS, Estimate.missing(why or "no probabilities"))
        samples = None
    else:
        inside, outside = here.confidence[here.finite], there.confidence[there.finite]
        values = {
            "confidence_in": mean_of(inside),
            "confidence_out": mean_of(outside),
            "auroc": area(inside, outside),
        }
        samples = int(outside.size)
    row: dict[str, Any] = {"name": name, "samples": samples}
    for key, estimate in values.items():
        row |= {key: estimate.value, f"{key}_ci": list(estimate.interval or ()) or None}
    return row | {"reason": why}


def _unusable(classes: Classes | str) -> str | None:
    if isinstance(classes, str):
        return classes
    return None if classes.finite.any() else "no sample has finite probabilities"
