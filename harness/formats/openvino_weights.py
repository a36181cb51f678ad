"""The weights of an OpenVINO IR, found in its .xml: where in the .bin, and who uses them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from harness.formats import Array, Axes, Stored, UncountableError, UnreadableError

TYPES = {
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
}
# Operator -> positions of its weight inputs.
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Convolution": (1,),
    "ConvolutionBackpropData": (1,),
    "GroupConvolution": (1,),
    "GroupConvolutionBackpropData": (1,),
    "MatMul": (0, 1),
}
AXES = {
    "Convolution": Axes((0,), (1,)),
    "ConvolutionBackpropData": Axes((1,), (0,)),
    "GroupConvolution": Axes((0, 1), (2,)),
    "GroupConvolutionBackpropData": Axes((0, 2), (1,)),
}
# Between a constant and its consumer; its zeros stay zeros. Subtract takes the zero point away.
TRANSPARENT = ("Convert", "FakeQuantize", "Multiply", "Reshape", "Subtract", "Transpose")
MOST_BETWEEN = 16  # only guards against a cycle, which no valid graph has
Turn = Callable[[Array], Array]


@dataclass(frozen=True)
class _Layer:
    """One operator of the .xml."""

    id: str
    name: str
    type: str
    data: Mapping[str, str]
    shapes: tuple[tuple[int, ...], ...]  # of its inputs; -1 is free
    output: tuple[int, ...]


def weights(root: ElementTree.Element, constants: Path) -> Iterator[Stored]:
    """Yield each constant that a convolution or matrix product uses, once."""
    layers = {one.id: one for one in map(_layer, root.findall("./layers/layer"))}
    makers = {
        (edge.get("to-layer", ""), int(edge.get("to-port", "0"))): edge.get("from-layer", "")
        for edge in root.findall("./edges/edge")
    }
    reader, seen = _Reader(layers, makers, constants), set[str]()
    merged = any(_merges(layer) for layer in layers.values())
    for layer in layers.values():
        for at in WEIGHTS.get(layer.type, ()):
            found = reader.weight(layer, at, merged)
            if found is not None and found.key not in seen:
                seen.add(found.key)
                yield found


@dataclass(frozen=True)
class _Reader:
    layers: Mapping[str, _Layer]
    makers: Mapping[tuple[str, int], str]
    constants: Path

    def weight(self, reader: _Layer, at: int, merged: bool) -> Stored | None:
        """Follow a weight input back to its constant; null when it is an activation."""
        turns: list[Turn | None] = []
        zero: Array | None = None
        layer = self.layers[self.makers[reader.id, at]]
        while layer.type in TRANSPARENT:
            if len(turns) > MOST_BETWEEN:
                raise ValueError("an operator reads its own output")
            turns.append(self._turn(layer))
            if layer.type == "Subtract":
                zero = self._constant(self.layers[self.makers[layer.id, 1]])
            layer = self.layers[self.makers[layer.id, 0]]
        values = self._constant(layer)
        if values is None or values.ndim < 2:
            return None
        seen_as = _axes(reader, at)
        whole = None if seen_as is None or None in turns else _after(turns, seen_as)
        return Stored(
            key=f"{layer.data['offset']}+{layer.data['size']}",
            name=layer.name,
            layer=reader.name,
            values=values,
            zero=0 if zero is None else zero,
            size=values.size,
            matrix=whole,
            uses=_uses(reader, seen_as, at, merged),
        )

    def _turn(self, layer: _Layer) -> Turn | None:
        """Return what an operator does to the axes; null if that is not known."""
        if layer.type == "Reshape":
            shape = layer.output
            return (lambda values: values.reshape(shape)) if min(shape, default=1) > 0 else None
        if layer.type == "Transpose":
            order = self._constant(self.layers[self.makers[layer.id, 1]])
            return None if order is None else (lambda values: values.transpose(*order))
        return lambda values: values

    def _constant(self, layer: _Layer) -> Array | None:
        if layer.type == "Convert":
            layer = self.layers[self.makers[layer.id, 0]]
        if layer.type != "Const":
            return None
        element = layer.data.get("element_type", "")
        if element not in TYPES:
            raise UncountableError(f"weights of type {element} in '{layer.name}' are not counted")
        shape = tuple(int(size) for size in layer.data.get("shape", "").split(",") if size.strip())
        count, dtype = math.prod(shape), np.dtype(TYPES[element])
        offset = int(layer.data["offset"])
        if offset + count * dtype.itemsize > self.constants.stat().st_size:
            raise UnreadableError(f"has a {self.constants.name} that is cut short")
        return np.fromfile(self.constants, dtype, count, offset=offset).reshape(shape)


def _layer(element: ElementTree.Element) -> _Layer:
    data = element.find("data")
    outputs = [_dims(port) for port in element.findall("./output/port")]
    return _Layer(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        data=dict(data.attrib) if data is not None else {},
        shapes=tuple(_dims(port) for port in element.findall("./input/port")),
        output=outputs[0] if outputs else (),
    )


def _dims(port: ElementTree.Element) -> tuple[int, ...]:
    return tuple(int(dim.text or -1) for dim in port.findall("dim"))


def _axes(layer: _Layer, at: int) -> Axes | None:
    if layer.type != "MatMul":
        return AXES[layer.type]
    rank = len(layer.shapes[at])
    turned = layer.data.get(f"transpose_{'ab'[at]}", "false") == "true"
    inputs = rank - 1 if (at == 0) != turned else rank - 2
    return Axes((*range(rank - 2), 2 * rank - 3 - inputs), (inputs,))


def _after(turns: list[Turn | None], seen_as: Axes) -> Turn:
    def whole(values: Array) -> Array:
        for turn in reversed(turns):
            values = turn(values) if turn else values
        return seen_as.matrix(values)

    return whole


def _uses(layer: _Layer, seen_as: Axes | None, at: int, merged: bool) -> int | None:
    """Count how often a batch multiplies by each weight; a free batch counts as one sample."""
    backwards = layer.type.endswith("BackpropData")
    values = layer.shapes[0] if backwards else layer.output
    if seen_as is None or min(values[1:], default=1) < 1 or not values:
        return None
    if values[0] < 1 and merged:
        return None
    shape = layer.shapes[at]
    counted = math.prod(abs(size) for size in values)
    if backwards:
        channels = shape[0] * (shape[1] if layer.type.startswith("Group") else 1)
    else:
        channels = math.prod(shape[axis] for axis in seen_as.outputs)
    return None if counted % channels else counted // channels


def _merges(layer: _Layer) -> bool:
    """Tell whether it reshapes a free batch together with something else."""
    if layer.type != "Reshape" or not layer.shapes:
        return False
    before, after = layer.shapes[0], layer.output
    if -1 not in before:
        return False
    return after[:1] != (-1,) or math.prod(map(abs, before)) != math.prod(map(abs, after))
