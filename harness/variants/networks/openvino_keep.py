"""Cut an OpenVINO model down to the positions that stay, with whatever states a size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from openvino import opset13 as ops

from harness.variants.network import Graph, Indices, Kept, Node
from harness.variants.networks.openvino_model import Model, kind, shape
from harness.variants.networks.openvino_slices import cut_slice

Axes = Mapping[int, Indices]


def cut(model: Model, graph: Graph, kept: Kept) -> None:
    """Carry out `kept`; `graph` describes the model as it was until now."""
    nodes = {node.name: node for node in graph.nodes}
    rewrites = [
        (rewrite, Cut(model, op, nodes[op.get_friendly_name()], kept))
        for op in model.operators
        if (rewrite := REWRITES.get(kind(op))) and model.is_own(op)
    ]
    for rewrite, operator in rewrites:
        if any(name in kept for name in (*operator.node.inputs, *operator.node.outputs)):
            rewrite(operator)
    for name, axes in kept.items():
        if name in model.constants:
            values = model.constant(name)
            for axis, positions in axes.items():
                values = np.take(values, positions, axis=axis)
            model.put(name, values)
    model.refresh()
    for op in model.operators:
        weight = shape(op.input_value(1)) if kind(op) == "GroupConvolutionBackpropData" else None
        if weight is not None and weight[0] == 1:
            _ungroup(model, op)
    model.refresh()


class Cut:
    """One operator about to be cut: what stays of its tensors, by position."""

    def __init__(self, model: Model, raw: Any, node: Node, kept: Kept) -> None:
        self.model, self.raw, self.node, self.kept = model, raw, node, kept

    @property
    def input(self) -> Axes:
        """Return what stays of the data."""
        return self.kept.get(self.node.inputs[0], {})

    def output(self, at: int = 0) -> Axes:
        """Return what stays of an output."""
        return self.kept.get(self.node.outputs[at], {})

    def integers(self, at: int) -> Any:
        """Return a constant input."""
        return self.model.constant(self.model.source(self.raw, at))


def _reshape(op: Cut) -> None:
    stated = op.integers(1)
    for axis, positions in op.output().items():
        # 0 may stand for the size that the input has there, -1 for whatever it becomes.
        if stated[axis] != -1:
            stated[axis] = len(positions)
    op.model.set_parameter(op.raw, 1, stated)


def _squeeze(op: Cut) -> None:
    """Name the axes that go: else an axis would go of which one position stays."""
    if op.raw.get_input_size() == 1:
        sizes = shape(op.raw.input_value(0)) or ()
        gone = np.array([axis for axis, size in enumerate(sizes) if size == 1], np.int64)
        op.model.exchange(op.raw, ops.squeeze(op.raw.input_value(0), ops.constant(gone)))


def _split(op: Cut) -> None:
    """A Split into parts that are no longer equal becomes a VariadicSplit."""
    axis = op.node.axis
    if axis is None or axis not in op.input:
        return
    parts = [op.output(at).get(axis) for at in range(len(op.node.outputs))]
    whole = [shape(output) or () for output in op.raw.outputs()]
    sizes = [
        len(part) if part is not None else whole[at][axis] or 0 for at, part in enumerate(parts)
    ]
    if kind(op.raw) == "Split" and len(set(sizes)) == 1:
        return
    if kind(op.raw) == "Split":
        data, along = op.raw.input_values()
        lengths = ops.constant(np.array([axes[axis] for axes in whole], np.int64))
        made = ops.variadic_split(data, along, lengths)
        op.model.exchange(op.raw, made)
        op.raw = made
    op.model.set_parameter(op.raw, 2, np.array(sizes))


def _slice(op: Cut) -> None:
    picked = _renumbered(op)
    if picked is not None and op.node.axis is not None:
        cut_slice(op.model, op.raw, op.node.axis, picked)


def _gather(op: Cut) -> None:
    picked = _renumbered(op)
    if picked is not None:
        op.model.set_parameter(op.raw, 1, picked if op.integers(1).ndim else picked[0])


def _renumbered(op: Cut) -> Indices | None:
    """Return where the positions that stay of those picked are now; null if all are in place."""
    node = op.node
    if node.kind != "gather" or node.axis is None or node.positions is None:
        return None
    if node.axis not in op.input:
        return None
    # A node that drops the axis has no output along it: its one position stays.
    dropped = len(shape(op.raw.output(0)) or ()) < len(shape(op.raw.input_value(0)) or ())
    stay = None if dropped else op.output().get(node.axis)
    picked = node.positions if stay is None else node.positions[stay]
    return np.searchsorted(op.input[node.axis], picked)


def _interpolate(op: Cut) -> None:
    """State the sizes of axes that it leaves alone, where it states those too."""
    if op.raw.get_attributes()["shape_calculation_mode"] != "sizes":
        return
    rank = len(shape(op.raw.output(0)) or ())
    at = 2 if op.raw.get_type_info().version_id == "opset11" else 3
    named = op.integers(at) if op.raw.get_input_size() > at else range(rank)
    axes = [int(axis) % rank for axis in named]
    sizes = op.integers(1)
    for axis, positions in op.output().items():
        if axis in axes:
            sizes[axes.index(axis)] = len(positions)
    op.model.set_parameter(op.raw, 1, sizes)


def _ungroup(model: Model, raw: Any) -> None:
    """Make a transposed convolution of one group a plain one: the CPU plugin runs no such thing.

    (OpenVINO 2026.4: "could not create a primitive descriptor for the deconvolution".)
    """
    given, name = raw.get_attributes(), model.source(raw, 1)
    weight = model.reshaped(raw.input_value(1), model.constant(name)[0])
    shape_of_output = raw.input_value(2) if raw.get_input_size() > 2 else None
    made = ops.convolution_backprop_data(
        raw.input_value(0),
        weight,
        given["strides"],
        shape_of_output,
        *(given[key] for key in ("pads_begin", "pads_end", "dilations", "auto_pad")),
        given["output_padding"],
    )
    model.exchange(raw, made)


REWRITES: Mapping[str, Callable[[Cut], None]] = {
    "Gather": _gather,
    "Interpolate": _interpolate,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "StridedSlice": _slice,
    "VariadicSplit": _split,
}
