"""What a network can do without: units, and the families that they compete in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from harness.variants.channels import rules
from harness.variants.channels.labels import Flags, Labels, Units
from harness.variants.network import Graph, Indices, Kept, Layer


@dataclass(frozen=True)
class Family:
    """Units that are made by the same layers, as the channels of one residual stage are."""

    layers: tuple[Layer, ...]  # those that make them, in order
    units: Indices
    heads: bool  # whole attention heads, not single channels
    width: int  # output channels of a layer that one unit has: more than 1 in heads and groups

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the layers."""
        return tuple(layer.node.name for layer in self.layers)


@dataclass(frozen=True)
class Producer:
    """A layer with weights and the unit of each position of its output channels."""

    layer: Layer
    units: Indices


@dataclass(frozen=True)
class Coupling:
    """Which positions of a network's tensors are one unit: they all go, or they all stay.

    A unit is one output channel of a layer, or one group or attention head, with everything that
    depends on it.
    """

    families: Sequence[Family]
    producers: Sequence[Producer]
    # tensor -> axis -> unit of each position, where a removable one is among them
    positions: Mapping[str, Mapping[int, Indices]]
    removable: Flags  # unit -> whether it can go
    fixed: Mapping[str, str]  # layer none of whose outputs can go -> why
    untouched: Mapping[str, str]  # node that no rule covers -> why

    def kept(self, gone: Indices) -> Kept:
        """Return what stays of every tensor without some units, where something goes."""
        stays = np.ones(len(self.removable), dtype=bool)
        stays[gone] = False
        return {
            tensor: cut
            for tensor, axes in self.positions.items()
            if (
                cut := {
                    axis: np.flatnonzero(stays[units])
                    for axis, units in axes.items()
                    if not stays[units].all()
                }
            )
        }


def find(graph: Graph) -> Coupling:
    """Find what can go from a network, and what goes together."""
    labels, untouched = rules.apply(graph)
    units = labels.units()
    producers = [_producer(graph, layer, labels, units) for layer in graph.layers()]
    made = np.zeros(len(units.reason), dtype=bool)
    for producer in producers:
        if producer.layer.kind != "embedding":
            made[producer.units] = True
    removable = made & units.free
    return Coupling(
        families=_families(producers, removable, _heads(producers, labels, units)),
        producers=producers,
        positions=_positions(graph, labels, units, removable),
        removable=removable,
        fixed={
            producer.layer.node.name: _why(producer, units)
            for producer in producers
            if not removable[producer.units].any()
        },
        untouched=untouched,
    )


def _producer(graph: Graph, layer: Layer, labels: Labels, units: Units) -> Producer:
    output = labels.axes(layer.node.outputs[0])
    axis = layer.node.product.output_axis if layer.node.product else -1
    channels = output[axis] if output else None
    none = np.empty(0, dtype=np.int64)
    return Producer(layer, none if channels is None else units.of[channels])


def _heads(producers: Sequence[Producer], labels: Labels, units: Units) -> Flags:
    """Return, unit by unit, whether it is a head.

    A head is several output channels of a layer that a product of two activations takes for one
    entry of its batch.
    """
    batched = np.zeros(len(units.reason), dtype=bool)
    for axis in labels.batched:
        batched[units.of[axis]] = True
    several = np.zeros(len(units.reason), dtype=bool)
    for producer in producers:
        several |= np.bincount(producer.units, minlength=len(several)) > 1
    return batched & several


def _families(producers: Sequence[Producer], removable: Flags, heads: Flags) -> tuple[Family, ...]:
    """Let units be of one family if a layer makes both, or a chain of layers connects them so."""
    made = [np.unique(producer.units[removable[producer.units]]) for producer in producers]
    # Nodes: one for each unit, then two for each producer, one for its channels, one for its heads
    count = len(removable)
    makers = [count + 2 * i + heads[units] for i, units in enumerate(made)]
    edges = np.concatenate([np.empty(0, dtype=np.int64), *made])
    ends = np.concatenate([np.empty(0, dtype=np.int64), *makers])
    size = count + 2 * len(producers)
    linked = coo_array((np.ones(len(edges), dtype=bool), (edges, ends)), shape=(size, size))
    family_of = connected_components(linked, directed=False)[1].astype(np.int64)
    return tuple(
        _family(index, family_of[:count], producers, made, heads)
        for index in dict.fromkeys(family_of[edges].tolist())
    )


def _family(
    index: int,
    family_of: Indices,
    producers: Sequence[Producer],
    made: Sequence[Indices],
    heads: Flags,
) -> Family:
    makers = [
        (producer, own[family_of[own] == index])
        for producer, own in zip(producers, made, strict=True)
        if (family_of[own] == index).any()
    ]
    units = np.unique(np.concatenate([own for _, own in makers]))
    width = max(int(np.bincount(producer.units)[own].max()) for producer, own in makers)
    layers = tuple(producer.layer for producer, _ in makers)
    return Family(layers, units, bool(heads[units[0]]), width)


def _positions(
    graph: Graph, labels: Labels, units: Units, removable: Flags
) -> dict[str, dict[int, Indices]]:
    found: dict[str, dict[int, Indices]] = {}
    for tensor in graph.shapes:
        for i, axis in enumerate(labels.axes(tensor)):
            if axis is not None and removable[units.of[axis]].any():
                found.setdefault(tensor, {})[i] = units.of[axis]
    return found


def _why(producer: Producer, units: Units) -> str:
    reason = units.why(producer.units)
    if reason is not None:
        return reason.text
    if producer.layer.kind == "embedding":
        return "nothing but an embedding makes its channels"
    return "the number of its channels is not known"
