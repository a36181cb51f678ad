"""Samples as the inputs of a model take them: one at a time, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.errors import InputError
from harness.formats import Port
from harness.variants.network import Array, Feeds
from harness.variants.outputs import matched


def one_by_one(ports: Sequence[Port], feeds: Feeds, where: str) -> Iterator[list[Array]]:
    """Yield each sample as arrays for the inputs, in their order and type.

    A fixed batch is filled with copies of the sample. Raises InputError for what does not fit.
    """
    arrays = matched(ports, feeds, where)
    for at in range(len(arrays[0])):
        yield [_fed(port, array[at], where) for port, array in zip(ports, arrays, strict=True)]


def batch(ports: Sequence[Port]) -> int:
    """Return how many copies of a sample fill the inputs."""
    return next((port.shape[0] or 1 for port in ports if port.shape), 1)


def first(values: Array, batch: int) -> Array:
    """Return what was computed of the first of `batch` copies."""
    return values[:1] if values.shape[:1] == (batch,) else values


def _fed(port: Port, sample: Array, where: str) -> Array:
    shape = (None, *sample.shape) if port.shape is None else port.shape
    sizes = sample.shape if len(shape) == sample.ndim else (shape[0] or 1, *sample.shape)
    whole = tuple(own or size for own, size in zip(shape, sizes, strict=False))
    if len(shape) != len(sizes) or whole != tuple(sizes):
        wanted = ["free" if size is None else size for size in shape]
        raise InputError(
            f"a sample of '{port.name}' is {list(sample.shape)}; the input is {wanted}",
            where=where,
        )
    return np.ascontiguousarray(np.broadcast_to(sample, whole), dtype=np.dtype(port.dtype))
