"""DeepLabv3 (arXiv 1706.05587) on MobileNetV3-Large (arXiv 1905.02244), as in torchvision.

The last blocks are dilated instead of strided, so that the maps are a sixteenth of the image.
Published by torchvision: 11,029,328 parameters, with the auxiliary head that only training uses,
and 10.452 G multiply-accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.reference.builder import Builder
from harness.reference.graph import Activation, Graph, Tensor

CLASSES = 21
ASPP_WIDTH, RATES = 256, (12, 24, 36)
LAST_WIDTH = 960


@dataclass(frozen=True)
class _Block:
    kernel: int
    expanded: int
    channels: int
    excite: bool
    activation: Activation
    stride: int = 1
    dilation: int = 1


# Table 1 of the MobileNetV3 paper.
BLOCKS = (
    _Block(3, 16, 16, False, "relu"),
    _Block(3, 64, 24, False, "relu", stride=2),
    _Block(3, 72, 24, False, "relu"),
    _Block(5, 72, 40, True, "relu", stride=2),
    _Block(5, 120, 40, True, "relu"),
    _Block(5, 120, 40, True, "relu"),
    _Block(3, 240, 80, False, "hard_swish", stride=2),
    _Block(3, 200, 80, False, "hard_swish"),
    _Block(3, 184, 80, False, "hard_swish"),
    _Block(3, 184, 80, False, "hard_swish"),
    _Block(3, 480, 112, True, "hard_swish"),
    _Block(3, 672, 112, True, "hard_swish"),
    _Block(5, 672, 160, True, "hard_swish", dilation=2),
    _Block(5, 960, 160, True, "hard_swish", dilation=2),
    _Block(5, 960, 160, True, "hard_swish", dilation=2),
)


def deeplabv3_mobilenetv3(size: int) -> Graph:
    """Build it: scores of each class at each pixel."""
    builder = Builder(3, size)
    last = builder.conv("backbone.0", builder.x, 16, 3, "hard_swish", stride=2)
    for at, block in enumerate(BLOCKS, start=1):
        last = _inverted(builder, f"backbone.{at}", last, block)
    last = builder.conv(f"backbone.{len(BLOCKS) + 1}", last, LAST_WIDTH, 1, "hard_swish")
    last = _aspp(builder, "classifier.0", last)
    last = builder.conv("classifier.1", last, ASPP_WIDTH, 3, "relu")
    last = builder.conv("classifier.4", last, CLASSES)
    return builder.finish(builder.resize("resize", last, (size, size), "bilinear"))


def _inverted(builder: Builder, name: str, source: Tensor, block: _Block) -> Tensor:
    """Add an inverted residual with its excitation."""
    inner = source
    if block.expanded != source.channels:
        inner = builder.conv(f"{name}.expand", source, block.expanded, 1, block.activation)
    inner = builder.depthwise(
        f"{name}.depthwise",
        inner,
        block.kernel,
        block.activation,
        stride=block.stride,
        dilation=block.dilation,
    )
    if block.excite:
        inner = _excited(builder, f"{name}.se", inner)
    outer = builder.conv(f"{name}.project", inner, block.channels)
    if block.stride > 1 or block.channels != source.channels:
        return outer
    return builder.add(f"{name}.add", source, outer)


def _excited(builder: Builder, name: str, source: Tensor) -> Tensor:
    """Weigh the channels by what all positions hold (squeeze and excitation, arXiv 1709.01507)."""
    pooled = builder.global_pool(f"{name}.pool", source, keep=True)
    narrow = builder.conv(f"{name}.fc1", pooled, _eighths(source.channels // 4), 1, "relu")
    gate = builder.conv(f"{name}.fc2", narrow, source.channels, 1, "hard_sigmoid")
    return builder.multiply(f"{name}.scale", source, gate)


def _eighths(channels: int) -> int:
    """Round to a multiple of 8, but not below nine tenths (MobileNet's rule)."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _aspp(builder: Builder, name: str, source: Tensor) -> Tensor:
    """Look at several distances at once (atrous spatial pyramid pooling)."""
    branches = [builder.conv(f"{name}.convs.0", source, ASPP_WIDTH, 1, "relu")]
    for at, rate in enumerate(RATES, start=1):
        branches.append(
            builder.conv(f"{name}.convs.{at}", source, ASPP_WIDTH, 3, "relu", dilation=rate)
        )
    pooled = builder.global_pool(f"{name}.convs.4.pool", source, keep=True)
    pooled = builder.conv(f"{name}.convs.4", pooled, ASPP_WIDTH, 1, "relu")
    branches.append(builder.resize(f"{name}.convs.4.resize", pooled, source.positions, "bilinear"))
    joined = builder.concat(f"{name}.concat", *branches)
    return builder.conv(f"{name}.project", joined, ASPP_WIDTH, 1, "relu")
