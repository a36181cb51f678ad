"""Labels for the positions of every axis of every tensor, and which of them go only together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from harness.variants.network import Indices

Flags = npt.NDArray[np.bool_]
Axis = Indices | None  # the label of each position; null: the axis has no known size
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Reason:
    """Why positions must stay; of several, the first one of the lowest rank is told."""

    rank: int
    text: str


SINGLE = Reason(5, "it has a single channel")
UNSIZED = Reason(6, "its size is not known before it runs")
UNEQUAL = Reason(7, "the sizes that meet there differ")


@dataclass(frozen=True)
class Units:
    """What goes or stays as one: the connected components of the linked labels."""

    of: Indices  # label -> unit
    reason: Indices  # unit -> its place in `reasons`; beyond their end: it may go
    reasons: tuple[Reason, ...]

    @property
    def free(self) -> Flags:
        """Return, unit by unit, whether nothing holds it."""
        return np.equal(self.reason, len(self.reasons))

    def why(self, units: Indices) -> Reason | None:
        """Return the first reason why some of the units must stay; null: all may go."""
        first = int(self.reason[units].min(initial=len(self.reasons)))
        return self.reasons[first] if first < len(self.reasons) else None


class Labels:
    """Collects which positions are linked (one goes only with the other) and which are fixed.

    An axis of size 1 is fixed from the start: it is broadcast, or its only channel has to stay.
    """

    def __init__(self, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        self._count = 0
        self._links: list[tuple[Indices, Indices]] = []
        self._fixed: list[tuple[Indices, Reason]] = []
        self._units: Units | None = None
        self._axes = {
            name: tuple(self._new(size) for size in shape) for name, shape in shapes.items()
        }
        self.batched: list[Indices] = []  # along batch axes of products of two activations

    def axes(self, tensor: str) -> Axes:
        """Return the labels of a tensor, axis by axis; none if its shape is not known."""
        return self._axes.get(tensor, ())

    def link(self, left: Axis, right: Axis) -> None:
        """Let positions go only together, pair by pair."""
        if left is None or right is None:
            self.fix([left, right], UNSIZED)
        elif len(left) != len(right):
            self.fix([left, right], UNEQUAL)
        else:
            self._links.append((left, right))
            self._units = None

    def fix(self, axes: Iterable[Axis], reason: Reason) -> None:
        """Make all positions of some axes stay."""
        self._fixed += [(axis, reason) for axis in axes if axis is not None and len(axis)]
        self._units = None

    def units(self) -> Units:
        """Compute the connected components of what was linked so far."""
        if self._units is None:
            self._units = self._compute()
        return self._units

    def _new(self, size: int | None) -> Axis:
        if size is None:
            return None
        labels = np.arange(self._count, self._count + size, dtype=np.int64)
        self._count += size
        if size == 1:
            self.fix([labels], SINGLE)
        return labels

    def _compute(self) -> Units:
        empty = np.empty(0, dtype=np.int64)
        rows = np.concatenate([empty, *(left for left, _ in self._links)])
        columns = np.concatenate([empty, *(right for _, right in self._links)])
        ones = np.ones(len(rows), dtype=bool)
        linked = coo_array((ones, (rows, columns)), shape=(self._count, self._count))
        count, of = connected_components(linked, directed=False)
        ordered = sorted(dict.fromkeys(reason for _, reason in self._fixed), key=lambda r: r.rank)
        rank = {reason: index for index, reason in enumerate(ordered)}
        best = np.full(count, len(ordered))
        for labels, reason in self._fixed:
            np.minimum.at(best, of[labels], rank[reason])
        return Units(of.astype(np.int64), best, tuple(ordered))
