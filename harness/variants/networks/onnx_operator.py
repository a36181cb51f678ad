"""One ONNX operator with what is known around it, as the rules for kinds look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx

from harness.variants.network import Array, Kind, Node
from harness.variants.networks.onnx_file import File, Shape, reads


@dataclass(frozen=True)
class Operator:
    """A node of the file; its inputs and outputs are asked for by position."""

    proto: Any
    file: File

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs, "" for an optional one that is absent."""
        return tuple(self.proto.input)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs, without those that are absent at the end."""
        return tuple(name for name in self.proto.output if name)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Return the attributes; texts are bytes, as ONNX keeps them."""
        return {item.name: onnx.helper.get_attribute_value(item) for item in self.proto.attribute}

    def number(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.attributes.get(name, default))

    def has(self, at: int) -> bool:
        """Tell whether the input is given."""
        return at < len(self.inputs) and self.inputs[at] != ""

    def fixed(self, *positions: int) -> bool:
        """Tell whether these inputs are constants; absent ones count as such."""
        return all(not self.has(at) or self.inputs[at] in self.file.constants for at in positions)

    def constant(self, at: int) -> Array | None:
        """Return a constant input's values, null for an absent one or an activation."""
        given = self.has(at) and self.inputs[at] in self.file.constants
        return self.file.constant(self.inputs[at]) if given else None

    def integers(self, name: str, at: int) -> list[int] | None:
        """Return a list that old versions keep as an attribute and newer ones as an input."""
        if name in self.attributes:
            return [int(number) for number in self.attributes[name]]
        values = self.constant(at)
        return None if values is None else [int(number) for number in np.ravel(values)]

    def shape(self, at: int = 0) -> Shape:
        """Return the shape of an input; `Operator`s of unknown rank get no rule."""
        return self.file.shape(self.inputs[at]) or ()

    @property
    def result(self) -> Shape:
        """Return the shape of the first output."""
        return self.file.shape(self.outputs[0]) or ()

    @property
    def rank(self) -> int:
        """Return the rank of the first input."""
        return len(self.shape())

    def axis(self, axis: int) -> int:
        """Return an axis of the first input, counted from the front."""
        return axis + self.rank if axis < 0 else axis

    @property
    def ranked(self) -> bool:
        """Tell whether the ranks of all inputs and outputs are known."""
        names = [name for name in (*self.inputs, *self.outputs) if name]
        return all(self.file.shape(name) is not None for name in names)

    def node(self, kind: Kind, inputs: tuple[str, ...] | None = None, **more: Any) -> Node:
        """Return the neutral node; `inputs` where some only state sizes."""
        given = self.inputs if inputs is None else inputs
        return Node(self.proto.name, self.proto.op_type, kind, given, self.outputs, **more)

    def from_data(self, kind: Kind, **more: Any) -> Node:
        """Return the neutral node of an operator whose other inputs only state sizes."""
        return self.node(kind, self.inputs[:1], **more)

    def unknown(self) -> Node:
        """Return the node of which nothing is known but what it touches."""
        touched = tuple(dict.fromkeys(reads(self.proto)))
        return Node(self.proto.name, self.proto.op_type, "unknown", touched, self.outputs)
