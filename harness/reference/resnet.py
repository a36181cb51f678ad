"""ResNet-18: He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385).

Published by torchvision: 11,689,512 parameters, of which folding takes 4,800 away, and 1.814 G
multiply-accumulates.
"""

from __future__ import annotations

from harness.reference.builder import Builder
from harness.reference.graph import Graph, Tensor

WIDTHS = (64, 128, 256, 512)
BLOCKS = 2  # of each stage
CLASSES = 1000


def resnet18(size: int) -> Graph:
    """Build it with the names that torchvision gives the layers."""
    builder = Builder(3, size)
    last = builder.conv("conv1", builder.x, WIDTHS[0], 7, "relu", stride=2)
    last = builder.max_pool("maxpool", last, 3, stride=2)
    for stage, width in enumerate(WIDTHS):
        for block in range(BLOCKS):
            stride = 2 if stage and not block else 1
            last = _block(builder, f"layer{stage + 1}.{block}", last, width, stride)
    pooled = builder.global_pool("avgpool", last)
    return builder.finish(builder.linear("fc", pooled, CLASSES))


def _block(builder: Builder, name: str, source: Tensor, width: int, stride: int) -> Tensor:
    inner = builder.conv(f"{name}.conv1", source, width, 3, "relu", stride=stride)
    outer = builder.conv(f"{name}.conv2", inner, width, 3)
    shortcut = source
    if stride > 1:
        shortcut = builder.conv(f"{name}.downsample", source, width, stride=stride)
    return builder.add(f"{name}.add", outer, shortcut, "relu")
