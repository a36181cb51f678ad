"""A variant of a study: model files as they are, or a recipe that makes them from another's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator
from pydantic import model_validator as check

from harness import documents
from harness.documents import Model, refused, unknown
from harness.fields import Axis, Dimension, Slug, Text, distinct
from harness.variants.recipe import Format, Prune, Quantize

SUFFIXES = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".xml": "openvino",
    ".pt2": "torch",
    ".param": "ncnn",
    ".pte": "executorch",
}


def _format_to_file(value: object) -> object:
    """Turn `model: kws.onnx` into {onnx: kws.onnx}."""
    if not isinstance(value, str):
        return value
    suffix = Path(value).suffix.lower()
    if suffix not in SUFFIXES:
        raise refused(f"'{documents.shortened(value)}' ends in none of {', '.join(SUFFIXES)}")
    return {SUFFIXES[suffix]: value}


def _formats(files: Mapping[str, str]) -> Mapping[str, str]:
    for name, file in files.items():
        if name not in SUFFIXES.values():
            raise refused(unknown("format", name, SUFFIXES.values()))
        if SUFFIXES.get(Path(file).suffix.lower()) != name:
            raise refused(f"{name} is given '{documents.shortened(file)}', no {suffix(name)} file")
    return files


def suffix(format: str) -> str:
    """Return how files of a format end."""
    return next(key for key, value in SUFFIXES.items() if value == format)


class Variant(Model):
    """One logical model under test, in one or several file formats."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    # Format -> file. Of a variant that is built, where its files go: the study's to say, no user's.
    model: Annotated[
        dict[str, Text],
        BeforeValidator(_format_to_file, json_schema_input_type=str | dict[str, str]),
        AfterValidator(_formats),
    ] = Field(default_factory=dict)
    # For models with free dimensions: the whole shape of an input. null is the cell's batch.
    shapes: dict[Text, Annotated[tuple[Dimension, ...], Field(max_length=16)]] = Field(
        default_factory=dict
    )
    # The variant that this one was made from: what it is compared with.
    parent: Slug | None = Field(default=None, alias="from")
    prune: Prune | None = None
    quantize: Quantize | None = None
    # A twin: its parent with the zero weights refilled, to tell what the zeros gain. A control, not
    # a candidate; `twins:` of the study makes them.
    densify: Annotated[bool, Field(strict=True)] = False
    # The files to build, by conversion where the parent has none; null: those of the parent.
    formats: Annotated[tuple[Format, ...], Axis, AfterValidator(distinct)] | None = None
    # What variants of several parents that were made alike share; filled in for `from: [a, b]`.
    recipe: Slug | None = None

    @property
    def built(self) -> bool:
        """Return whether edgeproof makes its files."""
        return bool(self.prune or self.quantize or self.formats or self.densify)

    @property
    def calibrated(self) -> list[str]:
        """List the steps that need calibration samples and name none of their own."""
        steps = {
            "prune": self.prune and self.prune.needs_samples and not self.prune.calibration,
            "quantize": self.quantize
            and self.quantize.to == "int8"
            and not self.quantize.calibration,
        }
        return [name for name, needed in steps.items() if needed]

    @check(mode="after")
    def _made_or_given(self) -> Variant:
        if self.built and self.parent is None:
            raise refused("there is nothing to build from", "name the dense variant: `from: dense`")
        if self.densify and (self.prune or self.quantize or self.formats):
            raise refused("a densified twin is its parent in all else", "leave the other steps out")
        if not self.built and not self.model:
            raise refused(
                "this key is missing: model",
                "give `model:` a file, or `from:` with `prune:`, `quantize:` or `formats:`",
            )
        return self

    @field_validator("shapes")
    @classmethod
    def _batch_first(cls, shapes: dict[str, Any]) -> dict[str, Any]:
        for name, shape in shapes.items():
            if None in shape[1:]:
                raise refused(f"{name}: only the first number, the batch, may be null or -1")
        return shapes
