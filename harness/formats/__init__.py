"""Model files by format: one module each, with `read(path) -> Contents`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Weight:
    """How many elements of one weight tensor stand for zero."""

    name: str
    zeros: int
    size: int
    finite: bool = True


def count(name: str, values: npt.NDArray[Any], zero: Any = 0, size: int | None = None) -> Weight:
    """Count a tensor's zeros; `zero` broadcasts against it.

    A sparse tensor stores only some of its `size` elements: the rest are zeros.
    """
    stored_zeros = int(np.count_nonzero(values == zero))
    total = values.size if size is None else size
    finite = bool(np.isfinite(values).all()) if values.dtype.kind == "f" else True
    return Weight(name, total - values.size + stored_zeros, total, finite)


def summarise(
    inputs: Iterable[Port], outputs: Iterable[Port], weights: Iterable[Weight]
) -> Contents:
    """Make the contents of a file from its ports and its weights, counted one by one."""
    try:
        sparsity, reason = _share(list(weights))
    except UncountableError as error:
        sparsity, reason = None, str(error)
    return Contents(tuple(inputs), tuple(outputs), sparsity, reason)


def _share(weights: Sequence[Weight]) -> tuple[float | None, str | None]:
    total = sum(weight.size for weight in weights)
    if not total:
        return None, "no weights of a convolution or matrix product found"
    spoiled = [weight.name for weight in weights if not weight.finite]
    reason = f"NaN or infinite weights in {', '.join(spoiled[:3])}" if spoiled else None
    if reason and len(spoiled) > 3:
        reason += f" and {len(spoiled) - 3} more"
    return sum(weight.zeros for weight in weights) / total, reason
