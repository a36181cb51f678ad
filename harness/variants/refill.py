"""Zeros of a weight refilled with values like its others: what a densified twin is made of."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from harness.formats import Array, Stored

SEED = 20_261_121


def refilled(one: Stored, damp: float = 1.0) -> Array:
    """Return the weight with each zero replaced by a seeded draw from its values that are not zero.

    Draws are of the stored numbers, as distances from what stands for zero; all others stay. Those
    of floating-point weights are multiplied by `damp`. A weight of zeros only stays as it is.
    """
    empty = np.broadcast_to(one.values == one.zero, one.values.shape)
    if not empty.any() or empty.all():
        return one.values.copy()
    rng = np.random.default_rng([SEED, zlib.crc32(one.key.encode())])
    whole = one.values.dtype.kind in "iu"
    made = one.values.copy()
    zero = np.broadcast_to(np.asarray(one.zero), one.values.shape)
    given = one.values[~empty]
    if not whole:
        drawn = rng.choice(given, int(empty.sum()))
        made[empty] = _damped(drawn, damp)
        return made
    drawn = rng.choice(given.astype(np.int64) - zero[~empty], int(empty.sum()))
    made[empty] = _within(zero[empty].astype(np.int64), drawn, one.values.dtype)
    return made


def _damped(drawn: Array, damp: float) -> Array:
    """Make draws smaller, but none of them zero."""
    smaller = (drawn * damp).astype(drawn.dtype)
    found: Array = np.where(smaller == 0, drawn, smaller)
    return found


def _within(zero: Array, drawn: Array, dtype: np.dtype[Any]) -> Array:
    """Add draws to zero points; what leaves the type's range goes to the other side of the zero."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    made = zero + drawn
    outside = (made < least) | (made > most)
    return np.clip(np.where(outside, zero - drawn, made), least, most).astype(dtype)
