"""For each kind of operator, which positions of its inputs, weights and outputs belong together.

The idea of following dependencies operator by operator is that of DepGraph (arXiv 2301.12900) and
Structurally Prune Anything (arXiv 2403.18955); here every single position has its label.
A rule is right if the network without some unit computes what it computes when every weight that
reads the unit is zero. So whatever mixes positions other than through weights fixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.variants.channels import reshapes
from harness.variants.channels.labels import UNEQUAL, UNSIZED, Axes, Axis, Labels, Reason
from harness.variants.network import Graph, Kind, Node, Product

# Ranks of reasons: the lowest is told. A reshape that joins axes mostly follows from another.
UNKNOWN, MIXED, OUTPUT, INPUT, JOINED = range(5)


def apply(graph: Graph) -> tuple[Labels, dict[str, str]]:
    """Label all positions of a graph; also return why nodes are covered by no rule."""
    labels = Labels(graph.shapes)
    uncovered = {node.name: why for node in graph.nodes if (why := _uncovered(graph, node))}
    merges: list[reshapes.Merge] = []
    for node in graph.nodes:
        if node.name in uncovered:
            reason = Reason(UNKNOWN, f"{_named(node)}: {uncovered[node.name]}")
            _fix_tensors(labels, (*node.inputs, *node.outputs), reason)
        elif node.kind == "reshape":
            reason = Reason(JOINED, f"{_named(node)} joins or splits them")
            merges += reshapes.couple(labels, node.inputs[0], node.outputs[0], reason)
        else:
            RULES[node.kind](labels, node)
    for tensors, reason in (
        (graph.outputs, Reason(OUTPUT, "they reach an output of the network")),
        (graph.inputs, Reason(INPUT, "they belong to an input of the network")),
    ):
        _fix_tensors(labels, tensors, reason)
    reshapes.settle(labels, merges)
    return labels, uncovered


def _uncovered(graph: Graph, node: Node) -> str | None:
    if node.kind not in RULES and node.kind != "reshape":
        return "no rule for this operator"
    if node.kind == "product" and node.inputs[1] not in graph.constants:
        return "its weight is not a constant"
    for tensor in filter(None, (*node.inputs, *node.outputs)):
        if tensor not in graph.shapes:
            return f"the shape of {tensor} is not known"
    return None


def _product(labels: Labels, node: Node) -> None:
    product = node.product
    if product is None:
        raise ValueError(f"{node.name} is of kind product and does not say which axes are which")
    data, weight = labels.axes(node.inputs[0]), labels.axes(node.inputs[1])
    output = labels.axes(node.outputs[0])
    channels = output[product.output_axis]
    if product.groups == 1:
        labels.link(data[product.data_axis], weight[product.weight_in])
        labels.link(channels, weight[product.weight_out])
        own = {product.weight_in, product.weight_out}
    else:
        own = {_groups(labels, product, data[product.data_axis], weight, channels)}
    mixes = Reason(MIXED, f"{_named(node)} mixes them")
    labels.fix((axis for i, axis in enumerate(weight) if i not in own), mixes)
    _others(labels, node, product, mixes)
    for bias in filter(None, node.inputs[2:]):
        axes = labels.axes(bias)
        # A bias with one axis belongs to the channels, wherever the output has them.
        _broadcast(labels, axes, [channels] if len(axes) == 1 else output)


def _groups(labels: Labels, product: Product, data: Axis, weight: Axes, channels: Axis) -> int:
    """Link whole groups, which go as one; return the axis of the weight that goes with them."""
    leaders = None
    if data is not None and len(data) % product.groups == 0:
        leaders = data[:: max(1, len(data) // product.groups)]
    for members in (data, channels):
        _link_groups(labels, leaders, members)
    if product.weight_group is None:
        labels.link(channels, weight[product.weight_out])
        return product.weight_out
    labels.link(leaders, weight[product.weight_group])
    return product.weight_group


def _link_groups(labels: Labels, leaders: Axis, members: Axis) -> None:
    """Link consecutive members, as many each, to the leader of their group."""
    if leaders is None or members is None or len(members) % len(leaders):
        labels.link(leaders, members)  # which fixes both
    else:
        labels.link(np.repeat(leaders, len(members) // len(leaders)), members)


def _others(labels: Labels, node: Node, product: Product, mixes: Reason) -> None:
    """Couple the axes that are no channels: a window mixes positions, batches do not."""
    data = list(labels.axes(node.inputs[0]))
    output = list(labels.axes(node.outputs[0]))
    del data[product.data_axis], output[product.output_axis]
    if product.window is None and len(data) == len(output):
        _link_all(labels, data, output)
    else:
        labels.fix([*data, *output], mixes)


def _elementwise(labels: Labels, node: Node) -> None:
    for tensor in filter(None, node.inputs):
        _broadcast(labels, labels.axes(tensor), labels.axes(node.outputs[0]))


def _per_channel(labels: Labels, node: Node) -> None:
    mixes = Reason(MIXED, f"{_named(node)} mixes them")
    data, output = labels.axes(node.inputs[0]), labels.axes(node.outputs[0])
    labels.fix((side[i] for side in (data, output) for i in node.axes), mixes)
    _link_all(labels, data, output)
    for constant in filter(None, node.inputs[1:]):
        _broadcast(labels, labels.axes(constant), [output[_axis(node)]])


def _mix(labels: Labels, node: Node) -> None:
    mixes = Reason(MIXED, f"{_named(node)} mixes them")
    data, output = labels.axes(node.inputs[0]), labels.axes(node.outputs[0])
    labels.fix((side[i] for side in (data, output) for i in node.axes), mixes)
    _link_all(labels, _without(data, node.axes), _without(output, node.axes))
    _fix_tensors(labels, node.inputs[1:], mixes)


def _reduce(labels: Labels, node: Node) -> None:
    data, output = labels.axes(node.inputs[0]), labels.axes(node.outputs[0])
    mixes = Reason(MIXED, f"{_named(node)} mixes them")
    labels.fix((data[i] for i in node.axes), mixes)
    rest = _without(output, node.axes) if node.keepdims else output
    _link_all(labels, _without(data, node.axes), rest)
    _fix_tensors(labels, node.inputs[1:], mixes)


def _concat(labels: Labels, node: Node) -> None:
    _parts(labels, node, node.inputs, node.outputs[0])


def _split(labels: Labels, node: Node) -> None:
    _parts(labels, node, node.outputs, node.inputs[0])


def _parts(labels: Labels, node: Node, names: Sequence[str], whole: str) -> None:
    """Link the parts to the tensor that holds them one after the other along the node's axis."""
    parts = [labels.axes(name) for name in names if name]
    axis, axes = _axis(node), labels.axes(whole)
    for part in parts:
        _link_all(labels, _without(part, [axis]), _without(axes, [axis]))
    along = [part[axis] for part in parts]
    known = [part for part in along if part is not None]
    if len(known) == len(along):
        labels.link(np.concatenate(known), axes[axis])
    else:
        labels.fix([*known, axes[axis]], UNSIZED)


