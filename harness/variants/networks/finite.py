"""Refuse a network whose weights are broken: no pruning method can rank what is not a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.variants.network import Network


def check(network: Network, path: Path) -> None:
    """Raise InputError for NaN anywhere, or infinite weights; attention masks may be infinite."""
    layers = network.graph.layers()
    weights = {name for layer in layers for name in (layer.weight, layer.bias) if name}
    for name in sorted(network.graph.constants):
        values = network.constant(name)
        if values.dtype.kind != "f":
            continue
        spoiled = ~np.isfinite(values) if name in weights else np.isnan(values)
        if spoiled.any():
            raise InputError(
                f"has {int(spoiled.sum())} NaN or infinite values in '{name}'",
                where=str(path),
                next_step="export it anew from a training that did not diverge",
            )
