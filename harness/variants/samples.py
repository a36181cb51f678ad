"""Samples for calibration and for parity checks: of a dataset, or seeded random values."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifact import Shapes, Unresolvable, inspect, resolve_inputs
from harness.documents import unknown
from harness.errors import InputError
from harness.variants.network import Feeds

RANDOM_SAMPLES = 8


def load(path: Path, keys: Mapping[str, str], count: int) -> dict[str, Any]:
    """Read the first samples of an .npz file by model input, preprocessed as its recipe says."""
    try:
        with np.load(path) as archive:
            return {name: _rows(path, archive, key, count) for name, key in keys.items()}
    except FileNotFoundError:
        raise InputError("no such file of samples", where=str(path)) from None
    except (OSError, ValueError, zipfile.BadZipFile):
        raise InputError("is damaged or no .npz file", where=str(path)) from None


def _rows(path: Path, archive: Any, key: str, count: int) -> Any:
    if key not in archive.files:
        raise InputError(unknown("key", key, archive.files), where=str(path))
    rows = archive[key]
    if not rows.ndim or not len(rows):
        raise InputError(f"holds no samples in '{key}'", where=str(path))
    if len(rows) < count:
        raise InputError(
            f"holds {len(rows)} samples in '{key}', and {count} are asked for",
            where=str(path),
            next_step=f"write samples: {len(rows)}, or give a larger file",
        )
    return rows[:count]


def random(path: Path, format: str, shapes: Shapes) -> Feeds:
    """Seeded random values for the inputs of a model: normal for reals, 0 or 1 for integers."""
    generator = np.random.default_rng(0)
    feeds = {}
    try:
        specs = resolve_inputs(inspect(path, format), 1, shapes)
    except Unresolvable as error:
        raise InputError(str(error), where=str(path), next_step="give `shapes:`") from None
    for spec in specs:
        shape = (RANDOM_SAMPLES, *spec["shape"][1:])
        real = spec["dtype"].startswith("float")
        values = generator.standard_normal(shape) if real else generator.integers(0, 2, shape)
        feeds[spec["name"]] = values.astype(spec["dtype"])
    return feeds
