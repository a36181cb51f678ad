"""Whether a built file is what its manifest says: everything that can be is computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from harness import artifact
from harness.errors import InputError
from harness.study import Study
from harness.variants import manifest, mask_file
from harness.variants.count import count
from harness.variants.densify import differences
from harness.variants.manifest import Manifest, Sparsity
from harness.variants.network import Network
from harness.variants.networks import open_network
from harness.variants.prune import size
from harness.variants.tasks import Task

ROUNDING = 5e-7  # shares are compared as they are: they were computed from the same counts


@dataclass(frozen=True)
class Told:
    """A file of a study that a manifest tells of."""

    file: Path
    format: str
    built: bool  # else it was made elsewhere and brought its manifest
    parents: Mapping[str, Path]  # format -> file of the variant that the study says it is made from
    task: Task | None = None  # what the study asks for, of a built one

    def wrong(self) -> list[str]:
        """List what differs from the manifest, and what the study asks for now instead."""
        found = verify(self.file, self.format, self.parents)
        reason = self.task.other_recipe(manifest.read(self.file)) if self.task else None
        return [*found, f"stale: {reason}"] if reason else found


def told(study: Study) -> list[Told]:
    """List the files of a study that have a manifest, or must have one."""
    return [
        Told(
            study.model_path(name, format),
            format,
            variant.built,
            _parents(study, name),
            Task(study, name, format) if variant.built else None,
        )
        for name, variant in study.variants.items()
        for format in variant.model
        if variant.built or manifest.beside(study.model_path(name, format))
    ]


def check_given(study: Study) -> None:
    """Refuse to measure a file that brought the manifest of another one, or of another parent.

    Reports take from there how much was taken away from it. Raises InputError.
    """
    for one in told(study):
        if one.built:
            continue
        made = manifest.read(one.file)
        wrong = [*_identity(one.file, one.format, made), *_origin(made, one.parents)]
        if wrong:
            raise InputError(
                f"is not what its manifest says: {'; '.join(wrong)}",
                where=str(one.file),
                next_step=f"export it again, or remove {manifest.path_of(one.file).name}",
            )


def verify(file: Path, format: str, parents: Mapping[str, Path] | None = None) -> list[str]:
    """List what differs from the manifest; empty when the file is what it says.

    `parents` are the files, by format, that it may have been made from; null: nobody knows. Of a
    quantised or converted file sizes and layers cannot be told from the file, so its sha256, zeros
    and mask stand for them. Raises InputError when the file or its manifest cannot be read.
    """
    made = manifest.read(file)
    return [
        *_identity(file, format, made),
        *_origin(made, parents or {}),
        *_mask(file, format, made),
        *_counts(file, format, made),
        *_twin(file, format, made, parents or {}),
    ]


def _parents(study: Study, name: str) -> dict[str, Path]:
    parent = study.variants[name].parent
    if parent is None:
        return {}
    return {format: study.model_path(parent, format) for format in study.variants[parent].model}


def _origin(made: Manifest, parents: Mapping[str, Path]) -> Iterator[str]:
    parent = parents.get(made.parent.format)
    if parent and artifact.inspect(parent, made.parent.format).sha256 != made.parent.sha256:
        yield f"it was made from another {made.parent.variant} than {parent}"


def _identity(file: Path, format: str, made: Manifest) -> Iterator[str]:
    found = artifact.inspect(file, format)
    if found.sha256 != made.sha256 or dict(found.parts) != made.parts:
        yield f"its sha256 is {found.sha256[:12]}, the manifest's {made.sha256[:12]}"
    if found.bytes != made.bytes:
        yield f"it has {found.bytes} bytes, by the manifest {made.bytes}"
    if _differ(found.sparsity, made.zeros):
        yield f"{found.sparsity} of its weights are zero, by the manifest {made.zeros}"


def _mask(file: Path, format: str, made: Manifest) -> Iterator[str]:
    if made.mask is None:
        return
    path = file.with_name(made.mask.file)
    if not path.is_file():
        yield f"its mask {path.name} is missing"
        return
    if manifest.sha256_of(path) != made.mask.sha256:
        yield f"its mask {path.name} has changed"
    if made.quantize is None and made.format == made.parent.format:
        yield from _unlike_mask(file, format, path)


def _unlike_mask(file: Path, format: str, path: Path) -> Iterator[str]:
    """Find weights that are not zero where the mask says so, and axes of another length."""
    network = open_network(file, format)
    constants, shapes = network.graph.constants, network.graph.shapes
    masks, kept = mask_file.read(path)
    for name, mask in masks.items():
        if name not in constants:
            yield f"'{name}' of its mask is no weight of it"
            continue
        values = network.constant(name)
        if values.shape != mask.shape or np.any(values[~mask]):
            yield f"'{name}' is not zero where its mask is"
    for name in sorted(kept.keys() & constants):
        for axis, positions in kept[name].items():
            if shapes[name][axis : axis + 1] != (len(positions),):
                yield f"'{name}' has not the {len(positions)} positions of its mask"


def _twin(file: Path, format: str, made: Manifest, parents: Mapping[str, Path]) -> Iterator[str]:
    """Compare a densified twin with its parent, where that is known and still the same."""
    parent = parents.get(format)
    if made.densify and parent and not list(_origin(made, parents)):
        yield from differences(parent, file, format)


def _counts(file: Path, format: str, made: Manifest) -> Iterator[str]:
    if made.quantize is not None or made.densify or format != made.parent.format:
        return
    network = open_network(file, format)
    found = size(network)
    if found != made.after:
        yield f"it has {found}, by the manifest {made.after}"
    if made.sparsity is None or made.sparsity.unit != "weights":
        return
    yield from _zeros(network, made.sparsity)


def _zeros(network: Network, told: Sparsity) -> Iterator[str]:
    """Count the zeros of the layers that were pruned again."""
    counted = {layer.name: (layer.zeros, prod(layer.shape)) for layer in count(network)}
    pruned = [counted[layer.name] for layer in told.layers if layer.name in counted]
    for layer in told.layers:
        zeros, size = counted.get(layer.name, (None, 1))
        found = None if zeros is None else zeros / size
        if _differ(found, layer.reached):
            yield f"{found} of layer {layer.name} is zero, by the manifest {layer.reached}"
    found = sum(zeros for zeros, _ in pruned) / max(1, sum(size for _, size in pruned))
    if _differ(found, told.reached):
        yield f"{found} of its pruned layers is zero, by the manifest {told.reached}"


def _differ(found: float | None, told: float | None) -> bool:
    if found is None or told is None:
        return found is not told
    return abs(found - told) > ROUNDING


def checked(file: Path, format: str) -> None:
    """Raise InputError with all that differs from the manifest."""
    wrong = verify(file, format)
    if wrong:
        raise InputError(
            "is not what its manifest says: " + "; ".join(wrong),
            where=str(file),
            next_step="edgeproof variants build STUDY, or variants restore SHA256",
        )
