"""What a layer's weights are multiplied with: its input, unfolded position by position.

A product's output is `weights @ features`, [groups, outputs, columns] x [groups, columns,
positions], with the columns in the order of `harness.variants.sparsity.weights.View`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from harness.errors import InputError
from harness.variants.network import Array, Feeds, Layer, Network, Product, Window

# Positions that statistics of one layer are taken from, over all samples: several times the
# columns of most layers, few enough for seconds.
POSITIONS = 10_000
# A Gram matrix of more columns would need gigabytes.
MOST_COLUMNS = 16_384
_SEED = 2301  # of the positions that are looked at; the same in every network


def unfolded(product: Product, data: Array, limit: int | None = None, seed: int = 0) -> Array:
    """Return a product's features as float32 [groups, columns, positions].

    Positions count through all axes of the output but its channels, in the data's order of axes;
    of more than `limit` a random choice stays, the same for outputs of the same size. Positions
    that only a transposed convolution's output padding adds are not among them.
    """
    window = product.window
    spatial = window.axes if window else ()
    channels = data.shape[product.data_axis]
    last = (product.data_axis, *spatial)
    moved = np.moveaxis(data, last, range(-len(last), 0))
    moved = moved.reshape(-1, *moved.shape[-len(last) :])  # [rest, channels, *spatial]
    views = _windows(moved, window) if window else moved
    grid = (views.shape[0], *views.shape[2 : 2 + len(spatial)])
    at = np.unravel_index(_choice(prod(grid), limit, seed), grid)
    # [positions, channels, *kernel]
    taken = np.moveaxis(views, 1, len(grid))[at]
    inputs = channels // product.groups
    split = taken.reshape(len(taken), product.groups, inputs, -1)
    columns = split.transpose(1, 3, 2, 0).reshape(product.groups, -1, len(taken))
    return np.ascontiguousarray(columns, np.float32)


def each_sample(network: Network, layers: Sequence[Layer], feeds: Feeds) -> Iterator[list[Array]]:
    """Run the samples one by one; yields the features of every layer, in the layers' order.

    Raises InputError where a layer is fed with values whose squares are not finite.
    """
    limit = max(1, POSITIONS // sample_count(feeds))
    tensors = [layer.node.inputs[0] for layer in layers]
    for seed, values in enumerate(network.values(list(dict.fromkeys(tensors)), feeds)):
        found = []
        for layer, tensor in zip(layers, tensors, strict=True):
            assert layer.node.product is not None
            features = unfolded(layer.node.product, values[tensor], limit, seed)
            _check(layer, features, seed)
            found.append(features)
        yield found


def grams(network: Network, layers: Sequence[Layer], feeds: Feeds) -> list[Array]:
    """Return for each layer the products of its features, summed: [groups, columns, columns]."""
    sums: list[Array] = [np.zeros(())] * len(layers)
    for sample in each_sample(network, layers, feeds):
        for index, features in enumerate(sample):
            sums[index] = sums[index] + (features @ features.transpose(0, 2, 1)).astype(np.float64)
    return sums


def squares(network: Network, layers: Sequence[Layer], feeds: Feeds) -> list[Array]:
    """Return for each layer the squares of its features, summed: [groups, columns]."""
    sums: list[Array] = [np.zeros(())] * len(layers)
    for sample in each_sample(network, layers, feeds):
        for index, features in enumerate(sample):
            sums[index] = sums[index] + np.square(features, dtype=np.float64).sum(axis=2)
    return sums


def sample_count(feeds: Feeds) -> int:
    """Return how many samples there are; raises InputError if none."""
    counts = {len(samples) for samples in feeds.values()}
    if not counts or 0 in counts:
        raise InputError(
            "there are no calibration samples",
            where="calibration",
            next_step="give an .npz file with samples",
        )
    return min(counts)


def _windows(data: Array, window: Window) -> Array:
    """View [rest, channels, *spatial] as [rest, channels, *output positions, *kernel]."""
    if window.transposed:
        return _transposed_windows(data, window)
    return _slid(data, window.kernel, window.strides, window.dilations, window.pads)


def _transposed_windows(data: Array, window: Window) -> Array:
    """See a transposed convolution as one of the data with zeros between and around it.

    Dumoulin and Visin, arXiv 1603.07285, section 4: the kernel is turned around.
    """
    sizes = data.shape[2:]
    apart = [(size - 1) * step + 1 for size, step in zip(sizes, window.strides, strict=True)]
    spread = np.zeros((*data.shape[:2], *apart), data.dtype)
    between = (slice(None, None, step) for step in window.strides)
    spread[(slice(None), slice(None), *between)] = data
    reach = [
        dilation * (size - 1)
        for size, dilation in zip(window.kernel, window.dilations, strict=True)
    ]
    pads = [
        (far - before, far - after) for far, (before, after) in zip(reach, window.pads, strict=True)
    ]
    steps = (1,) * len(reach)
    views = _slid(spread, window.kernel, steps, window.dilations, pads)
    return np.flip(views, axis=tuple(range(-len(reach), 0)))


def _slid(
    data: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> Array:
    padded = np.pad(data, [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in pads)])
    # A negative padding, as some transposed convolutions have, cuts off.
    inner = tuple(slice(max(-a, 0), min(b, 0) or None) for a, b in pads)
    padded = padded[(slice(None), slice(None), *inner)]
    reach = [step * (size - 1) + 1 for size, step in zip(kernel, dilations, strict=True)]
    axes = tuple(range(2, 2 + len(reach)))
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=axes)
    steps = (slice(None, None, step) for step in (*strides, *dilations))
    return views[(slice(None), slice(None), *steps)]


def _choice(positions: int, limit: int | None, seed: int) -> Array:
    if limit is None or positions <= limit:
        return np.arange(positions)
    random = np.random.default_rng((_SEED, seed))
    return np.sort(random.choice(positions, limit, replace=False))


def _check(layer: Layer, features: Array, sample: int) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.square(features).sum()
    if not np.isfinite(energy):
        raise InputError(
            f"calibration sample {sample} feeds it values that are not finite, or too large",
            where=f"layer {layer.node.name}",
            next_step="check the samples, and that the model computes in their range",
        )
