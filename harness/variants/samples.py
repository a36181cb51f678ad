"""Samples for calibration and for parity checks: of a dataset, or seeded random values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifact import Shapes, Unresolvable, inspect, resolve_inputs
from harness.dataset import Recipe, preprocessed, stored_recipe
from harness.documents import unknown
from harness.errors import InputError
from harness.formats import Port
from harness.variants.network import Feeds

RANDOM_SAMPLES = 8


def load(
    path: Path,
    keys: Mapping[str, str],
    count: int,
    recipe: Recipe | None = None,
    *,
    or_fewer: bool = False,
) -> Feeds:
    """Read the first samples of an .npz file by model input, preprocessed as on the device.

    The file's own recipe goes before `recipe`, the dataset's. Raises InputError when the file holds
    less than `count`, unless fewer will do.
    """
    steps = stored_recipe(path) or recipe or ()
    with np.load(path) as archive:
        least = 1 if or_fewer else count
        rows = {name: _rows(path, archive, key, least)[:count] for name, key in keys.items()}
    return {name: preprocessed(path, list(steps), values) for name, values in rows.items()}


def _rows(path: Path, archive: Any, key: str, count: int) -> Any:
    if key not in archive.files:
        what, advice = unknown("key", key, archive.files), "correct `inputs:` of the calibration"
        raise InputError(what, where=str(path), next_step=advice)
    rows = archive[key]
    if not rows.ndim or not len(rows):
        raise InputError(f"holds no samples in '{key}'", where=str(path))
    if len(rows) < count:
        raise InputError(
            f"holds {len(rows)} samples in '{key}', and {count} are asked for",
            where=str(path),
            next_step=f"write samples: {len(rows)}, or give a larger file",
        )
    return rows


def random(path: Path, format: str, shapes: Shapes) -> Feeds:
    """Seeded random values for the inputs of a model: normal for reals, 0 or 1 for integers."""
    generator = np.random.default_rng(0)
    feeds = {}
    found = inspect(path, format)
    try:
        specs = resolve_inputs(found, _batch(found.inputs, shapes), shapes)
    except Unresolvable as error:
        raise InputError(str(error), where=str(path), next_step="give `shapes:`") from None
    for spec in specs:
        shape = (RANDOM_SAMPLES, *spec["shape"][1:])
        real = spec["dtype"].startswith("float")
        values = generator.standard_normal(shape) if real else generator.integers(0, 2, shape)
        feeds[spec["name"]] = values.astype(spec["dtype"])
    return feeds


def _batch(ports: Sequence[Port], shapes: Shapes) -> int:
    """Return how many samples a model with a fixed batch takes at once; 1 where it is free."""
    known = (shape for port in ports for shape in (shapes.get(port.name), port.shape) if shape)
    return next((shape[0] for shape in known if shape[0]), 1)
