"""Which axes of a sample are places (rows, columns, time) and which one holds its channels."""

from __future__ import annotations

from typing import List, Optional, Sequence

MOST_CHANNELS = 4


def channel_axis(shape: Sequence[int]) -> Optional[int]:
    """Find the axis of channels of one sample (no batch); null when it has one channel, unnamed.

    A vector's values are channels, without an order. Of two axes ([time, frequency], [rows,
    columns]) one is channels only when it is no longer than 4, the last before the first. Of more
    axes it is the last or the first, whichever is shorter; the last when they are equal.
    """
    last = len(shape) - 1
    if last < 1:
        return last if last == 0 else None
    if last == 1 and min(shape) > MOST_CHANNELS:
        return None
    return 0 if shape[0] < shape[last] else last


def spatial_axes(shape: Sequence[int]) -> List[int]:
    """List the axes along which neighbours of one sample belong together; none in a vector."""
    channels = channel_axis(shape)
    return [axis for axis in range(len(shape)) if axis != channels]
