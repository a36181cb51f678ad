"""Model files opened for surgery, by format: one module each, with `open(path) -> Network`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import get_args

from harness.errors import InputError
from harness.variants.network import Network
from harness.variants.recipe import Format


def open_network(path: Path, format: str) -> Network:
    """Open a model file; raises InputError for one that cannot be worked on."""
    if format not in get_args(Format):
        raise InputError(f"is a {format} file, which cannot be worked on", where=str(path))
    network: Network = importlib.import_module(f"{__name__}.{format}").open(path)
    return network
