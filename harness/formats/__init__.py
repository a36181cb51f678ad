"""Model files by format: one module each, with `read(path) -> Contents`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt


class UnreadableError(Exception):
    """The file is no model of its format; the message says why."""


class UncountableError(Exception):
    """The file is a model, but its zeros cannot be counted; the message says why."""


@dataclass(frozen=True)
class Port:
    """One input or output of a model as its file declares it."""

    name: str
    dtype: str  # numpy's name, or what numpy has no name for: string, sequence, ...
    shape: tuple[int | None, ...] | None  # None: free; a whole shape of None: unknown rank
    scale: float | None = None  # real = (quantised - zero_point) * scale
    zero_point: int | None = None


@dataclass(frozen=True)
class Contents:
    """What a model file holds, as far as the host needs to know."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sparsity: float | None
    reason: str | None  # why sparsity is null, or what is wrong with the weights
    companions: tuple[str, ...] = ()  # suffixes of the files beside it that belong to the model


Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """One weight tensor as the file stores it, and how the operator that multiplies by it sees it.

    `matrix` turns an array of the shape of `values` into [outputs, kernel positions, inputs]; null:
    the file does not tell which axes are which.
    """

    key: str  # names the constant in its file, however its format names constants
    name: str
    layer: str  # the operator
    values: Array  # of a sparse tensor only what it stores
    zero: Any  # what stands for zero; broadcasts against `values`
    size: int  # elements, with those that a sparse tensor does not store
    matrix: Callable[[Array], Array] | None = None
    uses: int | None = None  # how often one sample multiplies by each element; null: not known

    @property
    def sparse(self) -> bool:
        """Return whether zeros are left out of the file."""
        return self.values.size != self.size


@dataclass(frozen=True)
class Axes:
    """Which axes of a weight count outputs and inputs; the others are the window of a kernel."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]

    def matrix(self, values: Array) -> Array:
        """Turn a weight into [outputs, kernel positions, inputs]."""
        kernel = [at for at in range(values.ndim) if at not in (*self.outputs, *self.inputs)]
        rows, columns = self._length(values, self.outputs), self._length(values, self.inputs)
        ordered = values.transpose(*self.outputs, *kernel, *self.inputs)
        return ordered.reshape(rows, -1, columns)

    @staticmethod
    def _length(values: Array, axes: tuple[int, ...]) -> int:
        return math.prod(values.shape[axis] for axis in axes)


@dataclass(frozen=True)
class Weight:
    """How many elements of one weight tensor stand for zero."""

    name: str
    zeros: int
    size: int
    finite: bool = True


def for_one_sample(stored: Iterable[Stored], batch: int) -> list[Stored]:
    """Divide the uses of weights by a batch that they were counted for."""
    return [
        replace(one, uses=None if one.uses is None or one.uses % batch else one.uses // batch)
        for one in stored
    ]


def count(stored: Stored) -> Weight:
    """Count a tensor's zeros. A sparse tensor stores only some elements: the rest are zeros."""
    values = stored.values
    stored_zeros = int(np.count_nonzero(values == stored.zero))
    finite = bool(np.isfinite(values).all()) if values.dtype.kind == "f" else True
    return Weight(stored.name, stored.size - values.size + stored_zeros, stored.size, finite)


def summarise(
    inputs: Iterable[Port],
    outputs: Iterable[Port],
    weights: Iterable[Stored],
    companions: tuple[str, ...] = (),
) -> Contents:
    """Make the contents of a file from its ports and its weights, counted one by one."""
    try:
        sparsity, reason = _share([count(one) for one in weights])
    except UncountableError as error:
        sparsity, reason = None, str(error)
    return Contents(tuple(inputs), tuple(outputs), sparsity, reason, companions)


def _share(weights: Sequence[Weight]) -> tuple[float | None, str | None]:
    total = sum(weight.size for weight in weights)
    if not total:
        return None, "no weights of a convolution or matrix product found"
    spoiled = [weight.name for weight in weights if not weight.finite]
    reason = f"NaN or infinite weights in {', '.join(spoiled[:3])}" if spoiled else None
    if reason and len(spoiled) > 3:
        reason += f" and {len(spoiled) - 3} more"
    return sum(weight.zeros for weight in weights) / total, reason
