"""Samples made worse on purpose: six corruptions in five severities, the same on every device.

After Hendrycks & Dietterich 2019 (arXiv 1903.12261): what a sensor, a lens, or a bad link does to
an input. Theirs are for 8-bit images; these take any preprocessed sample, so amounts are relative
to that sample's own spread and size. They come after the preprocessing.

The same seed, corruption, severity, key of the dataset and index give the same bytes in any batch,
in any order, on any device: random numbers are MT19937's raw integers (numpy's RandomState, whose
streams are frozen: NEP 19), normal ones are sums of twelve uniform integers, means and deviations
are sums of integers, and the rest is elementwise float32.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Callable, Dict, NamedTuple, Tuple

from agents import layout
from agents.backends import UnsupportedError

SEVERITIES = (1, 2, 3, 4, 5)
# Standard deviation in those of the sample: 0.08, 0.12, 0.18, 0.26, 0.38 of ImageNet-C, in images
# of 0..1, by 0.226, the deviation of ImageNet's pixels.
NOISE = (0.35, 0.53, 0.80, 1.15, 1.68)
# Gaussian sigma: ImageNet-C's for axes of 224 pixels, in proportion for shorter ones, but never
# less than CIFAR-10-C's for 32. Longer axes are blurred no more: length is not resolution there.
BLUR, BLUR_LEAST, BLUR_LENGTH = (1, 2, 3, 4, 6), (0.4, 0.6, 0.7, 0.8, 1.0), 224
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of it: ImageNet-C
# Share of the sample that one patch covers, and of each side when it has two axes. Zeiler & Fergus
# 2013 (arXiv 1311.2901) move such a patch, DeVries & Taylor 2017 (1708.04552) place it at random.
COVERED, SIDES = (0.05, 0.1, 0.2, 0.3, 0.5), (0.224, 0.316, 0.447, 0.548, 0.707)
MISSING = (0.1, 0.2, 0.3, 0.4, 0.5)  # share of the channels; at least one, never all. Our own
SUMMED = 1 << 22
BITS = (6, 5, 4, 3, 2)  # of a converter over the sample's own range. Our own


class Corruption(NamedTuple):
    """One corruption of a set."""

    name: str
    severity: int
    seed: int

    def of(self, sample: Any, index: int, key: str) -> Any:
        """Corrupt one sample (no batch), number `index` of the array `key`; keeps its dtype.

        Reals come back as float32. Raises UnsupportedError when it makes no sense for the shape.
        """
        import numpy as np

        named = zlib.crc32(self.name.encode()), zlib.crc32(key.encode())
        random = np.random.RandomState([self.seed, *named, self.severity, index])
        spoil = CORRUPTIONS[self.name]
        spoiled = spoil(sample.astype("float32"), self.severity - 1, random)
        if sample.dtype.kind == "f":
            return spoiled
        info = np.iinfo(sample.dtype)
        return np.clip(np.rint(spoiled), info.min, info.max).astype(sample.dtype)


def applies_to(dtype: Any) -> bool:
    """Whether values are measured: reals and 8-bit ones. Others are indices, masks or counts."""
    return bool(dtype.kind == "f" or (dtype.kind in "iu" and dtype.itemsize == 1))


def noise(sample: Any, level: int, random: Any) -> Any:
    """Add normal noise: a sum of 12 uniform numbers less their mean, which ends at 6 sigma.

    Of 16-bit integers it has the deviation sqrt(2**32 - 1), which is 65536 but for 1e-10.
    """
    import numpy as np

    total = np.zeros(sample.size, "int64")
    for _ in range(12):
        total += np.frombuffer(random.bytes(2 * sample.size), "<u2")
    normal = ((total - 6 * 65535) / 65536).astype("float32").reshape(sample.shape)
    _, deviation = moments(sample)
    return sample + np.float32(deviation * NOISE[level]) * normal


def blur(sample: Any, level: int, random: Any) -> Any:
    """Blur along each axis of places: passes of [w, 1 - 2w, w], each of variance 2w.

    With w up to 1/6, where even one pass has a Gaussian's fourth moment.
    """
    import numpy as np

    for axis in places(sample):
        length = min(sample.shape[axis], BLUR_LENGTH)
        sigma = max(BLUR_LEAST[level], BLUR[level] * length / BLUR_LENGTH)
        passes = math.ceil(3 * sigma * sigma)
        weight = np.float32(sigma * sigma / (2 * passes))
        at = np.arange(sample.shape[axis])
        before, after = np.maximum(at - 1, 0), np.minimum(at + 1, len(at) - 1)
        for _ in range(passes):
            around = sample.take(before, axis) + sample.take(after, axis)
            sample = sample + weight * (around - (sample + sample))
    return sample


def contrast(sample: Any, level: int, random: Any) -> Any:
    """Draw all values towards their mean."""
    import numpy as np

    mean = np.float32(moments(sample)[0])
    return (sample - mean) * np.float32(CONTRAST[level]) + mean


def occlusion(sample: Any, level: int, random: Any) -> Any:
    """Cover one patch with the sample's mean, in all channels."""
    import numpy as np

    axes = places(sample)
    share = COVERED[level] if len(axes) == 1 else SIDES[level]
    patch = [slice(None)] * sample.ndim
    for axis in axes:
        size = max(1, round(sample.shape[axis] * share))
        start = below(random, sample.shape[axis] - size + 1)
        patch[axis] = slice(start, start + size)
    covered = sample.copy()
    covered[tuple(patch)] = np.float32(moments(sample)[0])
    return covered


