"""What evaluations add to the document: a part of each row, and a list of their details."""

from __future__ import annotations

from typing import Any

from reports.assessment import Assessment
from reports.families import is_twin
from reports.index import Index
from reports.recall import Extreme
from reports.row_builder import RowBuilder, because


def put_evaluation(builder: RowBuilder, found: Assessment, unsupported: str | None) -> None:
    """Set accuracy, calibration and robustness; `unsupported` says why the cell cannot run."""
    _put_accuracy(builder, found, unsupported)
    _put_calibration(builder, found, unsupported)
    _put_robustness(builder, found, unsupported)


def _put_accuracy(builder: RowBuilder, found: Assessment, unsupported: str | None) -> None:
    for name, estimate in found.accuracy.items():
        told = because(estimate, unsupported)
        builder.put_estimate(f"accuracy.{name}", f"accuracy.ci.{name}", told)
    answers = found.ours.answers
    why = unsupported or answers.unread or answers.why_unlabelled
    builder.put("accuracy.samples", found.samples, why)
    lost, gained = found.changed if isinstance(found.changed, tuple) else (None, None)
    why = unsupported or (found.changed if isinstance(found.changed, str) else None)
    builder.put("accuracy.top1_lost", lost, why)
    builder.put("accuracy.top1_gained", gained, why)
    _put_extreme(builder, "recall_worst", "recall", found.recall_worst, unsupported)
    _put_extreme(builder, "recall_loss_worst", "loss", found.recall_loss_worst, unsupported)


def _put_extreme(
    builder: RowBuilder, path: str, name: str, found: Extreme | str, unsupported: str | None
) -> None:
    if isinstance(found, str):
        builder.put(f"accuracy.{path}", None, unsupported or found)
    else:
        builder.put(f"accuracy.{path}", found.row(name))


def _put_calibration(builder: RowBuilder, found: Assessment, unsupported: str | None) -> None:
    made = found.ours.calibration
    if isinstance(made, str):
        builder.put("calibration", None, unsupported or made)
        return
    for name, estimate in made.values.items():
        builder.put_estimate(f"calibration.{name}", f"calibration.ci.{name}", estimate)
    event = found.ours.answers.event
    untold = "the agent does not say how it read the scores"
    builder.put("calibration.ece_by_chance", made.by_chance)
    builder.put("calibration.clipped", made.clipped)
    builder.put("calibration.excluded", made.excluded)
    builder.put("calibration.scores", event["scores"] if event else None, untold)


def _put_robustness(builder: RowBuilder, found: Assessment, unsupported: str | None) -> None:
    made = found.robustness
    if isinstance(made, str):
        builder.put("robustness", None, unsupported or made)
        return
    for name, estimate in made.values.items():
        builder.put_estimate(f"robustness.{name}", f"robustness.ci.{name}", estimate)
    builder.put("robustness.sets", made.sets)


def evaluations(found: Index) -> list[dict[str, Any]]:
    """The details of each evaluation that came back, in the order of the cells."""
    assessed = found.assessments()
    first = {(r.device, r.cell["evaluation"]): r.cell for r in reversed(found.run.cells)}
    return [
        {
            "device": key[0],
            "evaluation": key[1],
            "variant": first[key]["variant"],
            "runtime": first[key]["runtime"],
            "precision_requested": first[key]["precision"],
            **assessed[key].details(),
        }
        for key in dict.fromkeys((r.device, r.cell["evaluation"]) for r in found.run.cells)
        if key in found.events
        and key in assessed
        and not is_twin(found.run.study, first[key]["variant"])
    ]
