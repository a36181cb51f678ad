"""Seeded weights, scaled by what each layer sees, so that signals live through the whole network.

A random deep network whose layers are only scaled by their fan-in answers nearly the same to every
input: the mean of its activations outgrows what differs between inputs. Trained networks have batch
normalisation against that (Ioffe and Szegedy, arXiv 1502.03167), so these weights are normalised
by the statistics of a few seeded images, and the statistics are folded in, as in deployed files.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.reference import execute
from harness.reference.execute import Doubles
from harness.reference.graph import Array, Convolution, Expectation, Graph, Tensor, Weighted

PIXELS = 1 << 18  # of all images together, but at least two images
GRID = 16  # forms along each side of an image
# Bits that the statistics keep. Sums differ between processors in their last bits; after rounding
# they don't, and the same seed gives the same weights everywhere.
STATISTICS_BITS = 8
SPREAD, SHIFT = 0.25, 0.1  # of the normalisation's factor about 1, and of its offset about 0


@dataclass(frozen=True)
class Weights:
    """What a convolution (outputs, inputs, height, width) or matrix product learns."""

    weight: Array
    bias: Array


def make(graph: Graph, seed: int) -> Mapping[str, Weights]:
    """Return layer name -> weights; the same for a graph, whatever the machine.

    The statistics are of the graph's own input size: in a smaller one padding counts for more.
    """
    made: dict[str, Weights] = {}
    values: dict[Tensor, Doubles] = {graph.input: _images(graph.input, seed)}
    last_use = {tensor: op for op in graph.operations for tensor in (*op.inputs, *op.outputs)}
    for operation in graph.operations:
        sources = [values[tensor] for tensor in operation.inputs]
        if isinstance(operation, Weighted):
            made[operation.name], result = _layer(operation, sources[0], seed)
            results: tuple[Doubles, ...] = (result,)
        else:
            results = execute.outputs(operation, *sources)
        values.update(zip(operation.outputs, results, strict=True))
        for tensor in operation.inputs:
            if last_use[tensor] is operation:
                values.pop(tensor, None)
    return made


def bins(operation: Expectation) -> Array:
    """Return the values that an expectation weighs, as a weight: (1, bins, 1, 1)."""
    return np.arange(operation.bins, dtype=np.float32).reshape(1, -1, 1, 1)


def _layer(operation: Weighted, source: Doubles, seed: int) -> tuple[Weights, Doubles]:
    drawn = _normal(seed, operation.name, operation.weight_shape)
    raw = drawn * np.abs(drawn)  # heavier tails than normal, as trained weights have
    sums = execute.product(operation, source, raw)
    axes = (0, *range(2, sums.ndim))
    mean, spread = _statistics(sums, axes, centred=operation.output.positions != (1, 1))
    scale = (1 + SPREAD * _normal(seed, f"{operation.name}.scale", mean.shape)) / spread
    bias = SHIFT * _normal(seed, f"{operation.name}.shift", mean.shape) - mean * scale
    tail = (-1, *[1] * (sums.ndim - 2))
    result = sums * scale.reshape(tail) + bias.reshape(tail)
    weight = raw * scale.reshape(-1, *[1] * (raw.ndim - 1))
    activation = operation.activation if isinstance(operation, Convolution) else None
    return (
        Weights(weight.astype(np.float32), bias.astype(np.float32)),
        execute.activated(result, activation),
    )


def _statistics(sums: Doubles, axes: tuple[int, ...], *, centred: bool) -> tuple[Doubles, float]:
    """Return the mean of each channel and the deviation about it over the layer, rounded.

    One position a sample is too few to know a mean by: there it counts as 0.
    """
    mean = sums.mean(axes) if centred else np.zeros(sums.shape[1])
    deviation = math.sqrt(float(((sums - mean.reshape(-1, *[1] * (sums.ndim - 2))) ** 2).mean()))
    step = 2.0 ** (math.frexp(deviation)[1] - STATISTICS_BITS)
    return np.round(mean / step) * step, round(deviation / step) * step


def _images(tensor: Tensor, seed: int) -> Doubles:
    """Return images of mean 0 and about unit variance: [count, channels, height, width].

    Half are noise, half show large forms.
    """
    count = max(2, PIXELS // math.prod(tensor.positions))
    noise = _normal(seed, "images", (count, *tensor.shape))
    forms = _normal(seed, "forms", (count, tensor.channels, GRID, GRID))
    height, width = tensor.positions
    rows, columns = np.arange(height) * GRID // height, np.arange(width) * GRID // width
    smooth = forms[:, :, rows][..., columns]
    half = count // 2
    return np.concatenate([noise[:half], smooth[half:] + 0.25 * noise[half:]])


def _normal(seed: int, name: str, shape: tuple[int, ...]) -> Doubles:
    """Draw from nearly a normal distribution: the sum of four uniform 16-bit integers.

    Integers of a bit generator are the same in every version of numpy and on every machine, which
    numpy does not promise of its distributions.
    """
    seeds = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
    raw = np.random.PCG64(seeds).random_raw(math.prod(shape))
    total = raw.view(np.uint16).reshape(-1, 4).sum(1, dtype=np.int64).reshape(shape)
    variance = 4 * (2**32 - 1) / 12
    drawn: Doubles = (total - 2 * 65535) / math.sqrt(variance)
    return drawn
