"""What a study evaluates its variants on: samples with their truths, and ways to spoil them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from agents.corruptions import NAMES, SEVERITIES
from harness.documents import Model, refused, unknown
from harness.fields import Axis, Count, Slug, Text, distinct

TRUTHS = ("labels", "boxes", "masks")


def _corruption(name: str) -> str:
    if name not in NAMES:
        raise refused(unknown("corruption", name, NAMES))
    return name


class Samples(Model):
    """Samples in an .npz file, by the keys of their inputs."""

    file: Text
    inputs: Text | dict[Text, Text]

    @property
    def keys(self) -> dict[str, str]:
        """Return model input -> key; the input "" stands for the only one."""
        return {"": self.inputs} if isinstance(self.inputs, str) else dict(self.inputs)


class DatasetSource(Samples):
    """Samples with what is true of them: their classes, the boxes in them, or a class per pixel."""

    labels: Text | None = None
    boxes: Text | None = None  # class (-1: none), x1, y1, x2, y2 in pixels of the model's input
    masks: Text | None = None  # 255: ignored
    # What the model gives; null: the agent finds out by the numbers, or the shapes.
    scores: Literal["logits", "probabilities"] | None = None
    head: Literal["yolo", "ssd"] | None = None
    # Steps of agents/preprocess.py; null: those that the file holds under `preprocess`, if any.
    preprocess: Annotated[tuple[dict[str, Any], ...], Axis] | None = None

    @property
    def truth(self) -> tuple[str, str]:
        """Return what the truths are, one of TRUTHS, and their key."""
        return next((name, key) for name in TRUTHS if (key := getattr(self, name)))

    @model_validator(mode="after")
    def _one_truth(self) -> DatasetSource:
        given = [name for name in TRUTHS if getattr(self, name)]
        if len(given) != 1:
            found = f"; it has {' and '.join(given)}" if given else ""
            raise refused(f"needs one of {', '.join(TRUTHS)}{found}", "name the key in the file")
        if self.head and not self.boxes:
            raise refused("`head:` says how boxes are read, and there are none", "leave it out")
        if self.scores and self.boxes:
            raise refused("`scores:` is not for boxes, whose scores are probabilities")
        return self


class Robustness(Model):
    """What else an evaluation runs: the dataset under corruptions, and samples from elsewhere."""

    corruptions: Annotated[
        tuple[Annotated[Text, AfterValidator(_corruption)], ...],
        Field(max_length=len(NAMES)),
        AfterValidator(distinct),
    ] = NAMES
    severities: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1, le=5)], ...], Axis, AfterValidator(distinct)
    ] = SEVERITIES
    samples: Count | None = None  # the first so many of the dataset; null: all
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 32)] = 0
    # Out-of-distribution sets: preprocessed as their file says, else as the dataset is.
    ood: Annotated[dict[Slug, Samples], Field(max_length=16)] = Field(default_factory=dict)