def _gather(labels: Labels, node: Node) -> None:
    data, output = labels.axes(node.inputs[0]), labels.axes(node.outputs[0])
    axis = _axis(node)
    along = data[axis]
    picked: Axis = None
    if along is not None and node.positions is not None:
        picked = along[np.asarray(node.positions, dtype=np.int64).reshape(-1)]
    rest = output
    if len(output) == len(data):
        labels.link(picked, output[axis])
        rest = tuple(_without(output, [axis]))
    if picked is None or len(output) < len(data):  # without its axis a position cannot go
        labels.fix([along if picked is None else picked], _picks(node))
    _link_all(labels, _without(data, [axis]), rest)


def _picks(node: Node) -> Reason:
    return Reason(MIXED, f"{_named(node)} picks single ones")


def _embedding(labels: Labels, node: Node) -> None:
    table, output = labels.axes(node.inputs[0]), labels.axes(node.outputs[0])
    labels.link(table[1], output[-1])
    reason = Reason(MIXED, f"{_named(node)} looks them up")
    labels.fix([table[0], *output[:-1]], reason)
    _fix_tensors(labels, node.inputs[1:], reason)


def _transpose(labels: Labels, node: Node) -> None:
    data = labels.axes(node.inputs[0])
    _link_all(labels, [data[i] for i in node.perm], labels.axes(node.outputs[0]))


def _matmul(labels: Labels, node: Node) -> None:
    sides = []
    for name, exchanged in zip(node.inputs[:2], node.transposed, strict=True):
        axes = labels.axes(name)
        sides.append((*axes[:-2], axes[-1], axes[-2]) if exchanged else axes)
    (*batch_a, rows, inner_a), (*batch_b, inner_b, columns) = sides
    *batch, rows_out, columns_out = labels.axes(node.outputs[0])
    # No weight reads them here, so nothing could make one count for nothing in the sum.
    labels.fix([inner_a, inner_b], Reason(MIXED, f"{_named(node)} sums over them"))
    labels.link(rows, rows_out)
    labels.link(columns, columns_out)
    for side in (batch_a, batch_b):
        _broadcast(labels, side, batch)
    labels.batched += [axis for axis in batch if axis is not None]


def _identity(labels: Labels, node: Node) -> None:
    _link_all(labels, labels.axes(node.inputs[0]), labels.axes(node.outputs[0]))


def _broadcast(labels: Labels, axes: Sequence[Axis], output: Sequence[Axis]) -> None:
    """Link the axes of an input to those of the output, from the last, as numpy broadcasts them."""
    for i, axis in enumerate(reversed(axes)):
        if axis is None or len(axis) != 1:
            labels.link(axis, output[-1 - i] if i < len(output) else None)


def _link_all(labels: Labels, left: Sequence[Axis], right: Sequence[Axis]) -> None:
    if len(left) != len(right):
        labels.fix([*left, *right], UNEQUAL)
        return
    for one, other in zip(left, right, strict=True):
        labels.link(one, other)


def _without(axes: Sequence[Axis], some: Sequence[int]) -> list[Axis]:
    return [axis for i, axis in enumerate(axes) if i not in some]


def _fix_tensors(labels: Labels, tensors: Sequence[str], reason: Reason) -> None:
    for tensor in filter(None, tensors):
        labels.fix(labels.axes(tensor), reason)


def _axis(node: Node) -> int:
    if node.axis is None:
        raise ValueError(f"{node.name} is of kind {node.kind} and names no axis")
    return node.axis


def _named(node: Node) -> str:
    return f"{node.name} ({node.operator})"


RULES: Mapping[Kind, Callable[[Labels, Node], None]] = {
    "product": _product,
    "elementwise": _elementwise,
    "per_channel": _per_channel,
    "mix": _mix,
    "reduce": _reduce,
    "concat": _concat,
    "split": _split,
    "gather": _gather,
    "embedding": _embedding,
    "transpose": _transpose,
    "matmul": _matmul,
    "identity": _identity,
}
