"""A model file opened for surgery: its graph in terms that all file formats share.

A format's module (harness/variants/networks/<format>.py) translates its operators into the kinds
below, and carries out what the pruning methods, which know only these kinds, decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
Feeds = Mapping[str, Array]  # model input -> samples, the first axis counts them
# tensor -> axis -> the positions that stay, ascending. An axis that is not named stays whole.
Kept = Mapping[str, Mapping[int, Indices]]

Kind = Literal[
    # A convolution, transposed convolution or matrix product with a constant weight:
    # inputs (data, weight[, bias]); `product` says which axes are which.
    "product",
    # A function of the values at one position, inputs broadcast against each other as in numpy:
    # activations, additions, quotients, ... Constants among the inputs are broadcast too.
    "elementwise",
    # inputs (data, constants ...): the constants have one value for each position of `axis` of the
    # data; positions of that axis never mix (batch and instance normalisation).
    "per_channel",
    # Output of the same rank; positions along `axes` mix or change in number, those of other axes
    # correspond one to one (pooling, padding, resizing, softmax, layer normalisation).
    "mix",
    # Sum, mean, maximum over `axes`; they stay with size 1 if `keepdims`, else disappear.
    "reduce",
    "concat",  # inputs joined along `axis`
    "split",  # outputs are consecutive parts of the input along `axis`; shapes tell their sizes
    "gather",  # along `axis`, output position i is input position `positions[i]` (slices too)
    "embedding",  # inputs (table [rows, width], indices): the output's last axis is the width
    "transpose",  # output axis i is input axis `perm[i]`
    "reshape",  # the same values in the same order; shapes tell (flatten, squeeze, unsqueeze)
    "matmul",  # product of two activations, inputs (a, b): [..., m, k] x [..., k, n]
    "identity",
    # An operator that no rule is written for: everything that touches it must stay whole.
    "unknown",
]


@dataclass(frozen=True)
class Window:
    """The window of a convolution; everything has one value for each spatial axis."""

    axes: tuple[int, ...]  # of the data
    weight_axes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]  # before and after
    transposed: bool = False


@dataclass(frozen=True)
class Product:
    """Which axes a product's weight and data share.

    With `groups` > 1, consecutive channels of data and output form the groups. Weights that keep
    the groups in an axis of their own name it in `weight_group`; else `weight_out` counts the
    outputs of all groups. `weight_in` counts the inputs of one group (1 in a depthwise one).
    """

    data_axis: int
    output_axis: int
    weight_in: int
    weight_out: int
    groups: int = 1
    weight_group: int | None = None
    window: Window | None = None  # null: a matrix product


@dataclass(frozen=True)
class Node:
    """One operator. Axes are not negative."""

    name: str  # unique in the network; what a study's `leave:` names
    operator: str  # what the file calls it: Conv, FULLY_CONNECTED, ...
    kind: Kind
    inputs: tuple[str, ...]  # tensors, constants too; "" for an optional one that is absent
    outputs: tuple[str, ...]
    product: Product | None = None  # of kind product
    axis: int | None = None  # of per_channel, concat, split, gather
    axes: tuple[int, ...] = ()  # of mix, reduce; of per_channel: those whose positions mix
    keepdims: bool = True  # of reduce
    positions: Indices | None = None  # of gather
    perm: tuple[int, ...] = ()  # of transpose
    # matmul: whether a or b comes with its last two axes exchanged
    transposed: tuple[bool, bool] = (False, False)


LayerKind = Literal["convolution", "depthwise", "linear", "embedding"]


@dataclass(frozen=True)
class Layer:
    """A node with weights that may be pruned, as the pruning methods see it."""

    node: Node
    kind: LayerKind
    weight: str  # a constant
    bias: str | None  # a constant


@dataclass
class Graph:
    """The nodes of a network in an order in which they can run."""

    nodes: Sequence[Node]
    inputs: Sequence[str]
    outputs: Sequence[str]
    # Of every tensor and constant; null: free (the batch), or not known before it runs.
    shapes: Mapping[str, tuple[int | None, ...]]
    constants: frozenset[str] = field(default_factory=frozenset)

    def layers(self) -> list[Layer]:
        """List the layers with constant weights, in order."""
        found = [_layer(self, node) for node in self.nodes]
        return [layer for layer in found if layer is not None]


class Network(Protocol):
    """One model file, open: each format has a class of its own."""

    format: str

    @property
    def graph(self) -> Graph:
        """Return the graph as it is now; `keep` changes it."""
        ...

    def constant(self, name: str) -> Array:
        """Return a copy of a constant's values."""
        ...

    def replace(self, name: str, values: Array) -> None:
        """Give a constant other values of the same shape; they are cast to its type."""
        ...

    def keep(self, kept: Kept) -> None:
        """Cut constants down to the positions that stay, and with them whatever states a size.

        `kept` covers activations too, so that reshapes, splits and the like can be rewritten. It
        must be consistent, as `harness.variants.channels` makes it.
        """
        ...

    def values(self, tensors: Sequence[str], feeds: Feeds) -> Iterator[dict[str, Array]]:
        """Run the samples through the network one by one; yields tensors by name, batch 1 first."""
        ...

    def save(self, path: Path) -> None:
        """Write the network as a file of its format."""
        ...


def one_matrix(weight: Sequence[int | None], data: Sequence[int | None]) -> bool:
    """Tell by the shapes of a product's two sides whether one is a matrix for all batches."""
    return 2 <= len(weight) <= len(data) and all(size == 1 for size in weight[:-2])


def _layer(graph: Graph, node: Node) -> Layer | None:
    if node.kind == "embedding" and node.inputs[0] in graph.constants:
        return Layer(node, "embedding", node.inputs[0], None)
    if node.product is None or node.inputs[1] not in graph.constants:
        return None
    bias = next((name for name in node.inputs[2:3] if name in graph.constants), None)
    return Layer(node, _kind(graph, node, node.product), node.inputs[1], bias)


def _kind(graph: Graph, node: Node, product: Product) -> LayerKind:
    if product.window is None:
        return "linear"
    one_input_each = graph.shapes[node.inputs[1]][product.weight_in] == 1
    return "depthwise" if product.groups > 1 and one_input_each else "convolution"