def missing_channels(sample: Any, level: int, random: Any) -> Any:
    """Put the sample's mean in place of some channels.

    Of one channel over two axes of places, bands of the last go: frequencies, or columns.
    """
    import numpy as np

    axis = layout.channel_axis(sample.shape)
    if axis is None or sample.shape[axis] == 1:
        spatial = layout.spatial_axes(sample.shape)
        axis = spatial[-1] if len(spatial) > 1 else None
    if axis is None or sample.shape[axis] == 1:
        raise UnsupportedError("samples of shape {} have one channel".format(list(sample.shape)))
    channels = sample.shape[axis]
    count = min(max(1, round(channels * MISSING[level])), channels - 1)
    ranks = np.frombuffer(random.bytes(8 * channels), "<u8")
    gone = np.argsort(ranks, kind="stable")[:count]
    left = sample.copy()
    left[(slice(None),) * axis + (gone,)] = np.float32(moments(sample)[0])
    return left


def input_quantisation(sample: Any, level: int, random: Any) -> Any:
    """Round the values to 2**bits levels between the sample's least and greatest."""
    import numpy as np

    least, greatest = sample.min(), sample.max()
    step = (greatest - least) / np.float32(2 ** BITS[level] - 1)
    if not step > 0:
        return sample
    return np.rint((sample - least) / step) * step + least


def places(sample: Any) -> Any:
    """Axes of a sample along which it has neighbours; raises UnsupportedError for none."""
    axes = [axis for axis in layout.spatial_axes(sample.shape) if sample.shape[axis] > 1]
    if not axes:
        raise UnsupportedError(
            "values of samples of shape {} have no neighbours".format(list(sample.shape))
        )
    return axes


def moments(sample: Any) -> Tuple[float, float]:
    """Mean and standard deviation of a sample, to about a millionth of its largest value.

    The values are taken as integers of 20 bits: their sums have no rounding and so no order.
    """
    import numpy as np

    largest = float(np.abs(sample).max())
    if not largest > 0:
        return 0.0, 0.0
    exponent = math.frexp(largest)[1] - 20
    steps = np.rint(np.ldexp(sample.astype("float64"), -exponent)).astype("int64")
    # Squares of 40 bits: so many of them fit into 64.
    parts = (steps.ravel()[at : at + SUMMED] for at in range(0, steps.size, SUMMED))
    count, total, squares = steps.size, int(steps.sum()), sum(int(part.dot(part)) for part in parts)
    deviation = math.sqrt(count * squares - total * total) / count
    return math.ldexp(total / count, exponent), math.ldexp(deviation, exponent)


def below(random: Any, limit: int) -> int:
    """Draw a whole number from 0 to limit - 1."""
    return int.from_bytes(random.bytes(8), "little") % limit


CORRUPTIONS: Dict[str, Callable[[Any, int, Any], Any]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "occlusion": occlusion,
    "missing-channels": missing_channels,
    "input-quantisation": input_quantisation,
}
NAMES = tuple(CORRUPTIONS)
