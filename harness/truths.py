"""What is true of the samples of a dataset: their classes, the boxes in them, a class per pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness import arrays
from harness.arrays import bad

Boxes = list[list[list[float]]]  # per sample [class, x1, y1, x2, y2]
NO_BOX = -1
LAST_CLASS = 254  # of a mask; 255 is ignored


@dataclass(frozen=True)
class Truths:
    """One kind of truth about every sample; masks stay in the file, for the agent."""

    kind: str  # labels, boxes or masks
    key: str
    samples: int
    labels: list[int] | None = None
    boxes: Boxes | None = None


def read(path: Path, kind: str, key: str, stream: IO[bytes]) -> Truths:
    """Read and check the truths of a dataset; raises InputError."""
    with stream:
        truths = {"labels": _labels, "boxes": _boxes, "masks": _masks}[kind](path, key, stream)
    if not truths.samples:
        raise bad(path, "holds no samples")
    return truths


def _labels(path: Path, key: str, stream: IO[bytes]) -> Truths:
    shape, dtype = arrays.header(path, key, stream)
    if len(shape) != 1 or dtype.kind not in "iu":
        what = f"needs whole numbers in one dimension in '{key}'"
        raise bad(path, f"{what}; it holds {dtype} of shape {list(shape)}")
    values = arrays.whole(path, key, stream, shape, dtype)
    if values.size and values.min() < 0:
        raise bad(path, f"holds a negative label in '{key}': {values.min()}")
    return Truths("labels", key, len(values), labels=[int(value) for value in values])


def _boxes(path: Path, key: str, stream: IO[bytes]) -> Truths:
    shape, dtype = arrays.header(path, key, stream)
    if len(shape) != 3 or shape[2] != 5:
        what = f"needs [samples, boxes, 5] in '{key}': class, x1, y1, x2, y2"
        raise bad(path, f"{what}; it holds {dtype} of shape {list(shape)}")
    values = arrays.whole(path, key, stream, shape, dtype).astype("float64")
    there = values[values[..., 0] != NO_BOX]
    if ((there[:, 0] < 0) | (there[:, 0] % 1 != 0)).any():
        raise bad(path, f"holds classes in '{key}' that are no whole numbers from 0, nor -1")
    if (there[:, 3:] <= there[:, 1:3]).any():
        raise bad(path, f"holds boxes in '{key}' that end before they begin: x2 > x1 and y2 > y1")
    boxes = [[box.tolist() for box in sample if box[0] != NO_BOX] for sample in values]
    return Truths("boxes", key, len(values), boxes=boxes)


def _masks(path: Path, key: str, stream: IO[bytes]) -> Truths:
    shape, dtype = arrays.header(path, key, stream)
    if len(shape) != 3 or dtype.kind not in "iu":
        what = f"needs whole numbers [samples, height, width] in '{key}'"
        raise bad(path, f"{what}; it holds {dtype} of shape {list(shape)}")
    size = 0
    for values in arrays.pieces(stream, dtype):
        size += values.size
        if values.min() < 0 or values.max() > LAST_CLASS + 1:
            raise bad(path, f"holds classes in '{key}' beyond 0 to {LAST_CLASS}, or 255: ignored")
    if size != shape[0] * shape[1] * shape[2]:
        raise bad(path, f"is cut short in '{key}'")
    return Truths("masks", key, shape[0])
