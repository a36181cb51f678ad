"""Layer-wise calibration: what a pruned layer keeps is fitted to what the dense layer computed.

Lazarevich et al., "Post-training deep neural network pruning via layer-wise calibration" (2021).
Each layer's remaining weights and its bias are the least squares solution that maps what the
pruned network feeds it to the dense layer's output. No labels, no gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.variants.network import Array, Feeds, Graph, Indices, Kept, Layer, Network
from harness.variants.sparsity.features import MOST_COLUMNS, POSITIONS, each_sample
from harness.variants.sparsity.weights import View, view

# The ridge that holds weights near what they were, as a share of the Gram matrix's mean diagonal.
DAMPING = 0.01
# One sample of so many only judges: an update must lower the error on samples it was not made from.
HELD_OUT = 5
# What the dense layers' outputs may take while they are held; more means running it more often.
MOST_BYTES = 512 << 20
# Conjugate gradients stop at this share of the first residual, or after so many steps.
_TOLERANCE = 1e-4
_STEPS = 100


@dataclass(frozen=True)
class _Pair:
    """One layer in both networks, its weights as matrices [groups, outputs, columns]."""

    dense: Layer
    pruned: Layer
    dense_view: View
    view: View  # of the pruned layer
    support: Array  # bool, of the pruned layer's matrix: what may change
    outputs: Indices | None  # of the dense layer's outputs, those that the pruned one has
    dense_bias: str | None  # constants, one value for each output; null: the bias stays as it is
    bias: str | None


@dataclass
class _Sums:
    """What least squares need, summed over positions. Targets are [groups, outputs, positions]."""

    count: int
    gram: Array  # features x features: [groups, columns, columns]
    cross: Array  # targets x features: [groups, outputs, columns]
    features: Array  # [groups, columns]
    targets: Array  # [groups, outputs]


def calibrate(
    dense: Network,
    pruned: Network,
    feeds: Feeds,
    masks: Mapping[str, Array] | None,
    kept: Kept | None,
) -> list[str]:
    """Fit the pruned network's layers to the dense ones, in order, each fed by those before.

    `masks` (weight -> bool, of the pruned network's shapes) say which layers are fitted and which
    of their weights stay zero; without any, all layers are, with every weight. `kept` tells which
    positions of the dense network the pruned one has left. Returns a line for each layer.
    """
    pairs: dict[str, _Pair | str] = {}
    before = {layer.node.name: layer for layer in dense.graph.layers()}
    for layer in pruned.graph.layers():
        name = layer.node.name
        if layer.node.product is not None and (not masks or layer.weight in masks):
            pairs[name] = _pair(dense, pruned, before.get(name), layer, masks, kept or {})
    notes = {name: pair for name, pair in pairs.items() if isinstance(pair, str)}
    for some in _portions([pair for pair in pairs.values() if isinstance(pair, _Pair)]):
        for pair, targets in zip(some, _targets(dense, some, feeds), strict=True):
            notes[pair.pruned.node.name] = _fit(pruned, pair, feeds, targets)
    return [f"{name}: {notes[name]}" for name in pairs]


def _portions(pairs: Sequence[_Pair]) -> Iterator[list[_Pair]]:
    """Split the layers, in order, so that the targets of each portion fit into memory."""
    some: list[_Pair] = []
    rows = 0
    for pair in pairs:
        rows += pair.view.groups * pair.view.outputs
        if some and rows * POSITIONS * 4 > MOST_BYTES:
            yield some
            some, rows = [], pair.view.groups * pair.view.outputs
        some.append(pair)
    if some:
        yield some


def _pair(
    dense: Network,
    pruned: Network,
    before: Layer | None,
    layer: Layer,
    masks: Mapping[str, Array] | None,
    kept: Kept,
) -> _Pair | str:
    """Match a layer with its dense one, or say why it is not calibrated."""
    if before is None or before.node.product is None:
        return "not calibrated: the dense network has no such layer"
    graph, product = pruned.graph, before.node.product
    seen, dense_seen = view(graph, layer), view(dense.graph, before)
    if isinstance(seen, str) or isinstance(dense_seen, str):
        return f"not calibrated: {seen if isinstance(seen, str) else dense_seen}"
    if _uses(graph, layer.weight) > 1:
        return "not calibrated: other operators share its weight"
    if not np.issubdtype(pruned.constant(layer.weight).dtype, np.floating):
        return "not calibrated: its weight is quantised"
    if seen.columns > MOST_COLUMNS:
        return f"not calibrated: {seen.columns} inputs for each output are too many"
    outputs = kept.get(before.node.outputs[0], {}).get(product.output_axis)
    count = dense_seen.groups * dense_seen.outputs if outputs is None else len(outputs)
    if count != seen.groups * seen.outputs:
        return "not calibrated: its outputs do not match the dense layer's"
    mask = masks[layer.weight] if masks else np.ones(seen.shape, bool)
    biases = _bias_name(dense, before, dense_seen), _bias_name(pruned, layer, seen)
    if None in biases:
        biases = None, None
    return _Pair(before, layer, dense_seen, seen, seen.matrix(mask), outputs, *biases)


def _uses(graph: Graph, constant: str) -> int:
    return sum(constant in node.inputs for node in graph.nodes)


def _bias_name(network: Network, layer: Layer, seen: View) -> str | None:
    """Return the constant that is the layer's bias and nothing else's; null: it has none."""
    graph = network.graph
    bias = layer.bias or _added_after(graph, layer)
    if bias is None or _uses(graph, bias) > 1:
        return None
    values = network.constant(bias)
    fits = values.size == seen.groups * seen.outputs
    return bias if fits and np.issubdtype(values.dtype, np.floating) else None


def _added_after(graph: Graph, layer: Layer) -> str | None:
    """Return the constant that the next operator adds along the outputs, as OpenVINO's files do."""
    output, product = layer.node.outputs[0], layer.node.product
    users = [node for node in graph.nodes if output in node.inputs]
    if product is None or output in graph.outputs or len(users) != 1:
        return None
    others = [name for name in users[0].inputs if name != output]
    if users[0].operator.lower() != "add" or len(others) != 1 or others[0] not in graph.constants:
        return None
    rank, shape = len(graph.shapes[output]), graph.shapes[others[0]]
    aligned = (1,) * (rank - len(shape)) + tuple(shape)
    along = all(size == 1 for axis, size in enumerate(aligned) if axis != product.output_axis)
    return others[0] if along else None


def _fit(pruned: Network, pair: _Pair, feeds: Feeds, targets: Sequence[Array]) -> str:
    """Update one layer if that brings it nearer to the dense one on held-out samples."""
    old = pair.view.matrix(pruned.constant(pair.pruned.weight)).astype(np.float64)
    old_bias = _bias(pruned, pair.bias, pair.view)
    fitting, judging = _observe(pruned, pair, feeds, targets)
    if not judging:
        return "not calibrated: too few samples to judge it by"
    new, new_bias = _solve(fitting, old, old_bias, pair)
    before, after = _error(judging, old, old_bias), _error(judging, new, new_bias)
    if not after < before:
        return f"left as it was: relative error {before:.3g}, calibrated {after:.3g}"
    pruned.replace(pair.pruned.weight, pair.view.restore(new))
    if pair.bias is not None:
        pruned.replace(pair.bias, new_bias.reshape(pruned.constant(pair.bias).shape))
    return f"relative error {before:.3g} -> {after:.3g}"


def _bias(network: Network, name: str | None, seen: View) -> Array:
    if name is None:
        return np.zeros((seen.groups, seen.outputs))
    return network.constant(name).astype(np.float64).reshape(seen.groups, seen.outputs)


def _targets(dense: Network, pairs: Sequence[_Pair], feeds: Feeds) -> list[list[Array]]:
    """Return what the dense layers compute: for each pair [groups, outputs, positions] a sample.

    It is computed, not read: the file's operator may have an activation fused to it.
    """
    weights = [
        one.dense_view.matrix(dense.constant(one.dense.weight)).astype(np.float32) for one in pairs
    ]
    biases = [_bias(dense, one.dense_bias, one.dense_view).astype(np.float32) for one in pairs]
    targets: list[list[Array]] = [[] for _ in pairs]
    for sample in each_sample(dense, [pair.dense for pair in pairs], feeds):
        for index, (pair, features) in enumerate(zip(pairs, sample, strict=True)):
            output = weights[index] @ features + biases[index][..., None]
            rows = output.reshape(-1, output.shape[-1])
            rows = rows if pair.outputs is None else rows[pair.outputs]
            targets[index].append(rows.reshape(pair.view.groups, pair.view.outputs, -1))
    return targets


def _observe(
    pruned: Network, pair: _Pair, feeds: Feeds, all_targets: Sequence[Array]
) -> tuple[_Sums, list[tuple[Array, Array]]]:
    """Run the pruned network; returns sums to fit with and (features, targets) to judge by."""
    sums: _Sums | None = None
    judging = []
    samples = zip(each_sample(pruned, [pair.pruned], feeds), all_targets, strict=True)
    for number, ([features], targets) in enumerate(samples):
        # A single sample cannot be held out as a whole, so a part of its positions is.
        few = len(all_targets) < HELD_OUT
        held = np.zeros(features.shape[2], bool)
        held[HELD_OUT - 1 :: HELD_OUT] = few
        held |= not few and number % HELD_OUT == HELD_OUT - 1
        if held.any():
            judging.append((features[..., held], targets[..., held]))
        sums = _added(sums, features[..., ~held], targets[..., ~held])
    assert sums is not None  # there is at least one sample
    return sums, judging


def _added(sums: _Sums | None, features: Array, targets: Array) -> _Sums:
    turned = features.transpose(0, 2, 1)
    new = _Sums(
        count=features.shape[2],
        gram=(features @ turned).astype(np.float64),
        cross=(targets @ turned).astype(np.float64),
        features=features.sum(axis=2, dtype=np.float64),
        targets=targets.sum(axis=2, dtype=np.float64),
    )
    if sums is None:
        return new
    return _Sums(
        sums.count + new.count,
        sums.gram + new.gram,
        sums.cross + new.cross,
        sums.features + new.features,
        sums.targets + new.targets,
    )


def _solve(sums: _Sums, old: Array, old_bias: Array, pair: _Pair) -> tuple[Array, Array]:
    """Return the weights and bias of least squares; weights outside the support stay zero."""
    gram, cross = sums.gram, sums.cross
    if pair.bias is not None:  # centred, so that the bias takes up the means
        mean = sums.features / sums.count
        gram = gram - sums.features[:, :, None] * mean[:, None, :]
        cross = cross - sums.targets[:, :, None] * mean[:, None, :]
    new = old + ridge(gram, cross - old @ gram, pair.support)
    if pair.bias is None:
        return new, old_bias
    predicted = np.einsum("goc,gc->go", new, sums.features)
    return new, (sums.targets - predicted) / sums.count


def ridge(gram: Array, cross: Array, support: Array) -> Array:
    """Solve change @ (gram + damping) = cross for every row within its support.

    `gram` is [groups, columns, columns]; `cross`, `support` and the result are [groups, rows,
    columns]; the result is zero outside the support. Conjugate gradients, preconditioned by the
    diagonal, solve all rows at once; a row that stops early is only nearer to no change.
    """
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    mean = diagonal.mean(axis=1, keepdims=True)
    damping = (
        DAMPING * np.where(mean > 0, mean, 1.0)[:, None, :]
    )  # fed with zeros only: any will do
    scale = diagonal[:, None, :] + damping
    change = np.zeros_like(cross)
    residual = np.where(support, cross, 0.0)
    step = residual / scale
    energy = _dot(residual, step)
    enough = _TOLERANCE**2 * energy
    for _ in range(_STEPS):
        going = energy > enough
        if not going.any():
            break
        ahead = np.where(support, step @ gram + damping * step, 0.0)
        length = np.divide(energy, _dot(step, ahead), out=np.zeros_like(energy), where=going)
        change += length * step
        residual -= length * ahead
        left = residual / scale
        now = _dot(residual, left)
        turn = np.divide(now, energy, out=np.zeros_like(energy), where=going)
        step = left + turn * step
        energy = now
    return change


def _dot(a: Array, b: Array) -> Array:
    products: Array = np.einsum("goc,goc->go", a, b)
    return products[..., None]


def _error(judging: list[tuple[Array, Array]], weights: Array, bias: Array) -> float:
    """Return the relative error: |weights @ features + bias - targets| / |targets|."""
    wrong = whole = 0.0
    for features, targets in judging:
        wrong += float(np.square(weights @ features + bias[..., None] - targets).sum())
        whole += float(np.square(targets).sum())
    return float(np.sqrt(wrong / whole)) if whole else float(np.sqrt(wrong))
