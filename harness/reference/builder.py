"""The interface that a network is written against: each call adds an operation to its graph."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Literal

from harness.reference.graph import (
    Activation,
    Array,
    Concatenation,
    Constant,
    Convolution,
    Elementwise,
    Expectation,
    Flatten,
    GlobalPool,
    Graph,
    Linear,
    MaxPool,
    Operation,
    Resize,
    Split,
    Tensor,
    Upscale,
)


class Builder:
    """A graph under construction. Output tensors bear the name of their operation."""

    def __init__(self, channels: int, size: int) -> None:
        self.x = Tensor("x", channels, (size, size))
        self._operations: list[Operation] = []

    def finish(self, *outputs: Tensor, names: tuple[str, ...] = ("y",)) -> Graph:
        """Return the graph with its outputs under the names that the files show."""
        renamed = dict(zip((tensor.name for tensor in outputs), names, strict=True))
        operations = tuple(_renamed(operation, renamed) for operation in self._operations)
        shown = tuple(Tensor(renamed[it.name], it.channels, it.positions) for it in outputs)
        return Graph(self.x, shown, operations)

    def conv(
        self,
        name: str,
        source: Tensor,
        channels: int,
        kernel: int = 1,
        activation: Activation | None = None,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> Tensor:
        """Add a convolution over all channels, with its folded normalisation and activation."""
        output = self._convolved(name, source, channels, stride)
        return self._add(
            Convolution(name, (source,), (output,), kernel, stride, dilation, False, activation)
        )

    def depthwise(
        self,
        name: str,
        source: Tensor,
        kernel: int,
        activation: Activation | None = None,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> Tensor:
        """Add a convolution of each channel by itself."""
        output = self._convolved(name, source, source.channels, stride)
        return self._add(
            Convolution(name, (source,), (output,), kernel, stride, dilation, True, activation)
        )

    def linear(self, name: str, source: Tensor, channels: int) -> Tensor:
        """Add a matrix product."""
        return self._add(Linear(name, (source,), (Tensor(name, channels, ()),)))

    def upscale(self, name: str, source: Tensor, channels: int, factor: int) -> Tensor:
        """Add a transposed convolution that makes the map `factor` times as large."""
        height, width = source.positions
        output = Tensor(name, channels, (factor * height, factor * width))
        return self._add(Upscale(name, (source,), (output,), factor))

    def constant(self, name: str, value: Array) -> Tensor:
        """Add fixed numbers, channels first."""
        output = Tensor(name, value.shape[0], value.shape[1:])
        return self._add(Constant(name, (), (output,), value))

    def add(self, name: str, a: Tensor, b: Tensor, activation: Activation | None = None) -> Tensor:
        """Add a sum."""
        return self._elementwise(name, a, b, "add", activation)

    def subtract(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """Add a difference."""
        return self._elementwise(name, a, b, "subtract", None)

    def multiply(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """Add a product, value by value; `b` may have one position for all, as an excitation."""
        return self._elementwise(name, a, b, "multiply", None)

    def concat(self, name: str, *sources: Tensor) -> Tensor:
        """Add a concatenation of channels."""
        output = Tensor(name, sum(it.channels for it in sources), sources[0].positions)
        return self._add(Concatenation(name, sources, (output,), "channels"))

    def join(self, name: str, *sources: Tensor) -> Tensor:
        """Add a concatenation of positions, of which each source has one axis."""
        positions = sum(it.positions[0] for it in sources)
        output = Tensor(name, sources[0].channels, (positions,))
        return self._add(Concatenation(name, sources, (output,), "positions"))

    def split(self, name: str, source: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Cut the channels into equal parts."""
        width = source.channels // parts
        outputs = tuple(Tensor(f"{name}.{at}", width, source.positions) for at in range(parts))
        self._add(Split(name, (source,), outputs))
        return outputs

    def max_pool(self, name: str, source: Tensor, kernel: int, stride: int = 1) -> Tensor:
        """Add a maximum pooling."""
        output = Tensor(name, source.channels, _strided(source, stride))
        return self._add(MaxPool(name, (source,), (output,), kernel, stride))

    def global_pool(self, name: str, source: Tensor, *, keep: bool = False) -> Tensor:
        """Add the mean over all positions; `keep` leaves a map of one position."""
        output = Tensor(name, source.channels, (1, 1) if keep else ())
        return self._add(GlobalPool(name, (source,), (output,)))

    def resize(
        self,
        name: str,
        source: Tensor,
        positions: tuple[int, ...],
        mode: Literal["nearest", "bilinear"],
    ) -> Tensor:
        """Add a change of the map's size."""
        return self._add(Resize(name, (source,), (Tensor(name, source.channels, positions),), mode))

    def flatten(self, name: str, source: Tensor) -> Tensor:
        """Make one axis of all positions."""
        output = Tensor(name, source.channels, (prod(source.positions),))
        return self._add(Flatten(name, (source,), (output,)))

    def expectation(self, name: str, source: Tensor, bins: int) -> Tensor:
        """Add the means of distributions over `bins` consecutive channels each."""
        output = Tensor(name, source.channels // bins, source.positions)
        return self._add(Expectation(name, (source,), (output,), bins))

    def _elementwise(
        self,
        name: str,
        a: Tensor,
        b: Tensor,
        function: Literal["add", "subtract", "multiply"],
        activation: Activation | None,
    ) -> Tensor:
        output = Tensor(name, a.channels, a.positions)
        return self._add(Elementwise(name, (a, b), (output,), function, activation))

    def _convolved(self, name: str, source: Tensor, channels: int, stride: int) -> Tensor:
        return Tensor(name, channels, _strided(source, stride))

    def _add(self, operation: Operation) -> Tensor:
        self._operations.append(operation)
        return operation.output


def _strided(source: Tensor, stride: int) -> tuple[int, ...]:
    # Odd windows padded by half their size on both sides leave a position for each stride begun.
    return tuple(-(-size // stride) for size in source.positions)


def _renamed(operation: Operation, names: dict[str, str]) -> Operation:
    def rename(tensor: Tensor) -> Tensor:
        return replace(tensor, name=names.get(tensor.name, tensor.name))

    inputs, outputs = map(rename, operation.inputs), map(rename, operation.outputs)
    return replace(operation, inputs=tuple(inputs), outputs=tuple(outputs))
