"""One TFLite operator with what is known around it, as the rules for kinds look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.variants.network import Array, Kind, Node
from harness.variants.networks.tflite_model import Model, numbers

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Operator:
    """An operator of the file; its inputs and outputs are asked for by position."""

    raw: Any
    model: Model

    @property
    def name(self) -> str:
        """Return the name of its first output: TFLite's operators have none of their own."""
        if self.outputs:
            return self.outputs[0]
        return f"{self.code}_{self.model.operators.index(self.raw)}"

    @cached_property
    def code(self) -> str:
        """Return what the file calls it."""
        return self.model.code(self.raw)

    @property
    def options(self) -> Any:
        """Return the object of its options."""
        return self.raw.builtinOptions

    @cached_property
    def indices(self) -> tuple[int, ...]:
        """Return the numbers of the inputs, -1 for an optional one that is absent.

        Behind the DEQUANTIZE of a float16 constant is the constant itself.
        """
        given = (int(index) for index in numbers(self.raw.inputs))
        return tuple(self.model.source(index) if index >= 0 else -1 for index in given)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs, "" for an absent one."""
        return tuple(self.model.names[index] if index >= 0 else "" for index in self.indices)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs."""
        return tuple(self.model.names[int(index)] for index in numbers(self.raw.outputs))

    def has(self, at: int) -> bool:
        """Tell whether the input is given."""
        return at < len(self.indices) and self.indices[at] >= 0

    def fixed(self, at: int) -> bool:
        """Tell whether the input is a constant."""
        return self.has(at) and self.model.is_constant(self.indices[at])

    def constant(self, at: int) -> Array | None:
        """Return a constant input's values, null for an absent one or an activation."""
        return self.model.constant(self.indices[at]) if self.fixed(at) else None

    def integers(self, at: int) -> list[int] | None:
        """Return a constant input as a list."""
        values = self.constant(at)
        return None if values is None else [int(number) for number in np.ravel(values)]

    def shape(self, at: int = 0) -> Shape:
        """Return the shape of an input; `Operator`s of unknown rank get no rule."""
        return self.model.shape(self.indices[at]) or ()

    def result(self, at: int = 0) -> Shape:
        """Return the shape of an output."""
        return self.model.shape(int(self.raw.outputs[at])) or ()

    @property
    def ranked(self) -> bool:
        """Tell whether the ranks of all inputs and outputs are known."""
        used = [*self.indices, *(int(index) for index in numbers(self.raw.outputs))]
        return all(self.model.shape(index) is not None for index in used if index >= 0)

    def axis(self, axis: int, at: int = 0) -> int:
        """Return an axis of an input, counted from the front."""
        return axis + len(self.shape(at)) if axis < 0 else axis

    def node(self, kind: Kind, reads: Sequence[int] | None = None, **more: Any) -> Node:
        """Return the neutral node; `reads` are the inputs, by position, that carry values."""
        given = self.inputs
        chosen = given if reads is None else tuple(given[at] for at in reads if at < len(given))
        return Node(self.name, self.code, kind, chosen, self.outputs, **more)
