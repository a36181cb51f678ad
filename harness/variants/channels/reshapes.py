"""Reshapes: which axes become one, or fall apart, and which of them carries the channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.variants.channels.labels import Axis, Flags, Labels, Reason
from harness.variants.network import Indices

Shape = Sequence[int | None]


@dataclass(frozen=True, eq=False)
class Merge:
    """Several axes on one side of a reshape that are a single one on the other, in row order."""

    axes: tuple[Indices, ...]
    flat: Indices
    reason: Reason  # why the axes that do not carry the channels must stay

    def carry(self, labels: Labels, carrier: int) -> None:
        """Link each position of the single axis to its position of the carrier; fix the others."""
        sizes = [len(axis) for axis in self.axes]
        along = np.indices(sizes)[carrier].reshape(-1)
        labels.link(self.flat, self.axes[carrier][along])
        labels.fix((axis for i, axis in enumerate(self.axes) if i != carrier), self.reason)

    def fix(self, labels: Labels) -> None:
        """Make everything stay."""
        labels.fix([self.flat, *self.axes], self.reason)


def couple(labels: Labels, before: str, after: str, reason: Reason) -> list[Merge]:
    """Link the axes that a reshape leaves alone; return those that it merges or splits."""
    source, target = labels.axes(before), labels.axes(after)
    merges = []
    settled: tuple[set[int], set[int]] = (set(), set())
    for left, right in aligned(_sizes(source), _sizes(target)):
        settled[0].update(left)
        settled[1].update(right)
        many, one = (left, right) if len(left) > 1 else (right, left)
        many_axes, one_axes = (source, target) if len(left) > 1 else (target, source)
        parts = tuple(axis for i in many if (axis := many_axes[i]) is not None)
        flat = one_axes[one[0]]
        if len(one) > 1 or flat is None:
            labels.fix([*parts, *(one_axes[i] for i in one)], reason)
        elif len(parts) == 1:
            labels.link(parts[0], flat)
        else:
            merges.append(Merge(parts, flat, reason))
    for axes, done in zip((source, target), settled, strict=True):
        labels.fix((axis for i, axis in enumerate(axes) if i not in done), reason)
    return merges


def settle(labels: Labels, merges: Sequence[Merge]) -> None:
    """Decide for every merge which of its axes carries the channels.

    Where all axes but one are fixed, it is that one (flatten C, H, W). Else it is the axis that a
    product of two activations is batched over (attention heads), or the longest one; such choices
    are made one at a time, as each may decide the next.
    """
    waiting = list(merges)
    while waiting:
        free = _free(labels)
        plain = [merge for merge in waiting if _is_plain(merge, free)]
        for merge in plain:
            carriers = [i for i, axis in enumerate(merge.axes) if free[axis].any()]
            if len(carriers) == 1 and free[merge.flat].any():
                merge.carry(labels, carriers[0])
            else:
                merge.fix(labels)
        waiting = [merge for merge in waiting if merge not in plain]
        if not plain:
            chosen = waiting.pop(0)
            chosen.carry(labels, _carrier(labels, chosen, free))


def aligned(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """List the smallest runs of axes that hold the same values in the same order.

    Axes of size 1 belong to none. Runs are matched from both ends as far as sizes are known: the
    values keep their order, so an unknown size between them does not matter.
    """
    left = [i for i, size in enumerate(before) if size != 1]
    right = [i for i, size in enumerate(after) if size != 1]
    runs = []
    for end in (1, -1):
        ordered = left[::end], right[::end]
        sizes = [before[i] for i in ordered[0]], [after[i] for i in ordered[1]]
        for i, j in list(_runs(*sizes)):
            runs.append((sorted(ordered[0][slice(*i)]), sorted(ordered[1][slice(*j)])))
        left = [i for i in left if all(i not in run for run, _ in runs)]
        right = [i for i in right if all(i not in run for _, run in runs)]
    return runs


def _runs(left: Shape, right: Shape) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield the ranges of axes, left and right, with as many values, from the first axis on."""
    starts, ends, values = [0, 0], [0, 0], [1, 1]
    while True:
        # The side with fewer values takes its next axis.
        side = 0 if values[0] <= values[1] else 1
        sizes = (left, right)[side]
        if ends[side] == len(sizes):
            return
        size = sizes[ends[side]]
        if size is None:
            return
        values[side] *= size
        ends[side] += 1
        if values[0] == values[1]:
            yield (starts[0], ends[0]), (starts[1], ends[1])
            starts, values = list(ends), [1, 1]


def _sizes(axes: Sequence[Axis]) -> list[int | None]:
    return [None if axis is None else len(axis) for axis in axes]


def _free(labels: Labels) -> Flags:
    units = labels.units()
    return units.free[units.of]


def _is_plain(merge: Merge, free: Flags) -> bool:
    carriers = sum(bool(free[axis].any()) for axis in merge.axes)
    return carriers <= 1 or not free[merge.flat].any()


def _carrier(labels: Labels, merge: Merge, free: Flags) -> int:
    units = labels.units()
    empty = np.empty(0, dtype=np.int64)
    batched = np.unique(units.of[np.concatenate([empty, *labels.batched])])
    candidates = [i for i, axis in enumerate(merge.axes) if free[axis].any()]
    heads = [i for i in candidates if np.isin(units.of[merge.axes[i]], batched).any()]
    return (heads or sorted(candidates, key=lambda i: -len(merge.axes[i])))[0]
