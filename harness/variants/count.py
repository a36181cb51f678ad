"""What a network holds and does: parameters, zeros and multiply-accumulates, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from harness.variants.network import Graph, Layer, LayerKind, Network, Node

# tensor -> its part, see `_free`
_Free = dict[str, Fraction | None]


@dataclass(frozen=True)
class LayerCount:
    """One layer's size and work."""

    name: str
    kind: LayerKind
    shape: tuple[int, ...]  # of its weight
    parameters: int  # weight and bias
    zeros: int  # in the weight
    macs: int | None  # multiply-accumulates for one sample, zeros counted like other weights
    reason: str | None = None  # why `macs` is null


@dataclass(frozen=True)
class NetworkCount:
    """A whole network's size and work."""

    layers: list[LayerCount]
    parameters: int  # of layers, norms and all other constants of floating-point numbers
    macs: int | None  # of the layers; null if one of them is
    sparsity: float | None  # share of zeros in the layers' weights; null: there are none


def count(network: Network) -> list[LayerCount]:
    """Count each layer with constant weights, in order. A shared weight counts in each."""
    graph = network.graph
    free = _free(graph)
    return [_layer(network, graph, layer, free) for layer in graph.layers()]


def totals(network: Network) -> NetworkCount:
    """Count the whole network; a constant that layers share counts once."""
    layers = count(network)
    macs = [layer.macs for layer in layers]
    weights = {
        layer.weight: counted for layer, counted in zip(network.graph.layers(), layers, strict=True)
    }
    size = sum(prod(one.shape) for one in weights.values())
    zeros = sum(one.zeros for one in weights.values())
    return NetworkCount(
        layers=layers,
        parameters=_parameters(network),
        macs=None if None in macs else sum(one or 0 for one in macs),
        sparsity=zeros / size if size else None,
    )


def _parameters(network: Network) -> int:
    graph = network.graph
    of_layers = {name for layer in graph.layers() for name in (layer.weight, layer.bias)}
    total = 0
    for name in graph.constants:
        values = network.constant(name)
        # Sizes, axes and positions are integers; quantised weights are too, but belong to a layer.
        if name in of_layers or np.issubdtype(values.dtype, np.floating):
            total += values.size
    return total


def _layer(network: Network, graph: Graph, layer: Layer, free: _Free) -> LayerCount:
    weight = network.constant(layer.weight)
    bias = network.constant(layer.bias).size if layer.bias else 0
    macs = _macs(graph, layer, weight.shape, free)
    return LayerCount(
        name=layer.node.name,
        kind=layer.kind,
        shape=weight.shape,
        parameters=weight.size + bias,
        zeros=int((weight == 0).sum()),
        macs=None if isinstance(macs, str) else macs,
        reason=macs if isinstance(macs, str) else None,
    )


def _macs(graph: Graph, layer: Layer, weight: Sequence[int], free: _Free) -> int | str:
    """Count a layer's multiply-accumulates for one sample, or say why that cannot be.

    A weight is used once for each output position; in a transposed convolution once for each
    input position, of which some products fall outside the output.
    """
    product = layer.node.product
    if product is None:
        return 0  # an embedding looks its rows up
    by_input = product.window is not None and product.window.transposed
    tensor = layer.node.inputs[0] if by_input else layer.node.outputs[0]
    axis = product.data_axis if by_input else product.output_axis
    positions = _positions(graph, tensor, axis, free)
    return positions if isinstance(positions, str) else positions * prod(weight)


def _positions(graph: Graph, tensor: str, channels: int, free: _Free) -> int | str:
    """Count the positions beside the channels that one sample has in a tensor."""
    shape = graph.shapes.get(tensor)
    if shape is None:
        return f"the shape of '{tensor}' is not known"
    known, unknown = _split(shape[:channels] + shape[channels + 1 :])
    if shape[channels] is None or unknown > _counts_samples(graph):
        return f"the shape of '{tensor}' is not known: {_shown(shape)}"
    part = free.get(tensor)
    whole = None if part is None else known * part
    if whole is None or whole.denominator != 1:
        return f"what one sample is of '{tensor}' {_shown(shape)} is not known"
    return int(whole)


def _counts_samples(graph: Graph) -> bool:
    """Tell whether a tensor's one free axis counts samples; else it is a size not known."""
    shapes = [graph.shapes.get(name) for name in graph.inputs]
    return all(shape is not None and shape[:1] == (None,) for shape in shapes)


def _free(graph: Graph) -> _Free:
    """Follow the samples: a tensor's known sizes, times its part, are the values of one sample.

    A network with a fixed batch of 8 has the part 1/8; [batch, 10, 64] reshaped to [?, 64] the
    part 10. Null: not known. Tensors that no input reaches are left out, as constants are.
    """
    free: _Free = {}
    for name in graph.inputs:
        batch = graph.shapes[name][0] if graph.shapes.get(name) else 1
        free[name] = Fraction(1, batch) if batch else Fraction(1)
    for node in graph.nodes:
        sources = _sources(node, free)
        if sources:
            free.update(dict.fromkeys(node.outputs, _through(graph, node, sources, free)))
    return free


def _sources(node: Node, free: _Free) -> list[str]:
    """Return the activations that a node's output is made of, shapes and the like left out."""
    joined = node.kind in ("elementwise", "concat", "matmul", "embedding", "unknown")
    return [name for name in (node.inputs if joined else node.inputs[:1]) if name in free]


def _through(graph: Graph, node: Node, sources: list[str], free: _Free) -> Fraction | None:
    part = free[sources[0]]
    if node.kind == "unknown" or any(free[name] != part for name in sources):
        return None
    if node.kind != "reshape" or part is None:
        return part
    before, after = graph.shapes.get(sources[0]), graph.shapes.get(node.outputs[0])
    if before is None or after is None:
        return None
    (known, free_before), (known_after, free_after) = _split(before), _split(after)
    if max(free_before, free_after) > _counts_samples(graph) or not known_after:
        return None
    return part * Fraction(known, known_after)


def _split(shape: Sequence[int | None]) -> tuple[int, int]:
    """Return the product of the known sizes, and how many are not known."""
    known = [size for size in shape if size is not None]
    return prod(known), len(shape) - len(known)


def _shown(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
