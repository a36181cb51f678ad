"""The densified twin of a file: the same graph and bytes, but its zero weights refilled.

What runs faster than its twin does so because of zeros, and for no other reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.formats import Array, Stored, UncountableError
from harness.variants.network import Feeds
from harness.variants.outputs import outputs
from harness.variants.patches import patch
from harness.variants.refill import refilled
from harness.variants.zeros import stored

# Nine of ten weights refilled make a layer's outputs three times as large, one with the next. Where
# that overflows, the draws are made smaller.
DAMPING = (1.0, 0.1, 0.01)


def densify(source: Path, format: str, target: Path, feeds: Feeds) -> list[str]:
    """Write the twin and check it; returns notes. Raises InputError.

    Only weights that are zero change, all else stays byte for byte, and the outputs for `feeds` are
    finite. TFLite's sparse tensors become dense ones, without the DENSIFY behind them.
    """
    weights = _weights(source, format)
    _refuse_nothing_to_do(weights, source)
    for damp in DAMPING:
        made = {one.key: refilled(one, damp) for one in weights}
        patch(source, format, target, made)
        found = outputs(target, format, feeds)
        if all(np.isfinite(array).all() for array in found):
            break
    else:
        what, advice = "overflows when its zeros are refilled", "take this variant out of `twins:`"
        raise InputError(what, where=str(source), next_step=advice)
    wrong = differences(source, target, format)
    if wrong:
        raise InputError(f"its twin is no twin: {'; '.join(wrong)}", where=str(source))
    return list(_notes(weights, damp))


def differences(source: Path, twin: Path, format: str) -> list[str]:
    """List what keeps a file from being the densified twin of another; empty when it is one.

    Both, with the source's weights put back in, must be the same bytes. Raises InputError.
    """
    before = {one.key: one for one in _weights(source, format)}
    after = {one.key: one for one in _weights(twin, format)}
    if before.keys() != after.keys():
        return ["its weights are others"]
    wrong = [f"'{one.name}' {why}" for one in before.values() if (why := _wrong(one, after))]
    values = {key: one.values for key, one in before.items()}
    if not wrong and _bytes(source, format, values) != _bytes(twin, format, values):
        wrong.append("more than its weights differs")
    return wrong


def _wrong(one: Stored, after: Mapping[str, Stored]) -> str | None:
    """Say what is wrong with a weight of the twin."""
    now = after[one.key].values
    if (now.shape, now.dtype) != (one.values.shape, one.values.dtype):
        return "has another shape or type"
    empty = np.broadcast_to(one.values == one.zero, one.values.shape)
    if not np.array_equal(now[~empty], one.values[~empty]):
        return "has other values where none was zero"
    if not empty.all() and np.any((now == one.zero) & empty):
        return "still has zeros"
    return None


def _bytes(path: Path, format: str, values: Mapping[str, Array]) -> list[bytes]:
    """Return what a file is with these weights; the graph lies in the first of its files."""
    with tempfile.TemporaryDirectory(prefix="edgeproof-twin-") as folder:
        target = Path(folder) / f"same{path.suffix.lower()}"
        patch(path, format, target, values)
        return [part.read_bytes() for part in sorted(Path(folder).iterdir())]


def _weights(path: Path, format: str) -> list[Stored]:
    try:
        found = stored(path, format)
    except UncountableError as error:
        raise InputError(f"cannot be densified: {error}", where=str(path)) from None
    kept = [one.name for one in found if one.sparse]
    if kept:
        what = f"cannot be densified: '{kept[0]}' is stored in sparse form"
        raise InputError(what, where=str(path), next_step="store its weights densely")
    return found


def _refuse_nothing_to_do(weights: list[Stored], source: Path) -> None:
    if not any(np.any(one.values == one.zero) for one in weights):
        what, advice = "has no zero weights to refill", "take this variant out of `twins:`"
        raise InputError(what, where=str(source), next_step=advice)


def _notes(weights: list[Stored], damp: float) -> list[str]:
    zeros = sum(
        int(np.sum(np.broadcast_to(one.values == one.zero, one.values.shape))) for one in weights
    )
    notes = [f"{zeros:,} zero weights refilled with draws from their layers' other values"]
    if damp != 1:
        notes.append(f"the draws were multiplied by {damp:g}: as they were, outputs overflowed")
    empty = [one.layer for one in weights if np.all(one.values == one.zero)]
    if empty:
        notes.append(f"layers of zeros only stay so: {', '.join(empty)}")
    return notes
