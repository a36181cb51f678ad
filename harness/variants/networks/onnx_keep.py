"""Cut an ONNX graph down: its constants, and whatever states a size or a position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from harness.errors import InputError
from harness.variants.network import Indices, Kept, Node
from harness.variants.networks.onnx_file import File


def cut(file: File, nodes: Sequence[Node], kept: Kept) -> None:
    """Keep only the positions named; raises InputError if they do not fit together."""
    for name, axes in kept.items():
        for axis, positions in axes.items():
            if not len(positions):
                raise InputError(f"the cut leaves nothing of axis {axis} of '{name}'")
    for proto, node in zip(file.graph.node, nodes, strict=True):
        rewrite = REWRITES.get(node.operator)
        if rewrite and node.kind != "unknown":
            rewrite(Cut(file, proto, node, kept))
    for name in kept:
        if name in file.constants:
            _cut_constant(file, name, kept[name])
    file.refresh()
    _check_sizes(file, kept)


@dataclass(frozen=True)
class Cut:
    """One operator before its constants are cut, and what stays of the tensors around it."""

    file: File
    proto: Any
    node: Node
    kept: Kept

    def positions(self, name: str, axis: int) -> Indices | None:
        """Return the positions of an axis that stay; null if their number is not known."""
        named = self.kept.get(name, {}).get(axis)
        size = (self.file.shape(name) or ())[axis]
        if named is not None:
            return np.asarray(named, np.int64)
        return None if size is None else np.arange(size)

    def size(self, name: str, axis: int) -> int:
        """Return how many positions of an axis stay."""
        found = self.positions(name, axis)
        if found is None:
            raise _inconsistent(self.node, f"axis {axis} of '{name}' has no known size")
        return len(found)

    @property
    def output_axes(self) -> Mapping[int, Indices]:
        """Return what stays of the output, axes that stay whole left out."""
        return self.kept.get(self.node.outputs[0], {})

    def set_input(self, at: int, what: str, values: Any, dtype: Any = np.int64) -> None:
        """Give the operator a constant input of its own: others may share the old one."""
        while len(self.proto.input) <= at:
            self.proto.input.append("")
        name = f"{self.node.name}.{what}"
        self.proto.input[at] = self.file.add(name, np.asarray(values, dtype))

    def set_attribute(self, name: str, value: Any) -> None:
        """Set an attribute, or remove it by null."""
        others = [item for item in self.proto.attribute if item.name != name]
        if value is not None:
            others.append(onnx.helper.make_attribute(name, value))
        del self.proto.attribute[:]
        self.proto.attribute.extend(others)


def _cut_constant(file: File, name: str, axes: Mapping[int, Indices]) -> None:
    values = file.constant(name)
    for axis, positions in axes.items():
        values = np.take(values, positions, axis=axis)
    file.put(name, values)


def _check_sizes(file: File, kept: Kept) -> None:
    """Hold the shapes that follow from the cut constants against those that were asked for."""
    for name, axes in kept.items():
        shape = file.shape(name)
        for axis, positions in axes.items():
            if shape is not None and shape[axis] not in (None, len(positions)):
                what = f"keeps {len(positions)} of axis {axis} of '{name}', which has {shape[axis]}"
                raise InputError(f"the cut is not consistent: it {what}")


def _inconsistent(node: Node, what: str) -> InputError:
    return InputError(f"the cut is not consistent at '{node.name}': {what}")


def _conv(at: Cut) -> None:
    product = at.node.product
    if product is None or product.groups == 1:
        return
    channels = at.size(at.node.inputs[0], product.data_axis)
    each = at.size(at.node.inputs[1], product.weight_in)
    if channels % each:
        raise _inconsistent(at.node, f"{channels} channels form no groups of {each}")
    at.set_attribute("group", channels // each)


def _stated(input_at: int, what: str) -> Callable[[Cut], None]:
    """Make the rule for an operator that states the shape of its output in an input."""

    def rewrite(at: Cut) -> None:
        name = at.proto.input[input_at] if len(at.proto.input) > input_at else ""
        if not at.output_axes or name not in at.file.constants:
            return
        sizes = at.file.constant(name)
        stated = _stated_axes(at, len(sizes))
        for axis, positions in at.output_axes.items():
            # -1 and 0 are found out when the network runs.
            if axis in stated and sizes[stated.index(axis)] > 0:
                sizes[stated.index(axis)] = len(positions)
        at.set_input(input_at, what, sizes)

    return rewrite


def _stated_axes(at: Cut, count: int) -> list[int]:
    """Return the axis of each size: those that Resize names, or the last ones."""
    rank = len(at.file.shape(at.node.outputs[0]) or ())
    for item in at.proto.attribute:
        if at.node.operator == "Resize" and item.name == "axes":
            return [axis % rank for axis in item.ints]
    return list(range(rank - count, rank))


def _split(at: Cut) -> None:
    axis = at.node.axis
    if axis is None or not any(axis in at.kept.get(name, {}) for name in at.node.outputs):
        return
    sizes = [at.size(name, axis) for name in at.node.outputs]
    if at.file.opset < 13:
        at.set_attribute("split", sizes)
    else:
        at.set_attribute("num_outputs", None)
        at.set_input(1, "sizes", sizes)


def _gathered(at: Cut) -> tuple[int, Indices] | None:
    """Return the axis of a choice of positions, and the positions within what stays."""
    axis, chosen = at.node.axis, at.node.positions
    if at.node.kind != "gather" or axis is None or chosen is None:
        return None
    source, target = at.node.inputs[0], at.node.outputs[0]
    if axis not in at.kept.get(source, {}) and axis not in at.kept.get(target, {}):
        return None
    before, after = at.positions(source, axis), at.positions(target, axis)
    if before is None or after is None:
        raise _inconsistent(at.node, f"axis {axis} has no known size")
    wanted = chosen[after]
    if not np.isin(wanted, before).all():
        raise _inconsistent(at.node, "it takes positions that do not stay")
    return axis, np.searchsorted(before, wanted)


def _gather(at: Cut) -> None:
    found = _gathered(at)
    if found is not None:
        dtype = at.file.constant(at.proto.input[1]).dtype
        at.set_input(1, "indices", found[1], dtype)


def _slice(at: Cut) -> None:
    """A slice stays one if what it takes still lies at even steps, else it becomes a Gather."""
    found = _gathered(at)
    if found is None:
        return
    axis, positions = found
    steps = np.unique(np.diff(positions))
    del at.proto.input[1:]
    for name in ("starts", "ends", "axes"):
        at.set_attribute(name, None)
    if len(steps) > 1 or at.file.opset < 10:
        at.proto.op_type = "Gather"
        at.set_attribute("axis", axis)
        at.set_input(1, "indices", positions)
        return
    step = int(steps[0]) if len(steps) else 1
    end = int(positions[-1]) + (1 if step > 0 else -1)
    stated = {"starts": positions[0], "ends": end if end >= 0 else _BEFORE_ALL}
    for place, (what, value) in enumerate({**stated, "axes": axis, "steps": step}.items(), 1):
        at.set_input(place, what, [value])


_BEFORE_ALL = -(2**31)  # the end of a slice that runs backwards to position 0


REWRITES: Mapping[str, Callable[[Cut], None]] = {
    "Conv": _conv,
    "Expand": _stated(1, "shape"),
    "Gather": _gather,
    "Reshape": _stated(1, "shape"),
    "Resize": _stated(3, "sizes"),
    "Slice": _slice,
    "Split": _split,
}
