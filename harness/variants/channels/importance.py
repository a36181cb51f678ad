"""How much each unit of a network matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.errors import InputError
from harness.variants.channels.coupling import Coupling, Producer
from harness.variants.network import Array, Feeds, Layer, Network

Criterion = Literal["l1", "l2", "activation"]
Score = np.ndarray[tuple[int], np.dtype[np.float64]]


def score(network: Network, coupling: Coupling, criterion: Criterion, feeds: Feeds | None) -> Score:
    """Return the importance of each unit; 1 is the mean of the layers that make it.

    l1, l2: the norm of the weights that make the unit (Li et al., arXiv 1608.08710). activation:
    the mean absolute output over the samples. Each layer's values are divided by their mean, so
    that layers with many inputs count no more than others; a unit made by several has the mean of
    all its positions (l2: the root of the mean square).
    """
    power = 2 if criterion == "l2" else 1
    total = np.zeros(len(coupling.removable))
    count = np.zeros(len(coupling.removable))
    makers = [item for item in coupling.producers if coupling.removable[item.units].any()]
    for producer, strength in zip(
        makers, _strengths(network, makers, criterion, feeds), strict=True
    ):
        mean = strength.mean()
        if not np.isfinite(mean):
            raise InputError(
                f"layer {producer.layer.node.name} has weights or outputs that are not finite",
                next_step="give a network and samples without NaN and infinities",
            )
        np.add.at(total, producer.units, (strength / (mean or 1.0)) ** power)
        np.add.at(count, producer.units, 1)
    result: Score = (total / np.maximum(count, 1)) ** (1 / power)
    return result


def _strengths(
    network: Network, makers: Sequence[Producer], criterion: Criterion, feeds: Feeds | None
) -> list[Score]:
    """Return for each layer the strength of each of its output channels."""
    if criterion == "activation":
        return _activations(network, [producer.layer for producer in makers], feeds)
    order = 1 if criterion == "l1" else 2
    return [
        np.linalg.norm(
            outputs_first(producer.layer, network.constant(producer.layer.weight)),
            ord=order,
            axis=1,
        )
        for producer in makers
    ]


def outputs_first(layer: Layer, weight: Array) -> Array:
    """Return a layer's weight as [output channels, weights of one] in float64."""
    product = layer.node.product
    if product is None:  # an embedding: [rows, width]
        axes: tuple[int, ...] = (1,)
    elif product.groups > 1 and product.weight_group is not None:
        axes = (product.weight_group, product.weight_out)
    else:
        axes = (product.weight_out,)
    front = np.moveaxis(weight, axes, range(len(axes))).astype(np.float64)
    return front.reshape(int(np.prod(front.shape[: len(axes)])), -1)


def _activations(network: Network, layers: Sequence[Layer], feeds: Feeds | None) -> list[Score]:
    if feeds is None:
        raise InputError(
            "criterion activation measures outputs and needs samples",
            next_step="add `calibration:` to `prune:`",
        )
    tensors = [layer.node.outputs[0] for layer in layers]
    totals: list[Score] = [np.zeros(1) for _ in layers]
    samples = 0
    for values in network.values(tensors, feeds):
        samples += 1
        for i, layer in enumerate(layers):
            axis = layer.node.product.output_axis if layer.node.product else -1
            output = np.abs(np.moveaxis(values[tensors[i]], axis, 0).astype(np.float64))
            totals[i] = totals[i] + output.reshape(len(output), -1).mean(axis=1)
    if not samples:
        raise InputError("the calibration holds no samples", next_step="give at least one")
    return [total / samples for total in totals]
