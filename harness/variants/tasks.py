"""The files that a study asks to be built, and whether what is there is what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import artifact, family
from harness.dataset import Recipe
from harness.documents import unknown
from harness.errors import InputError
from harness.study import Study
from harness.variant import Variant
from harness.variants import manifest
from harness.variants.manifest import Manifest
from harness.variants.recipe import Calibration, Prune, Quantize


@dataclass(frozen=True)
class Task:
    """One file of one variant that is to be built."""

    study: Study
    name: str
    format: str

    @property
    def variant(self) -> Variant:
        """Return the variant that the file is of."""
        return self.study.variants[self.name]

    @property
    def target(self) -> Path:
        """Return where the file goes."""
        return self.study.model_path(self.name, self.format)

    @property
    def source_format(self) -> str:
        """Return the parent's format that the file is made from."""
        return family.source_format(self.study.variants, self.name, self.format) or self.format

    @property
    def source(self) -> Path:
        """Return the parent's file."""
        return self.study.model_path(self.variant.parent or "", self.source_format)

    def calibration(self, step: Prune | Quantize | None) -> Calibration | None:
        """Return the samples that a step is calibrated with: its own, or the study's."""
        return (step.calibration if step else None) or self.study.calibration

    @property
    def place(self) -> str:
        """Return what messages call the file."""
        return f"{self.study.name}: {self.name} ({self.format})"

    @property
    def preprocess(self) -> Recipe | None:
        """Return the steps that make an input of a sample; null: none."""
        dataset = self.study.dataset
        return list(dataset.preprocess) if dataset and dataset.preprocess else None

    @property
    def samples(self) -> dict[str, manifest.SampleSource] | None:
        """Return the samples that each step is calibrated with; null: it needs none."""
        prune, quantise = self.variant.prune, self.variant.quantize
        steps = {
            "prune": prune if prune and prune.needs_samples else None,
            "quantize": quantise if quantise and quantise.to == "int8" else None,
        }
        used = {name: self.calibration(step) for name, step in steps.items() if step}
        return {name: self._source_of(one) for name, one in used.items() if one} or None

    def _source_of(self, used: Calibration) -> manifest.SampleSource:
        return manifest.SampleSource(
            file=used.file,
            sha256=manifest.sha256_of(self.study.folder / used.file),
            samples=used.samples,
            inputs=used.keys,
            preprocess=tuple(self.preprocess or ()),
        )

    @property
    def given_mask(self) -> manifest.Mask | None:
        """Return the mask that it is pruned by; raises InputError when it is not there."""
        prune = self.variant.prune
        if prune is None or prune.mask is None:
            return None
        path = self.study.folder / prune.mask
        if not path.is_file():
            advice = f"correct `mask:` of {self.name}"
            raise InputError("no such mask", where=str(path), next_step=advice)
        return manifest.Mask(file=prune.mask, sha256=manifest.sha256_of(path))

    def stale(self) -> str | None:
        """Say why the file must be built (again); null when it is what the study asks for."""
        if not self.target.is_file():
            return "it has not been built"
        try:
            made = manifest.read(self.target)
        except InputError as error:
            return f"its manifest cannot be used: it {error.what}"
        return self.other_recipe(made) or self._other_files(made)

    def other_recipe(self, made: Manifest) -> str | None:
        """Say what the study asks for that the manifest of the file does not tell of."""
        ask = self.variant
        asked = (self.name, ask.parent, ask.prune, ask.quantize, ask.densify)
        done = (made.variant, made.parent.variant, made.prune, made.quantize, made.densify)
        if done != asked:
            return "the study's recipe has changed"
        if made.calibration != self.samples:
            return "the calibration samples have changed"
        if made.given_mask != self.given_mask:
            return "the mask that it is pruned by has changed"
        return None

    def _other_files(self, made: Manifest) -> str | None:
        if made.parent.sha256 != artifact.inspect(self.source, self.source_format).sha256:
            return f"{self.variant.parent} has changed"
        parts = {self.target.with_suffix(end): sha256 for end, sha256 in made.parts.items()}
        if made.mask:
            parts[self.target.with_name(made.mask.file)] = made.mask.sha256
        for path, sha256 in parts.items():
            if not path.is_file() or manifest.sha256_of(path) != sha256:
                return f"{path.name} was changed or removed after it had been built"
        return None


def tasks(study: Study, names: Sequence[str] = ()) -> list[Task]:
    """List the files to build for these variants (default: all) and what they are made from."""
    for name in names:
        if name not in study.variants:
            raise InputError(
                unknown("variant", name, study.variants),
                where=study.name,
                next_step="name a variant of the study",
            )
    ordered: dict[str, None] = {}
    for name in names or study.variants:
        ordered.update(dict.fromkeys(reversed(family.lineage(study.variants, name))))
    return [
        Task(study, name, format)
        for name in ordered
        if study.variants[name].built
        for format in study.variants[name].model
    ]


def check_fresh(study: Study) -> None:
    """Refuse to measure files that are not what the study says; raises InputError."""
    for task in tasks(study):
        reason = task.stale()
        if reason:
            raise InputError(
                f"cannot be measured as it is: {reason}",
                where=str(task.target),
                next_step=f"edgeproof variants build {study.source}",
            )
