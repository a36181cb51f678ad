"""Arrays of an .npz file as the host reads them: in pieces, and nothing taken on trust."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from harness.errors import InputError

CHUNK = 1 << 22
# The device keeps the whole of it in memory.
MAX_BYTES = 4 << 30
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def bad(path: Path, what: str, advice: str | None = None) -> InputError:
    """Return the error about a dataset."""
    return InputError(f"the dataset {what}", where=str(path), next_step=advice)


def header(path: Path, key: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type; raises InputError for what a device could not read."""
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = HEADERS[version](stream)
    except (ValueError, KeyError, SyntaxError, TypeError):
        raise bad(path, f"holds a damaged array '{key}'") from None
    if dtype.kind not in "fiub":
        raise bad(path, f"holds values of type {dtype} in '{key}'; numbers are needed")
    if fortran and len(shape) > 1:
        what = f"holds '{key}' in Fortran order, which a device cannot read row by row"
        raise bad(path, what, f"store numpy.ascontiguousarray({key})")
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise bad(path, f"holds {size >> 30} GiB in '{key}', more than a device can keep")
    return tuple(shape), dtype


def pieces(stream: IO[bytes], dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the values after the header, flat, some megabytes at a time."""
    rest = b""
    while chunk := stream.read(CHUNK):
        data = rest + chunk
        whole = len(data) - len(data) % dtype.itemsize
        rest = data[whole:]
        yield np.frombuffer(data[:whole], dtype)


def check_finite(
    path: Path, key: str, stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Read the whole array: it must be complete and finite."""
    size = 0
    for values in pieces(stream, dtype):
        size += values.size
        if dtype.kind == "f" and not np.isfinite(values).all():
            raise bad(path, f"holds NaN or infinite values in '{key}'")
    if size != math.prod(shape):
        raise bad(path, f"is cut short in '{key}'")


def whole(
    path: Path, key: str, stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Read the values after the header at once; they must be complete and finite."""
    values = np.concatenate([np.empty(0, dtype), *pieces(stream, dtype)])
    if values.size != math.prod(shape):
        raise bad(path, f"is cut short in '{key}'")
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise bad(path, f"holds NaN or infinite values in '{key}'")
    return values.reshape(shape)
