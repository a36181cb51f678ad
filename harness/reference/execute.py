"""Run one operation in numpy, in double precision and channels first: [batch, channels, ...]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce, singledispatch
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.reference.graph import (
    Activation,
    Concatenation,
    Constant,
    Convolution,
    Elementwise,
    Expectation,
    Flatten,
    GlobalPool,
    Linear,
    MaxPool,
    Operation,
    Resize,
    Split,
    Upscale,
    Weighted,
)

Doubles = npt.NDArray[np.float64]


def product(operation: Weighted, source: Doubles, weight: Doubles) -> Doubles:
    """Return the sums of a convolution or matrix product, without bias and activation."""
    sums: Doubles
    if isinstance(operation, Linear):
        sums = source @ weight.T
    elif isinstance(operation, Upscale):
        sums = np.einsum("oirc,nihw->nohrwc", weight, source, optimize=True)
    else:
        # Sample by sample, because the windows take many times the memory of the sample.
        sums = np.stack([_convolved(operation, sample, weight) for sample in source])
    return sums.reshape(len(source), *operation.output.shape)


def activated(values: Doubles, activation: Activation | None) -> Doubles:
    """Apply an activation."""
    return ACTIVATIONS[activation](values) if activation else values


@singledispatch
def outputs(operation: Operation, *sources: Doubles) -> tuple[Doubles, ...]:
    """Return the outputs of an operation without weights."""
    raise TypeError(f"no rule to run {type(operation).__name__}")


@outputs.register
def _(operation: Constant) -> tuple[Doubles, ...]:
    return (operation.value[None].astype(np.float64),)


@outputs.register
def _(operation: Elementwise, a: Doubles, b: Doubles) -> tuple[Doubles, ...]:
    return (activated(FUNCTIONS[operation.function](a, b), operation.activation),)


@outputs.register
def _(operation: Concatenation, *sources: Doubles) -> tuple[Doubles, ...]:
    return (np.concatenate(sources, 1 if operation.along == "channels" else 2),)


@outputs.register
def _(operation: Split, source: Doubles) -> tuple[Doubles, ...]:
    return tuple(np.split(source, len(operation.outputs), 1))


@outputs.register
def _(operation: MaxPool, source: Doubles) -> tuple[Doubles, ...]:
    return (reduce(np.maximum, _windows(operation, source, outside=-np.inf)),)


@outputs.register
def _(operation: GlobalPool, source: Doubles) -> tuple[Doubles, ...]:
    return (source.mean((2, 3), keepdims=bool(operation.output.positions)),)


@outputs.register
def _(operation: Resize, source: Doubles) -> tuple[Doubles, ...]:
    for axis, (old, new) in enumerate(
        zip(operation.source.positions, operation.output.positions, strict=True), start=2
    ):
        source = _resized(source, axis, old, new, operation.mode)
    return (source,)


@outputs.register
def _(operation: Flatten, source: Doubles) -> tuple[Doubles, ...]:
    return (source.reshape(*source.shape[:2], -1),)


@outputs.register
def _(operation: Expectation, source: Doubles) -> tuple[Doubles, ...]:
    batch, channels, positions = source.shape
    bins = source.reshape(batch, channels // operation.bins, operation.bins, positions)
    powers = np.exp(bins - bins.max(2, keepdims=True))
    shares = powers / powers.sum(2, keepdims=True)
    return ((shares * np.arange(operation.bins)[:, None]).sum(2),)


def _convolved(operation: Convolution, sample: Doubles, weight: Doubles) -> Doubles:
    groups = operation.output.channels if operation.depthwise else 1
    seen = np.stack(list(_windows(operation, sample)), axis=1)
    columns = seen.reshape(groups, -1, prod(operation.output.positions))
    sums: Doubles = weight.reshape(groups, -1, columns.shape[1]) @ columns
    return sums


def _windows(
    operation: Convolution | MaxPool, source: Doubles, outside: float = 0
) -> Iterator[Doubles]:
    """Yield what each place of the window sees as the window moves; rows and columns are last."""
    dilation = operation.dilation if isinstance(operation, Convolution) else 1
    pad, stride = operation.pad, operation.stride
    margins = [(0, 0)] * (source.ndim - 2) + [(pad, pad)] * 2
    wide = np.pad(source, margins, constant_values=outside)
    height, width = operation.output.positions
    for row, column in np.ndindex(operation.kernel, operation.kernel):
        rows = slice(row * dilation, row * dilation + stride * height, stride)
        columns = slice(column * dilation, column * dilation + stride * width, stride)
        yield wide[..., rows, columns]


def _resized(source: Doubles, axis: int, old: int, new: int, mode: str) -> Doubles:
    places = np.arange(new)
    if mode == "nearest":
        return np.take(source, places * old // new, axis)
    exact = np.clip((places + 0.5) * old / new - 0.5, 0, old - 1)
    low = exact.astype(np.int64)
    share = (exact - low).reshape([-1 if at == axis else 1 for at in range(source.ndim)])
    high = np.minimum(low + 1, old - 1)
    return np.take(source, low, axis) * (1 - share) + np.take(source, high, axis) * share


def _sigmoid(values: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-values))


def _hard_sigmoid(values: Doubles) -> Doubles:
    return np.clip(values / 6 + 0.5, 0, 1)


FUNCTIONS: Mapping[str, Callable[[Doubles, Doubles], Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
}
ACTIVATIONS: Mapping[Activation, Callable[[Doubles], Doubles]] = {
    "relu": lambda values: np.maximum(values, 0),
    "relu6": lambda values: np.clip(values, 0, 6),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda values: values * _hard_sigmoid(values),
    "sigmoid": _sigmoid,
    "silu": lambda values: values * _sigmoid(values),
}
