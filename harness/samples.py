"""Samples as the store keeps them: small, and exactly what was measured."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


def packed(blocks: Sequence[Sequence[int]]) -> bytes:
    """Samples of all blocks as little-endian int64 nanoseconds, bytes shuffled, deflated.

    Shuffling puts the high bytes, nearly all zero, side by side.
    """
    flat = np.concatenate([np.asarray(block, "<i8") for block in blocks] or [np.empty(0, "<i8")])
    shuffled = flat.view(np.uint8).reshape(-1, 8).T
    return zlib.compress(np.ascontiguousarray(shuffled).tobytes(), 3)


def unpacked(data: bytes, lengths: Sequence[int]) -> list[list[int]]:
    """Undo `packed`."""
    shuffled = np.frombuffer(zlib.decompress(data), np.uint8).reshape(8, -1)
    flat = np.ascontiguousarray(shuffled.T).view("<i8").ravel()
    ends = np.cumsum(lengths)[:-1]
    return [block.tolist() for block in np.split(flat, ends)] if lengths else []
