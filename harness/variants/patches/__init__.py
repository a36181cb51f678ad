"""Constants of a model file exchanged in the file itself: nothing else of it changes.

One module each format, with `patch(source, target, values)`: `values` are arrays of the same shape
and type by `Stored.key`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from harness.errors import InputError
from harness.formats import Array


def patch(source: Path, format: str, target: Path, values: Mapping[str, Array]) -> None:
    """Write the file with other values for some constants; raises InputError."""
    if format not in {module.name for module in pkgutil.iter_modules(__path__)}:
        what = f"is a {format} file, whose weights edgeproof does not change"
        raise InputError(what, where=str(source), next_step="take this variant out of `twins:`")
    importlib.import_module(f"{__name__}.{format}").patch(source, target, values)
