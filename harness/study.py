"""The study: which variants, on which devices, how measured, with which gates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from agents import backends, wire
from harness import documents
from harness.documents import Model, refused, unknown
from harness.scenarios import Scenario
from harness.scenarios import distinct as distinct_scenarios
from reports.gates import METRICS

SUFFIXES = {".onnx": "onnx", ".tflite": "tflite", ".xml": "openvino"}
BUILD_KEYS = ("from", "prune", "quantize", "calibration")
MAX_BUDGET_S = 7 * 24 * 3600.0
MAX_LIST = 64

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in "hms"))


def seconds(value: object) -> float:
    """Read a duration (90, "90s", "10m", "1h30m") as seconds; raises ValueError."""
    number = _number(value)
    if number is None:
        raise ValueError(f"'{documents.shortened(value)}' is no duration; write 90s, 10m or 1h30m")
    if not 0 < number <= MAX_BUDGET_S:
        raise ValueError(f"{documents.shortened(value)} is not between 0 and 7 days")
    return number


def runtimes() -> list[str]:
    """List the runtimes that have a backend."""
    return [name for name in backends.names() if not name.startswith("_")]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        found = DURATION.fullmatch(str(value).replace(" ", "").lower())
    if not found or not found.group():
        return None
    return sum(float(text) * UNITS[unit] for unit, text in found.groupdict().items() if text)


def _duration(value: object) -> float:
    try:
        return seconds(value)
    except ValueError as error:
        raise refused(str(error)) from None


def _slug(name: str) -> str:
    """Refuse names that would not be safe as a part of ids and paths."""
    if len(name) > 64 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        shown = documents.shortened(name)
        raise refused(f"'{shown}' is no name: 1 to 64 letters, digits, '.', '_' and '-'")
    return name


def _runtime(name: str) -> str:
    if name not in runtimes():
        raise refused(unknown("runtime", name, runtimes()))
    return name


def _metric(name: str) -> str:
    if name not in METRICS:
        raise refused(unknown("metric", name, METRICS))
    return name


def _distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = [item for index, item in enumerate(items) if item in items[:index]]
    if repeated:
        raise refused(f"'{repeated[0]}' is listed twice")
    return items


def _with_variants(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Groups of variants are always measured: the values of the cells come from them."""
    if "variants" not in groups:
        raise refused(
            "the values of every cell come from groups of variants, so `variants` must be there",
            "write compare: [variants, runtimes]",
        )
    return groups


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise refused(f"must be a finite number; it is {value}")
    return value


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
            suffix = next(key for key, value in SUFFIXES.items() if value == name)
            raise refused(f"{name} is given '{documents.shortened(file)}', no {suffix} file")
    return files


def _dimension(value: object) -> object:
    return None if value == -1 and not isinstance(value, bool) else value


Slug = Annotated[str, StringConstraints(strict=True), AfterValidator(_slug)]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=4096)]
Count = Annotated[int, Field(strict=True, ge=1)]
Dimension = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=1 << 31)] | None, BeforeValidator(_dimension)
]
Number = Annotated[float, Field(strict=True), AfterValidator(_finite)]
Axis = Field(min_length=1, max_length=MAX_LIST)
Compare = tuple[Literal["variants", "runtimes"], ...]


class Variant(Model):
    """One logical model under test, in one or several file formats."""

    model: Annotated[
        dict[str, Text],
        Field(min_length=1),
        BeforeValidator(_format_to_file),
        AfterValidator(_formats),
    ]
    # For models with free dimensions: the whole shape of an input. null is the cell's batch.
    shapes: dict[Text, Annotated[tuple[Dimension, ...], Field(max_length=16)]] = Field(
        default_factory=dict
    )

    @model_validator(mode="before")
    @classmethod
    def _not_built(cls, data: object) -> object:
        keys = [key for key in BUILD_KEYS if isinstance(data, dict) and key in data]
        if keys:
            raise refused(
                f"`{keys[0]}:` asks to build a variant, which this release cannot do yet",
                "give `model:` a file",
            )
        return data

    @field_validator("shapes")
    @classmethod
    def _batch_first(cls, shapes: dict[str, Any]) -> dict[str, Any]:
        for name, shape in shapes.items():
            if None in shape[1:]:
                raise refused(f"{name}: only the first number, the batch, may be null or -1")
        return shapes


class DatasetSource(Model):
    """Labelled samples: an .npz file and the keys in it."""

    file: Text
    inputs: Text | dict[Text, Text]
    labels: Text

    @property
    def keys(self) -> dict[str, str]:
        """Return model input -> key; the input "" stands for the only one."""
        return {"": self.inputs} if isinstance(self.inputs, str) else dict(self.inputs)


class Measure(Model):
    """How hard to measure, and how much board time a device may take."""

    effort: Literal["quick", "standard", "thorough"] = "standard"
    budget: Annotated[float, BeforeValidator(_duration)] = 600.0  # seconds


class Gate(Model):
    """A limit on a metric."""

    metric: Annotated[Text, AfterValidator(_metric)]
    max: Number | None = None
    min: Number | None = None
    scenario: Text | None = None  # asked of the cells of one scenario only

    @model_validator(mode="after")
    def _one_limit(self) -> Gate:
        if (self.max is None) == (self.min is None):
            raise refused("give exactly one of max and min")
        limit = self.min if self.max is None else self.max
        if limit is not None and limit < 0 and not self.metric.endswith("_drop"):
            raise refused(f"{self.metric} is never negative, so the limit {limit:g} is pointless")
        if limit is not None and METRICS[self.metric].unit == "share" and abs(limit) > 1:
            raise refused(f"{self.metric} is a share of 1, not a percentage; it is {limit:g}")
        return self


