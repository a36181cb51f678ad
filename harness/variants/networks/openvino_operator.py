"""One OpenVINO operator with what is known around it, as the rules for kinds look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.variants.network import Array, Kind, Node
from harness.variants.networks.openvino_model import Model, kind, shape

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Operator:
    """An operator of the model; its inputs and outputs are asked for by position."""

    raw: Any
    model: Model

    @property
    def name(self) -> str:
        """Return the name of the operator."""
        return str(self.raw.get_friendly_name())

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Return the attributes as the file names them."""
        return dict(self.raw.get_attributes())

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs."""
        return tuple(self.model.source(self.raw, at) for at in range(self.raw.get_input_size()))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs."""
        return tuple(self.model.name(output) for output in self.raw.outputs())

    def has(self, at: int) -> bool:
        """Tell whether the input is given."""
        return at < len(self.inputs)

    def fixed(self, at: int) -> bool:
        """Tell whether the input is a constant."""
        return self.has(at) and self.inputs[at] in self.model.constants

    def constant(self, at: int) -> Array | None:
        """Return a constant input's values, null for an absent one or an activation."""
        return self.model.constant(self.inputs[at]) if self.fixed(at) else None

    def integers(self, at: int) -> list[int] | None:
        """Return a constant input as a list."""
        found = self.constant(at)
        return None if found is None else [int(number) for number in np.ravel(found)]

    def shape(self, at: int = 0) -> Shape:
        """Return the shape of an input; `Operator`s of unknown rank get no rule."""
        return shape(self.raw.input_value(at)) or ()

    def result(self, at: int = 0) -> Shape:
        """Return the shape of an output."""
        return shape(self.raw.output(at)) or ()

    @property
    def ranked(self) -> bool:
        """Tell whether the ranks of all inputs and outputs are known."""
        tensors = [*self.raw.input_values(), *self.raw.outputs()]
        return all(shape(tensor) is not None for tensor in tensors)

    def axis(self, axis: int) -> int:
        """Return an axis of the first input, counted from the front."""
        return axis + len(self.shape()) if axis < 0 else axis

    def axes(self, at: int) -> tuple[int, ...] | None:
        """Return the axes that a constant input names, ascending."""
        given = self.integers(at)
        return None if given is None else tuple(sorted({self.axis(axis) for axis in given}))

    def node(self, kind_: Kind, reads: Sequence[int] | None = None, **more: Any) -> Node:
        """Return the neutral node; `reads` are the inputs, by position, that carry values."""
        given = self.inputs if reads is None else tuple(self.inputs[at] for at in reads)
        return Node(self.name, kind(self.raw), kind_, given, self.outputs, **more)
