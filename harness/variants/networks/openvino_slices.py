"""OpenVINO's StridedSlice and Slice: the positions they pick, and their forms after a cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset13 as ops

from harness.variants.network import Indices, Node
from harness.variants.networks.openvino_model import Model, kind
from harness.variants.networks.openvino_operator import Operator


def sliced(operator: Operator) -> Node | None:
    """Describe a slice: of one axis a gather, of several a mix, of none an identity."""
    spans = _slices(operator) if kind(operator.raw) == "Slice" else _strided(operator)
    if spans is None:
        return None
    cut: dict[int, range] = {}
    for axis, (span, size) in enumerate(zip(spans, operator.shape(), strict=True)):
        if span == slice(None):
            continue
        if size is None:
            return None
        picked = range(*span.indices(size))
        if picked != range(size):
            cut[axis] = picked
    return _described(operator, cut)


def cut_slice(model: Model, raw: Any, axis: int, positions: Indices) -> None:
    """Let a slice of one axis pick other positions: as a Slice, or a Gather if it must."""
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    data = raw.input_value(0)
    if (np.diff(positions) == step).all():
        # Backwards to the very first, the end is before all positions.
        end = int(positions[-1]) + step
        end = end if end >= 0 else np.iinfo(np.int64).min
        limits = [ops.constant(np.array([n], np.int64)) for n in (positions[0], end, step, axis)]
        made = ops.slice(data, *limits)
    else:
        order = ops.constant(positions.astype(np.int64))
        made = ops.gather(data, order, ops.constant(np.int64(axis)))
    model.exchange(raw, made)


def _described(operator: Operator, cut: dict[int, range]) -> Node | None:
    rank = len(operator.result())
    if rank != len(operator.shape()) and (len(cut) != 1 or rank != len(operator.shape()) - 1):
        return None
    if not cut:
        return operator.node("identity", [0])
    if len(cut) > 1:
        return operator.node("mix", [0], axes=tuple(cut))
    ((axis, picked),) = cut.items()
    positions = np.array(picked, dtype=np.int64)
    return operator.node("gather", [0], axis=axis, positions=positions)


def _slices(operator: Operator) -> list[slice] | None:
    begins, ends, steps = (operator.integers(at) for at in (1, 2, 3))
    if begins is None or ends is None or steps is None:
        return None
    axes = operator.integers(4) if operator.has(4) else list(range(len(begins)))
    if axes is None:
        return None
    spans = [slice(None)] * len(operator.shape())
    for axis, begin, end, step in zip(axes, begins, ends, steps, strict=True):
        spans[operator.axis(axis)] = _span(begin, end, step, operator.shape()[operator.axis(axis)])
    return spans


def _strided(operator: Operator) -> list[slice] | None:
    attributes = operator.attributes
    if any(attributes["ellipsis_mask"]) or any(attributes["new_axis_mask"]):
        return None
    begins, ends = operator.integers(1), operator.integers(2)
    if begins is None or ends is None or (operator.has(3) and not operator.fixed(3)):
        return None
    steps = (operator.integers(3) if operator.has(3) else None) or [1] * len(begins)
    masks = [_mask(operator, name) for name in ("begin_mask", "end_mask", "shrink_axis_mask")]
    spans = [slice(None)] * len(operator.shape())
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        first, last, shrink = (mask[axis] for mask in masks)
        if shrink:
            spans[axis] = slice(begin, begin + 1 or None)
        elif first or last:
            span = slice(None if first else begin, None if last else end, step)
            spans[axis] = slice(None) if first and last and step == 1 else span
        else:
            spans[axis] = _span(begin, end, step, operator.shape()[axis])
    # An axis of one position that is dropped is cut, however whole.
    dropped = sum(masks[2])
    return None if dropped > 1 or (dropped and _whole_dropped(operator, masks[2])) else spans


def _whole_dropped(operator: Operator, shrink: list[int]) -> bool:
    return operator.shape()[shrink.index(1)] == 1


def _mask(operator: Operator, name: str) -> list[int]:
    given = [int(bit) for bit in operator.attributes[name]]
    return given + [0] * (len(operator.shape()) - len(given))


def _span(begin: int, end: int, step: int, size: int | None) -> slice:
    """Return a slice; the whole of an axis is told even where its size is free."""
    if step == 1 and begin == 0 and (end >= np.iinfo(np.int32).max or end == size):
        return slice(None)
    return slice(begin, end, step)
