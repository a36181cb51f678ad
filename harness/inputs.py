"""The files of a study: models and samples, looked into once for all devices of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agents import wire
from harness import artifact, dataset
from harness.deploy import Blob
from harness.study import Study


@dataclass(frozen=True)
class Inputs:
    """The files of a study, looked into once for all devices."""

    study: Study
    artifacts: Mapping[tuple[str, str], artifact.Artifact]  # by (variant, format)
    samples: dataset.DatasetFile | None
    ood: Mapping[str, dataset.DatasetFile] = field(default_factory=dict)

    @property
    def sets(self) -> list[dataset.DatasetFile]:
        """List the files of samples: the dataset, then those from elsewhere."""
        return [*([self.samples] if self.samples else []), *self.ood.values()]

    @property
    def sets_sha256(self) -> str | None:
        """Return the sha256 of the dataset or, of several files, that of theirs."""
        sums = [item.sha256 for item in self.sets]
        if len(sums) < 2:
            return sums[0] if sums else None
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    def blobs(self, wanted: Sequence[str]) -> list[Blob]:
        """List the files to push for these artifacts (sha256), and the samples."""
        models = {item.sha256: item for item in self.artifacts.values()}
        blobs = [
            Blob("models", file, sha256)
            for key in wanted
            for file, sha256 in zip(models[key].files, models[key].parts.values(), strict=True)
        ]
        return blobs + [Blob("datasets", item.path, item.sha256) for item in self.sets]

    def parts(self) -> dict[str, Mapping[str, str]]:
        """Files of each artifact by suffix."""
        return {item.sha256: item.parts for item in self.artifacts.values()}

    def robustness(self) -> wire.Robustness | None:
        """Return what the job says about further sets of samples."""
        asked = self.study.robustness
        if asked is None or self.samples is None:
            return None
        return {
            "corruptions": list(asked.corruptions),
            "severities": list(asked.severities),
            "samples": min(asked.samples or self.samples.samples, self.samples.samples),
            "seed": asked.seed,
            "ood": {name: item.wire() for name, item in self.ood.items()},
        }


def look_into(study: Study) -> Inputs:
    """Read every model file and the samples of a study; raises InputError for a bad one."""
    artifacts = {
        (name, format): artifact.inspect(study.model_path(name, format), format)
        for name, variant in study.variants.items()
        for format in variant.model
    }
    samples = None
    if study.dataset and study.dataset_path:
        samples = dataset.load_dataset(study.dataset_path, study.dataset)
    ood = dict(_elsewhere(study, samples))
    for item in [*([samples] if samples else []), *ood.values()]:
        for (name, _), model in artifacts.items():
            dataset.check_dataset(item, model, study.variants[name].shapes)
    return Inputs(study, artifacts, samples, ood)


def _elsewhere(
    study: Study, samples: dataset.DatasetFile | None
) -> Iterator[tuple[str, dataset.DatasetFile]]:
    """Read the out-of-distribution sets."""
    if study.robustness is None or samples is None:
        return
    for name, source in study.robustness.ood.items():
        path = study.folder / source.file
        yield name, dataset.load_other(path, source, samples.recipe)
