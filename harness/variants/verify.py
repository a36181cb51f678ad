"""Whether a built file is what its manifest says: everything that can be is computed again."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from harness import artifact
from harness.errors import InputError
from harness.variants import manifest, mask_file
from harness.variants.count import count
from harness.variants.manifest import Manifest
from harness.variants.networks import open_network
from harness.variants.prune import size

ROUNDING = 5e-7  # shares are compared as they are: they were computed from the same counts


def verify(file: Path, format: str) -> list[str]:
    """List what differs from the manifest; empty when the file is what it says.

    Of a quantised file sizes and layers cannot be told from the file, so its sha256, zeros and mask
    stand for them. Raises InputError when the file or its manifest cannot be read.
    """
    made = manifest.read(file)
    return [
        *_identity(file, format, made),
        *_mask(file, format, made),
        *_counts(file, format, made),
    ]


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
    masks, kept = mask_file.read(path)
    for name, mask in masks.items():
        values = network.constant(name)
        if values.shape != mask.shape or np.any(values[~mask]):
            yield f"'{name}' is not zero where its mask is"
    for name in kept.keys() & network.graph.constants:
        for axis, positions in kept[name].items():
            if network.graph.shapes[name][axis] != len(positions):
                yield f"'{name}' has not the {len(positions)} positions of its mask"


def _counts(file: Path, format: str, made: Manifest) -> Iterator[str]:
    if made.quantize is not None:
        return
    network = open_network(file, format)
    found = size(network)
    if found != made.after:
        yield f"it has {found}, by the manifest {made.after}"
    if made.sparsity is None or made.sparsity.unit != "weights" or format != made.parent.format:
        return
    zeros = {layer.name: layer.zeros / prod(layer.shape) for layer in count(network)}
    for layer in made.sparsity.layers:
        if _differ(zeros.get(layer.name), layer.reached):
            told = f"{zeros.get(layer.name)} of layer {layer.name} is zero"
            yield f"{told}, by the manifest {layer.reached}"


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
