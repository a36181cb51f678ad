"""The study: which variants, on which devices, how measured, with which gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from agents import wire
from harness import documents, family
from harness import twins as controls
from harness.documents import Model, refused, unknown
from harness.evaluated import DatasetSource, Robustness
from harness.fields import Axis, Count, Seconds, Slug, Text, distinct
from harness.gate import Gate, Waiver, waiver_problems
from harness.labels import Label
from harness.scenarios import Scenario
from harness.scenarios import distinct as distinct_scenarios
from harness.variant import Variant
from harness.variants.recipe import Calibration
from reports.gates import METRICS


def _with_variants(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Groups of variants are always measured: the values of the cells come from them."""
    if "variants" not in groups:
        raise refused(
            "the values of every cell come from groups of variants, so `variants` must be there",
            "write compare: [variants, runtimes]",
        )
    return groups


Effort = Literal["quick", "standard", "thorough"]
Compare = tuple[Literal["variants", "runtimes"], ...]


class Measure(Model):
    """How hard to measure, and how much board time a device may take."""

    effort: Effort = "standard"
    budget: Seconds = 600.0  # seconds to measure; the sets of robustness have as many again


class Study(Model):
    """A validated study file."""

    name: Slug
    variants: Annotated[
        dict[Slug, Variant],
        Axis,
        BeforeValidator(family.spread, json_schema_input_type=dict[str, Variant]),
    ]
    baseline: Slug
    runtimes: Annotated[tuple[Label, ...], Axis, AfterValidator(distinct)]
    precisions: Annotated[
        tuple[Literal["fp32", "fp16", "bf16"], ...], Axis, AfterValidator(distinct)
    ] = ("fp32",)
    batch_sizes: Annotated[
        tuple[Annotated[Count, Field(le=4096)], ...], Axis, AfterValidator(distinct)
    ] = (1,)
    threads: Annotated[
        tuple[Annotated[Count, Field(le=256)], ...], Axis, AfterValidator(distinct)
    ] = (1,)
    scenarios: Annotated[tuple[Scenario, ...], Axis, AfterValidator(distinct_scenarios)] = (
        Scenario.model_validate(wire.SINGLE_STREAM),
    )
    # Which groups are measured: variants in a runtime, a variant in the runtimes.
    compare: Annotated[
        Compare,
        Axis,
        AfterValidator(distinct),
        AfterValidator(_with_variants),
    ] = ("variants", "runtimes")
    dataset: DatasetSource | None = None
    robustness: Robustness | None = None
    # Variants that are measured beside a densified twin, or `all` that are pruned to zeros.
    twins: Annotated[
        tuple[Text, ...],
        Field(max_length=256),
        BeforeValidator(controls.one_or_many, json_schema_input_type=str | tuple[str, ...]),
        AfterValidator(distinct),
    ] = ()
    # For variants that are built; a variant's own step may name other samples.
    calibration: Calibration | None = None
    measure: Measure = Measure()
    devices: Annotated[
        tuple[Slug, ...], Field(min_length=1, max_length=1000), AfterValidator(distinct)
    ] = ("local",)
    gates: Annotated[tuple[Gate, ...], Field(max_length=256)] = ()
    waivers: Annotated[tuple[Waiver, ...], Field(max_length=256)] = ()
    # What the variant to ship must meet; unlike gates they stop nothing.
    targets: Annotated[tuple[Gate, ...], Field(max_length=64)] = ()

    _folder: Path = PrivateAttr(default=Path())
    _source: Path = PrivateAttr(default=Path("STUDY"))

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

    @property
    def source(self) -> Path:
        """Return the file that it was read from, as commands name it."""
        return self._source

    def model_path(self, variant: str, format: str) -> Path:
        """Return where a variant's file of a format lies."""
        return self.folder / self.variants[variant].model[format]

    def sample_files(self) -> Iterator[tuple[documents.Loc, Path]]:
        """Yield the files of samples that the study names, and where it does."""
        if self.dataset:
            yield ("dataset", "file"), self.folder / self.dataset.file
        if self.calibration:
            yield ("calibration", "file"), self.folder / self.calibration.file
        for name, other in (self.robustness.ood if self.robustness else {}).items():
            yield ("robustness", "ood", name, "file"), self.folder / other.file
        for name, variant in self.variants.items():
            for step in ("prune", "quantize"):
                given = getattr(getattr(variant, step), "calibration", None)
                if given:
                    loc = ("variants", name, step, "calibration", "file")
                    yield loc, self.folder / given.file

    @property
    def dataset_path(self) -> Path | None:
        """Return where the dataset lies."""
        return self.folder / self.dataset.file if self.dataset else None

    def with_budget(self, seconds: float) -> Study:
        """Return this study with another board-time budget."""
        measure = self.measure.model_copy(update={"budget": seconds})
        return self.model_copy(update={"measure": measure})

    def with_effort(self, effort: Effort) -> Study:
        """Return this study measured harder, or less hard."""
        measure = self.measure.model_copy(update={"effort": effort})
        return self.model_copy(update={"measure": measure})

    def with_compare(self, compare: Compare) -> Study:
        """Return this study with other groups."""
        return self.model_copy(update={"compare": compare})

    def document(self) -> dict[str, Any]:
        """Return the study as plain data, which `parse_study` reads again."""
        return self.model_dump(mode="json", by_alias=True)


