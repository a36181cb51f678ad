"""MobileNet 1 (arXiv 1704.04861) and 2 (arXiv 1801.04381), by the papers' tables of layers.

Published: 4.2 M parameters and 569 M multiply-accumulates, and 3.4 M and 300 M (torchvision counts
3,504,872 with unfolded normalisation and 301 M).
"""

from __future__ import annotations

from harness.reference.builder import Builder
from harness.reference.graph import Graph, Tensor

CLASSES = 1000
# Version 1: (channels, stride) of each depthwise-separable pair.
PAIRS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
# Version 2: (expansion, channels, blocks, stride of the first) of each stage.
STAGES = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def mobilenet_v1(size: int) -> Graph:
    """Build version 1."""
    builder = Builder(3, size)
    last = builder.conv("conv0", builder.x, 32, 3, "relu6", stride=2)
    for at, (channels, stride) in enumerate(PAIRS, start=1):
        last = builder.depthwise(f"conv{at}.depthwise", last, 3, "relu6", stride=stride)
        last = builder.conv(f"conv{at}.pointwise", last, channels, 1, "relu6")
    pooled = builder.global_pool("pool", last)
    return builder.finish(builder.linear("fc", pooled, CLASSES))


def mobilenet_v2(size: int) -> Graph:
    """Build version 2 with the names that torchvision gives the blocks."""
    builder = Builder(3, size)
    last = builder.conv("features.0", builder.x, 32, 3, "relu6", stride=2)
    at = 1
    for expansion, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = 1 if block else first_stride
            last = _inverted(builder, f"features.{at}", last, expansion, channels, stride)
            at += 1
    last = builder.conv(f"features.{at}", last, 1280, 1, "relu6")
    pooled = builder.global_pool("pool", last)
    return builder.finish(builder.linear("classifier", pooled, CLASSES))


def _inverted(
    builder: Builder, name: str, source: Tensor, expansion: int, channels: int, stride: int
) -> Tensor:
    """Add an inverted residual: wide inside, narrow and without activation at its end."""
    inner = source
    if expansion > 1:
        inner = builder.conv(f"{name}.expand", source, expansion * source.channels, 1, "relu6")
    inner = builder.depthwise(f"{name}.depthwise", inner, 3, "relu6", stride=stride)
    outer = builder.conv(f"{name}.project", inner, channels)
    if stride > 1 or channels != source.channels:
        return outer
    return builder.add(f"{name}.add", source, outer)
