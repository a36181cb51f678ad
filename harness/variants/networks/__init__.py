"""Model files opened for surgery, by format: one module each, with `open(path) -> Network`."""

from __future__ import annotations

import importlib
from pathlib import Path

from harness.variants.network import Network


def open_network(path: Path, format: str) -> Network:
    """Open a model file; raises InputError for one that cannot be worked on."""
    network: Network = importlib.import_module(f"{__name__}.{format}").open(path)
    return network
