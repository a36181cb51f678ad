"""Cut a TFLite model down to the positions that stay, with every operator that states a size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.variants.network import Graph, Indices, Kept, Node
from harness.variants.networks.tflite_file import schema
from harness.variants.networks.tflite_model import Model, numbers
from harness.variants.networks.tflite_slices import cut_slice, set_span

Axes = Mapping[int, Indices]


def cut(model: Model, graph: Graph, kept: Kept) -> None:
    """Carry out `kept`; `graph` describes the model as it was until now."""
    nodes = {node.outputs[0]: node for node in graph.nodes if node.outputs}
    rewrites = [
        (rewrite, raw)
        for raw in model.operators
        if (rewrite := REWRITES.get(model.code(raw)))
        and any(model.names[int(index)] in kept for index in _touched(model, raw))
    ]
    for rewrite, raw in rewrites:
        name = model.names[int(raw.outputs[0])]
        rewrite(Cut(model, raw, nodes.get(name), kept, graph))
    for name, axes in kept.items():
        if name in model.index:
            _cut_tensor(model, model.index[name], axes)
    for index in model.makers:
        if (source := model.source(index)) != index:
            for axis, positions in kept.get(model.names[source], {}).items():
                model.resize(index, axis, len(positions))


class Cut:
    """One operator about to be cut: what stays of its tensors, by position."""

    def __init__(self, model: Model, raw: Any, node: Node | None, kept: Kept, graph: Graph) -> None:
        self.model, self.raw, self.node, self.kept, self.graph = model, raw, node, kept, graph

    def input(self, at: int) -> Axes:
        """Return what stays of an input."""
        return self.kept.get(self.model.names[self.model.source(int(self.raw.inputs[at]))], {})

    def output(self, at: int = 0) -> Axes:
        """Return what stays of an output."""
        return self.kept.get(self.model.names[int(self.raw.outputs[at])], {})

    def size(self, at: int, axis: int) -> int:
        """Return how many positions of an output's axis stay."""
        if axis in self.output(at):
            return len(self.output(at)[axis])
        name = self.model.names[int(self.raw.outputs[at])]
        return self.graph.shapes[name][axis] or 0


def _touched(model: Model, raw: Any) -> list[int]:
    read = [model.source(int(index)) for index in numbers(raw.inputs) if index >= 0]
    return [*read, *numbers(raw.outputs)]


def _cut_tensor(model: Model, index: int, axes: Axes) -> None:
    if model.is_constant(index):
        values = model.constant(index)
        for axis, positions in axes.items():
            values = np.take(values, positions, axis=axis)
        model.put(index, values)
        return
    for axis, positions in axes.items():
        model.resize(index, axis, len(positions))


def _shape_at(at: int) -> Callable[[Cut], None]:
    """Make a rewrite for operators that are told the shape of their output."""

    def rewrite(op: Cut) -> None:
        options = op.raw.builtinOptions
        for axis, positions in op.output().items():
            if at < len(op.raw.inputs) and op.raw.inputs[at] >= 0:
                _state(op, at, axis, len(positions))
            if getattr(options, "newShape", None) is not None:
                options.newShape = _stated(options.newShape, axis, len(positions))

    return rewrite


def _state(op: Cut, at: int, axis: int, size: int) -> None:
    """State one size of a shape, which is a constant or packed together from numbers."""
    index = int(op.raw.inputs[at])
    if op.model.is_constant(index):
        values = op.model.constant(index)
        op.model.set_parameter(op.raw, at, _stated(values, axis, size))
        return
    packed = op.model.own_maker(op.raw, at)
    part = int(packed.inputs[axis])
    if not op.model.is_constant(part):
        name = op.model.names[int(op.raw.outputs[0])]
        raise InputError(f"the size of axis {axis} of '{name}' is computed, so it cannot be cut")
    op.model.set_parameter(packed, axis, np.full_like(op.model.constant(part), size))


def _stated(sizes: Any, axis: int, size: int) -> Any:
    """Return a shape with one size changed; -1 stands for whatever it becomes."""
    changed = np.array(sizes)
    if changed[axis] >= 0:
        changed[axis] = size
    return changed


def _squeeze(op: Cut) -> None:
    """Name the axes that go: else an axis would go of which one position stays."""
    options = op.raw.builtinOptions
    if len(numbers(options.squeezeDims)) == 0:
        shape = op.model.shape(int(op.raw.inputs[0])) or ()
        gone = [axis for axis, size in enumerate(shape) if size == 1]
        options.squeezeDims = np.array(gone, np.int32)


def _multiplier(op: Cut) -> None:
    data, weight = (op.model.shape(int(op.raw.inputs[at])) or () for at in (0, 1))
    channels = len(op.input(0)[3]) if 3 in op.input(0) else data[3]
    made = len(op.input(1)[3]) if 3 in op.input(1) else weight[3]
    op.raw.builtinOptions.depthMultiplier = (made or 0) // (channels or 1)


def _split(op: Cut) -> None:
    """A SPLIT into parts that are no longer equal becomes a SPLIT_V."""
    if op.node is None or op.node.axis is None:
        return
    sizes = [op.size(at, op.node.axis) for at in range(len(op.raw.outputs))]
    stated = np.array(sizes, np.int32)
    if op.model.code(op.raw) == "SPLIT_V":
        op.model.set_parameter(op.raw, 1, stated)
    elif len(set(sizes)) > 1:
        axis, data = (int(index) for index in op.raw.inputs)
        options = schema.SplitVOptionsT()
        options.numSplits = len(sizes)
        parts = op.model.add(f"{op.model.names[int(op.raw.outputs[0])]}_sizes", stated)
        op.model.change(op.raw, "SPLIT_V", [data, parts, axis], options)


def _slice(op: Cut) -> None:
    if op.node is None:
        return
    if op.model.code(op.raw) == "SLICE":
        for axis, positions in op.output().items():
            if axis != op.node.axis:
                set_span(op.model, op.raw, axis, 0, len(positions))
    picked = _renumbered(op, op.node)
    if picked is not None and op.node.axis is not None:
        cut_slice(op.model, op.raw, op.node.axis, picked)


def _gather(op: Cut) -> None:
    picked = _renumbered(op, op.node) if op.node is not None else None
    if picked is not None:  # an index that is no list drops the axis
        shape = op.model.shape(int(op.raw.inputs[1])) or ()
        op.model.set_parameter(op.raw, 1, picked if shape else picked[0])


def _renumbered(op: Cut, node: Node) -> Indices | None:
    """Return where the positions that stay of those picked are now; null if all are in place."""
    if node.kind != "gather" or node.axis is None or node.positions is None:
        return None
    if node.axis not in op.input(0):
        return None
    # A node that drops the axis has no output along it: its one position stays.
    stay = op.output().get(node.axis) if _keeps_rank(op) else None
    picked = node.positions if stay is None else node.positions[stay]
    return np.searchsorted(op.input(0)[node.axis], picked)


def _keeps_rank(op: Cut) -> bool:
    ranks = {len(op.model.shape(int(side[0])) or ()) for side in (op.raw.inputs, op.raw.outputs)}
    return len(ranks) == 1


REWRITES: Mapping[str, Callable[[Cut], None]] = {
    "DEPTHWISE_CONV_2D": _multiplier,
    "GATHER": _gather,
    "RESHAPE": _shape_at(1),
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _slice,
    "TRANSPOSE_CONV": _shape_at(0),
}
