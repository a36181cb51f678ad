"""TFLite's SLICE and STRIDED_SLICE: the positions they pick, and their forms after a cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.variants.network import Indices, Node
from harness.variants.networks.tflite_file import schema
from harness.variants.networks.tflite_model import Model
from harness.variants.networks.tflite_operator import Operator


def sliced(operator: Operator) -> Node | None:
    """Describe a slice: of one axis a gather, of several a mix, of none an identity."""
    ranges = _ranges(operator)
    if ranges is None:
        return None
    cut = [axis for axis, part in enumerate(ranges) if part is not None]
    dropped = _dropped(operator)
    if dropped and [1 << axis for axis in cut] != [dropped]:
        return None
    if not cut:
        return operator.node("identity", [0])
    if len(cut) > 1:
        return operator.node("mix", [0], axes=tuple(cut))
    positions = np.array(ranges[cut[0]], dtype=np.int64)
    return operator.node("gather", [0], axis=cut[0], positions=positions)


def cut_slice(model: Model, raw: Any, axis: int, positions: Indices) -> None:
    """Let a slice pick other positions of an axis."""
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    if not (np.diff(positions) == step).all():
        _become_gather(model, raw, axis, positions)
    elif model.code(raw) == "SLICE":
        set_span(model, raw, axis, int(positions[0]), len(positions))
    else:
        _set_strided(model, raw, axis, int(positions[0]), int(positions[-1]) + step, step)


def set_span(model: Model, raw: Any, axis: int, begin: int, size: int) -> None:
    """Change one axis of a SLICE."""
    for at, value in ((1, begin), (2, size)):
        _set(model, raw, at, axis, value)


def _set_strided(model: Model, raw: Any, axis: int, begin: int, end: int, step: int) -> None:
    options, bit = raw.builtinOptions, 1 << axis
    options.beginMask &= ~bit
    # Backwards to the very first, the end is -1, which would mean the last.
    options.endMask = options.endMask | bit if end < 0 else options.endMask & ~bit
    for at, value in ((1, begin), (2, max(end, 0)), (3, step)):
        _set(model, raw, at, axis, value)


def _set(model: Model, raw: Any, at: int, axis: int, value: int) -> None:
    values = model.constant(int(raw.inputs[at]))
    values[axis] = value
    model.set_parameter(raw, at, values)


def _become_gather(model: Model, raw: Any, axis: int, positions: Indices) -> None:
    options = schema.GatherOptionsT()
    options.axis = axis
    stem = f"{model.names[int(raw.outputs[0])]}_positions"
    picked = model.add(stem, positions.astype(np.int32))
    model.change(raw, "GATHER", [int(raw.inputs[0]), picked], options)


def _dropped(operator: Operator) -> int:
    return operator.options.shrinkAxisMask if operator.code == "STRIDED_SLICE" else 0


def _ranges(operator: Operator) -> list[range | None] | None:
    """Return the positions picked of each axis, null for a whole one; null if not known."""
    spans = _slices(operator) if operator.code == "SLICE" else _strided(operator)
    if spans is None:
        return None
    found: list[range | None] = []
    for span, size in zip(spans, operator.shape(), strict=True):
        if span == slice(None):
            found.append(None)
        elif size is None:
            return None
        else:
            picked = range(*span.indices(size))
            found.append(None if picked == range(size) else picked)
    return found


def _slices(operator: Operator) -> list[slice] | None:
    begins, sizes = operator.integers(1), operator.integers(2)
    if begins is None or sizes is None:
        return None
    return [
        slice(None)
        if begin == 0 and size == -1
        else slice(begin, None if size < 0 else begin + size)
        for begin, size in zip(begins, sizes, strict=True)
    ]


def _strided(operator: Operator) -> list[slice] | None:
    options = operator.options
    parts = [operator.integers(at) for at in (1, 2, 3)]
    if options.ellipsisMask or options.newAxisMask or options.offset:
        return None
    if any(part is None or len(part) != len(operator.shape()) for part in parts):
        return None
    begins, ends, steps = (part or [] for part in parts)
    found = []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << axis
        if options.shrinkAxisMask & bit:
            found.append(slice(begin, begin + 1 or None))
            continue
        first = None if options.beginMask & bit else begin
        last = None if options.endMask & bit else end
        found.append(slice(first, last, None if step == 1 else step))
    return found