class Study(Model):
    """A validated study file."""

    name: Slug
    variants: Annotated[dict[Slug, Variant], Axis]
    baseline: Slug
    runtimes: Annotated[
        tuple[Annotated[Text, AfterValidator(_runtime)], ...], Axis, AfterValidator(_distinct)
    ]
    precisions: Annotated[
        tuple[Literal["fp32", "fp16", "bf16"], ...], Axis, AfterValidator(_distinct)
    ] = ("fp32",)
    batch_sizes: Annotated[
        tuple[Annotated[Count, Field(le=4096)], ...], Axis, AfterValidator(_distinct)
    ] = (1,)
    threads: Annotated[
        tuple[Annotated[Count, Field(le=256)], ...], Axis, AfterValidator(_distinct)
    ] = (1,)
    scenarios: Annotated[tuple[Scenario, ...], Axis, AfterValidator(distinct_scenarios)] = (
        Scenario.model_validate(wire.SINGLE_STREAM),
    )
    # Which groups are measured: variants in a runtime, a variant in the runtimes.
    compare: Annotated[
        Compare,
        Axis,
        AfterValidator(_distinct),
        AfterValidator(_with_variants),
    ] = ("variants", "runtimes")
    dataset: DatasetSource | None = None
    measure: Measure = Measure()
    devices: Annotated[
        tuple[Slug, ...], Field(min_length=1, max_length=1000), AfterValidator(_distinct)
    ] = ("local",)
    gates: Annotated[tuple[Gate, ...], Field(max_length=256)] = ()

    _folder: Path = PrivateAttr(default=Path())

    @field_validator("baseline")
    @classmethod
    def _baseline_is_a_variant(cls, name: str, info: ValidationInfo) -> str:
        variants = info.data.get("variants")
        if variants is not None and name not in variants:
            raise refused(unknown("variant", name, variants))
        return name

    @property
    def folder(self) -> Path:
        """Return the folder that model and dataset paths are relative to."""
        return self._folder

    def model_path(self, variant: str, format: str) -> Path:
        """Return where a variant's file of a format lies."""
        return self.folder / self.variants[variant].model[format]

    @property
    def dataset_path(self) -> Path | None:
        """Return where the dataset lies."""
        return self.folder / self.dataset.file if self.dataset else None

    def with_budget(self, seconds: float) -> Study:
        """Return this study with another board-time budget."""
        measure = self.measure.model_copy(update={"budget": seconds})
        return self.model_copy(update={"measure": measure})

    def with_compare(self, compare: Compare) -> Study:
        """Return this study with other groups."""
        return self.model_copy(update={"compare": compare})

    def document(self) -> dict[str, Any]:
        """Return the study as plain data, which `parse_study` reads again."""
        return self.model_dump(mode="json")


def load_study(path: Path) -> Study:
    """Read a study file; every problem in it comes in one InputError."""
    document = documents.read(path)
    study = _checked(document, path.parent)
    missing = _missing_files(study, document)
    if missing:
        raise documents.failure(path, missing)
    return study


def parse_study(data: Mapping[str, Any], folder: Path, source: str = "study") -> Study:
    """Check a study that is plain data already, such as the one a run keeps."""
    return _checked(documents.Document(dict(data), Path(source)), folder)


def _checked(document: documents.Document, folder: Path) -> Study:
    study = documents.validate(Study, document)
    pointless = list(_pointless_gates(study, document))
    if pointless:
        raise documents.failure(document.path, pointless)
    study._folder = folder
    return study


def _pointless_gates(study: Study, document: documents.Document) -> Iterator[documents.Problem]:
    """Find the gates that would be asked of no cell, for want of a scenario."""
    names = [scenario.name for scenario in study.scenarios]
    for index, gate in enumerate(study.gates):
        if gate.scenario is not None and gate.scenario not in names:
            what = f"'{gate.scenario}' is no scenario of this study; it has {', '.join(names)}"
            yield documents.problem(document, ("gates", index, "scenario"), what)
            continue
        asked = [gate.scenario] if gate.scenario else names
        able = METRICS[gate.metric].scenarios
        if not able.intersection(asked):
            where = ", ".join(name for name in wire.SCENARIOS if name in able)
            whose = "this gate asks" if gate.scenario else "this study has"
            what = f"{gate.metric} is measured in {where}; {whose} {', '.join(asked)}"
            yield documents.problem(document, ("gates", index, "metric"), what)


def _missing_files(study: Study, document: documents.Document) -> list[documents.Problem]:
    """List the files that the study names and that are not there."""
    named: list[tuple[tuple[str, ...], Path]] = []
    for name, variant in study.variants.items():
        for format in variant.model:
            named.append((("variants", name, "model", format), study.model_path(name, format)))
    if study.dataset_path:
        named.append((("dataset", "file"), study.dataset_path))
    return [
        documents.problem(document, loc, f"no such file: {file}{_alike(file)}")
        for loc, file in named
        if not file.is_file()
    ]


def _alike(file: Path) -> str:
    names = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
    close = documents.nearest(file.name, names)
    return f"; did you mean '{close}'?" if close else ""