def load_study(path: Path, built: bool = True) -> Study:
    """Read a study file; every problem in it comes in one InputError.

    `built` says whether the files of its built variants must be there.
    """
    document = documents.read(path)
    study = _checked(document, path.parent)
    study._source = path
    missing = _missing_files(study, document, built)
    if missing:
        raise documents.failure(path, missing)
    return study


def parse_study(data: Mapping[str, Any], folder: Path, source: str = "study") -> Study:
    """Check a study that is plain data already, such as the one a run keeps."""
    return _checked(documents.Document(dict(data), Path(source)), folder)


def _checked(document: documents.Document, folder: Path) -> Study:
    study = documents.validate(Study, document)
    problems = [
        *_family_problems(study, document),
        *_twin_problems(study, document),
        *_robustness_of_nothing(study, document),
        *_pointless_gates(study, document),
        *waiver_problems(study, document),
    ]
    if problems:
        raise documents.failure(document.path, problems)
    variants = family.resolved(study.name, controls.added(study.variants, study.twins))
    lost = family.overwritten(folder, study.variants, variants)
    problems = [
        documents.problem(document, ("variants", name), what, advice) for name, what, advice in lost
    ]
    if problems:
        raise documents.failure(document.path, problems)
    study = study.model_copy(update={"variants": variants})
    study._folder = folder
    return study


def _family_problems(study: Study, document: documents.Document) -> list[documents.Problem]:
    return [
        documents.problem(document, ("variants", name), what, advice)
        for name, what, advice in family.problems(study.variants, study.calibration is not None)
    ]


def _twin_problems(study: Study, document: documents.Document) -> list[documents.Problem]:
    found = controls.problems(study.variants, study.twins)
    return [documents.problem(document, ("twins",), what, advice) for _, what, advice in found]


def _robustness_of_nothing(
    study: Study, document: documents.Document
) -> Iterator[documents.Problem]:
    """Find robustness that is asked for without a dataset."""
    if study.robustness and not study.dataset:
        what = "is measured against a dataset, and the study has none"
        advice = "give `dataset:`, or leave `robustness:` out"
        yield documents.problem(document, ("robustness",), what, advice)


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


def _missing_files(
    study: Study, document: documents.Document, built: bool
) -> list[documents.Problem]:
    """List the files that the study names and that are not there."""
    found: list[documents.Problem] = []
    for name, variant in study.variants.items():
        for format in variant.model:
            file = study.model_path(name, format)
            if variant.built and built and not file.is_file():
                advice = f"edgeproof variants build {document.path}"
                what = f"has not been built: no {file}"
                found.append(documents.problem(document, ("variants", name), what, advice))
            elif not variant.built and not file.is_file():
                found.append(_no_such_file(document, ("variants", name, "model", format), file))
    for loc, file in study.sample_files():
        if not file.is_file():
            found.append(_no_such_file(document, loc, file))
    return found


def _no_such_file(
    document: documents.Document, loc: documents.Loc, file: Path
) -> documents.Problem:
    return documents.problem(document, loc, f"no such file: {file}{_alike(file)}")


def _alike(file: Path) -> str:
    names = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
    close = documents.nearest(file.name, names)
    return f"; did you mean '{close}'?" if close else ""
