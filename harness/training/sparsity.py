"""How much training took away, told by the file that came out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.errors import InputError
from harness.variants import channels
from harness.variants.manifest import LayerSparsity, Sparsity
from harness.variants.network import Array, Network

# Shares of a weight's largest value: folding a batch norm into it rounds at 1e-7, and other weights
# are off by 1e-1.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Masked:
    """A layer's weight as it was trained, and where its mask lets it be (True stays)."""

    weight: Array
    mask: Array

    @property
    def turned(self) -> Masked:
        """Return a matrix the other way round, as an ONNX MatMul stores a linear layer."""
        return replace(self, weight=self.weight.T, mask=self.mask.T)


@dataclass(frozen=True)
class _Family:
    """Layers that share their channels, and the number of these in the parent and now."""

    layers: str
    before: int
    after: int


def zeroed(
    file: Network, masked: Mapping[str, Masked], target: float | None
) -> tuple[Sparsity, dict[str, Array]]:
    """Return the zeros of the layers that were masked, and their masks by the file's constants.

    Exporters rename weights, turn them round and fold batch norms into them, so a weight is found
    by its values. Raises InputError when a mask finds no weight, or one that is not zero under it.
    """
    masks: dict[str, Array] = {}
    layers, left, lost = [], {}, dict(masked)
    for layer in file.graph.layers():
        values = file.constant(layer.weight)
        # One that is in the file twice (used under two batch norms) is found twice, if need be.
        names = {**lost, **masked}
        fits = ((name, one) for name in names for one in _fitting(masked[name], values))
        name, found = next(fits, (None, None))
        if name is None or found is None:
            left[layer.node.name] = "was not masked in training"
            continue
        lost.pop(name, None)
        _check_zero(layer.weight, values, found.mask)
        masks[layer.weight] = values != 0
        reached = float(np.mean(values == 0))
        layers.append(LayerSparsity(name=layer.node.name, target=None, reached=reached))
    for name in lost:
        raise InputError(
            f"the masked weight of '{name}' is not in the exported file",
            next_step="call the layer itself in forward(), not a function of its weight",
        )
    kept = sum(int(mask.sum()) for mask in masks.values())
    reached = 1 - kept / sum(mask.size for mask in masks.values())
    return _told("weights", target, reached, layers, left), masks


def narrowed(parent: Network, file: Network, target: float | None) -> Sparsity | None:
    """Return the channels that a network has no more; null when it has as many as its parent.

    Channels that go or stay together count once. Raises InputError when the two do not have the
    same layers in the same order.
    """
    families = list(_families(parent, file))
    less = [one for one in families if one.after < one.before]
    if not less:
        return None
    layers = [
        LayerSparsity(name=one.layers, target=None, reached=1 - one.after / one.before)
        for one in less
    ]
    left = {one.layers: "has the channels of its parent" for one in families if one not in less}
    reached = 1 - sum(one.after for one in less) / sum(one.before for one in less)
    return _told("channels", target, reached, layers, left)


def _fitting(given: Masked, values: Array) -> Iterator[Masked]:
    """Yield the weight as it lies in the file if these are its values; two ways for a matrix."""
    for one in (given, given.turned) if values.ndim == 2 else (given,):
        same = one.weight.shape == values.shape
        if same and any(_alike(one.weight, values, axis) for axis in (0, 1)):
            yield one
            return


def _alike(trained: Array, stored: Array, axis: int) -> bool:
    """Whether values are the same but for sign and one factor for each position of an axis."""
    if not trained.any():
        return not stored.any()
    a, b = _rows(trained, axis), _rows(stored, axis)
    if a.shape[1] > 1:
        a, b = _shares(a), _shares(b)
    else:  # a factor would make any one value of another
        a, b = a / a.max(), b / a.max()
    alive = b.any(axis=1)  # a batch norm with factor 0 leaves nothing
    return bool(alive.any() and np.allclose(a[alive], b[alive], rtol=0, atol=ROUNDING))


def _rows(values: Array, axis: int) -> Array:
    """Return absolute values by positions of an axis."""
    rows: Array = np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1)
    return rows


def _shares(rows: Array) -> Array:
    largest = rows.max(axis=1, keepdims=True)
    shares: Array = rows / np.where(largest > 0, largest, 1)
    return shares


def _check_zero(name: str, values: Array, mask: Array) -> None:
    if np.any(values[~mask]):
        raise InputError(f"'{name}' is not zero in the exported file where its mask is")


def _families(parent: Network, file: Network) -> Iterator[_Family]:
    """Match the layers that share their channels with those of the parent, in order."""
    both = [channels.find(network.graph).families for network in (parent, file)]
    makers = [[len(family.layers) for family in families] for families in both]
    if makers[0] != makers[1]:
        raise InputError(
            "has other layers than its parent, so nobody can tell which channels it lacks",
            next_step="export the parent too, from the network that was compressed",
        )
    for before, after in zip(*both, strict=True):
        yield _Family(", ".join(after.names), len(before.units), len(after.units))


def _told(
    unit: Literal["weights", "channels"],
    target: float | None,
    reached: float,
    layers: list[LayerSparsity],
    left: dict[str, str],
) -> Sparsity:
    return Sparsity(unit=unit, target=target, reached=reached, layers=tuple(layers), left=left)
