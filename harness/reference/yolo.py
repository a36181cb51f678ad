"""YOLOv8s-seg: the layers of Ultralytics' yolov8-seg.yaml at scale s, with its decoding.

It ends where Ultralytics' exports end: boxes and scores decoded, before suppression. The boxes'
sides are means of distributions (arXiv 2006.04388). Published: 11.8 M parameters and 42.6 GFLOPs
(docs.ultralytics.com/models/yolov8), of which 2.5 are no work: the counter (thop) takes each
position of the transposed convolution for four. Here they are 2 x 20.04 G multiply-accumulates.
"""

from __future__ import annotations

import numpy as np

from harness.reference.builder import Builder
from harness.reference.graph import Activation, Array, Graph, Tensor

CLASSES, COEFFICIENTS, BINS = 80, 32, 16
STRIDES = (8, 16, 32)
# Scale s: half of the widths 64 ... 1024, a third of the depths 3, 6, 6, 3.
WIDTHS = (32, 64, 128, 256, 512)
DEPTHS = (1, 2, 2, 1)
PROTOTYPES = 128
ACTIVATION: Activation = "silu"


def yolov8s_seg(size: int) -> Graph:
    """Build it; `size` is a multiple of 32."""
    builder = Builder(3, size)
    levels = _neck(builder, *_backbone(builder))
    box = _branch(builder, "cv2", levels, 64, 4 * BINS)
    score = _branch(builder, "cv3", levels, 128, CLASSES, "sigmoid")
    mask = _branch(builder, "cv4", levels, COEFFICIENTS, COEFFICIENTS)
    boxes = _decoded(builder, box, size)
    detections = builder.concat("model.22.concat", boxes, score, mask)
    return builder.finish(detections, _prototypes(builder, levels[0]), names=("output0", "protos"))


def _conv(
    builder: Builder, name: str, source: Tensor, width: int, kernel: int, stride: int = 1
) -> Tensor:
    return builder.conv(f"{name}.conv", source, width, kernel, ACTIVATION, stride=stride)


def _backbone(builder: Builder) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maps at strides 8, 16 and 32."""
    last = _conv(builder, "model.0", builder.x, WIDTHS[0], 3, 2)
    maps = []
    for stage, (width, depth) in enumerate(zip(WIDTHS[1:], DEPTHS, strict=True)):
        last = _conv(builder, f"model.{2 * stage + 1}", last, width, 3, 2)
        last = _c2f(builder, f"model.{2 * stage + 2}", last, width, depth, residual=True)
        maps.append(last)
    return maps[1], maps[2], _sppf(builder, "model.9", last)


def _neck(builder: Builder, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mix the maps from coarse to fine and back (PAN, arXiv 1803.01534)."""
    middle = _merged(builder, 12, _doubled(builder, "model.10", p5), p4, p4.channels)
    fine = _merged(builder, 15, _doubled(builder, "model.13", middle), p3, p3.channels)
    down = _conv(builder, "model.16", fine, fine.channels, 3, 2)
    back = _merged(builder, 18, down, middle, p4.channels)
    down = _conv(builder, "model.19", back, back.channels, 3, 2)
    return fine, back, _merged(builder, 21, down, p5, p5.channels)


def _merged(builder: Builder, at: int, a: Tensor, b: Tensor, width: int) -> Tensor:
    joined = builder.concat(f"model.{at - 1}", a, b)
    return _c2f(builder, f"model.{at}", joined, width, 1, residual=False)


def _doubled(builder: Builder, name: str, source: Tensor) -> Tensor:
    height, width = source.positions
    return builder.resize(name, source, (2 * height, 2 * width), "nearest")


def _c2f(
    builder: Builder, name: str, source: Tensor, width: int, depth: int, *, residual: bool
) -> Tensor:
    """Add a C2f block: each bottleneck reads the one before, and all are concatenated."""
    wide = _conv(builder, f"{name}.cv1", source, width, 1)
    parts = list(builder.split(f"{name}.split", wide, 2))
    for at in range(depth):
        inner = _conv(builder, f"{name}.m.{at}.cv1", parts[-1], width // 2, 3)
        outer = _conv(builder, f"{name}.m.{at}.cv2", inner, width // 2, 3)
        parts.append(builder.add(f"{name}.m.{at}.add", parts[-1], outer) if residual else outer)
    joined = builder.concat(f"{name}.concat", *parts)
    return _conv(builder, f"{name}.cv2", joined, width, 1)


def _sppf(builder: Builder, name: str, source: Tensor) -> Tensor:
    """Add spatial pyramid pooling by three poolings in a row."""
    maps = [_conv(builder, f"{name}.cv1", source, source.channels // 2, 1)]
    for at in range(3):
        maps.append(builder.max_pool(f"{name}.m.{at}", maps[-1], 5))
    joined = builder.concat(f"{name}.concat", *maps)
    return _conv(builder, f"{name}.cv2", joined, source.channels, 1)


def _branch(
    builder: Builder,
    branch: str,
    levels: tuple[Tensor, ...],
    width: int,
    channels: int,
    activation: Activation | None = None,
) -> Tensor:
    """Add one branch of the head: the positions of all levels after one another."""
    flat = []
    for level, source in enumerate(levels):
        name = f"model.22.{branch}.{level}"
        inner = _conv(builder, f"{name}.0", source, width, 3)
        inner = _conv(builder, f"{name}.1", inner, width, 3)
        outer = builder.conv(f"{name}.2", inner, channels, 1, activation)
        flat.append(builder.flatten(f"{name}.flatten", outer))
    return builder.join(f"model.22.{branch}.join", *flat)


def _decoded(builder: Builder, box: Tensor, size: int) -> Tensor:
    """Turn distances to the four sides into centre and size in pixels: (4, positions)."""
    name = "model.22.decode"
    centres, strides = _anchors(size)
    anchors = builder.constant(f"{name}.anchors", centres)
    distances = builder.expectation("model.22.dfl.conv", box, BINS)
    before, after = builder.split(f"{name}.sides", distances, 2)
    low = builder.subtract(f"{name}.low", anchors, before)
    high = builder.add(f"{name}.high", anchors, after)
    doubled = builder.add(f"{name}.doubled", low, high)
    half = builder.constant(f"{name}.half", np.full((1, 1), 0.5, dtype=np.float32))
    centre = builder.multiply(f"{name}.centre", doubled, half)
    extent = builder.subtract(f"{name}.extent", high, low)
    cells = builder.concat(f"{name}.cells", centre, extent)
    return builder.multiply(f"{name}.pixels", cells, builder.constant(f"{name}.strides", strides))


def _anchors(size: int) -> tuple[Array, Array]:
    """Return the centres of all cells in cells (2, positions), and their strides (1, positions)."""
    centres, strides = [], []
    for stride in STRIDES:
        places = np.arange(size // stride, dtype=np.float32) + np.float32(0.5)
        y, x = np.meshgrid(places, places, indexing="ij")
        centres.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full((1, places.size**2), stride, dtype=np.float32))
    return np.concatenate(centres, 1), np.concatenate(strides, 1)


def _prototypes(builder: Builder, source: Tensor) -> Tensor:
    """Add the maps that the coefficients of a mask weigh."""
    name = "model.22.proto"
    last = _conv(builder, f"{name}.cv1", source, PROTOTYPES, 3)
    last = builder.upscale(f"{name}.upsample", last, PROTOTYPES, 2)
    last = _conv(builder, f"{name}.cv2", last, PROTOTYPES, 3)
    return _conv(builder, f"{name}.cv3", last, COEFFICIENTS, 1)
