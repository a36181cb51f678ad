"""The reference networks by name: what they are, and how to write one as a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Literal

from harness.documents import unknown
from harness.errors import InputError
from harness.reference.deeplab import deeplabv3_mobilenetv3
from harness.reference.graph import Graph
from harness.reference.mobilenet import mobilenet_v1, mobilenet_v2
from harness.reference.resnet import resnet18
from harness.reference.weights import Weights, make
from harness.reference.yolo import yolov8s_seg

Format = Literal["onnx", "tflite"]
FORMATS: tuple[Format, ...] = ("onnx", "tflite")
Writer = Callable[[Graph, Mapping[str, Weights], str, Path], None]


@dataclass(frozen=True)
class _Entry:
    network: Callable[[int], Graph]  # input size -> graph
    size: int
    source: str


@dataclass(frozen=True)
class Description:
    """A reference network. Shapes leave the batch out; outputs are those of the ONNX file."""

    name: str
    input: tuple[int, ...]  # (height, width, channels)
    outputs: dict[str, tuple[int, ...]]
    parameters: int  # normalisation is folded
    macs: int  # multiply-accumulates for one sample
    source: str


_ENTRIES = {
    "resnet18": _Entry(resnet18, 224, "He et al. 2015, arXiv 1512.03385"),
    "mobilenet-v1": _Entry(mobilenet_v1, 224, "Howard et al. 2017, arXiv 1704.04861"),
    "mobilenet-v2": _Entry(mobilenet_v2, 224, "Sandler et al. 2018, arXiv 1801.04381"),
    "yolov8s-seg": _Entry(yolov8s_seg, 640, "Ultralytics, docs.ultralytics.com/models/yolov8"),
    "deeplabv3-mobilenetv3": _Entry(
        deeplabv3_mobilenetv3, 520, "Chen et al. 2017, arXiv 1706.05587, as in torchvision"
    ),
}


def names() -> list[str]:
    """List the networks."""
    return sorted(_ENTRIES)


@cache
def describe(name: str) -> Description:
    """Describe a network. Raises InputError for an unknown name."""
    graph = _graph(name)
    return Description(
        name,
        (*graph.input.positions, graph.input.channels),
        {output.name: output.shape for output in graph.outputs},
        graph.parameters,
        graph.macs,
        _entry(name).source,
    )


def build(name: str, format: Format, path: Path, seed: int = 0) -> None:
    """Write a network as a file, whole or not at all, and its folder if need be.

    The same seed gives the same bytes.

    Raises InputError for an unknown name or format, and where the TFLite writer is not installed.
    """
    graph = _graph(name)
    write = _writer(format)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(graph, _weights(name, seed), name, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _writer(format: Format) -> Writer:
    if format not in FORMATS:
        raise InputError(unknown("format", format, FORMATS))
    try:
        writer: Writer = import_module(f"harness.reference.to_{format}").write
    except ModuleNotFoundError as error:
        raise InputError(
            f"the package {error.name} is missing, which writes {format} files",
            next_step="pip install 'edgeproof[build]'",
        ) from None
    return writer


@lru_cache(maxsize=1)  # one network is often written in both formats, one after the other
def _weights(name: str, seed: int) -> Mapping[str, Weights]:
    return make(_graph(name), seed)


@cache
def _graph(name: str) -> Graph:
    entry = _entry(name)
    return entry.network(entry.size)


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        what = unknown("reference network", name, _ENTRIES)
        raise InputError(what, next_step="edgeproof models list")
    return _ENTRIES[name]
