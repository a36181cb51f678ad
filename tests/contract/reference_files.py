"""The reference networks, small, as files of every format and precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness.reference import to_onnx, to_tflite, weights
from harness.reference.deeplab import deeplabv3_mobilenetv3
from harness.reference.graph import Graph
from harness.reference.mobilenet import mobilenet_v1, mobilenet_v2
from harness.reference.resnet import resnet18
from harness.reference.weights import Weights
from harness.reference.yolo import yolov8s_seg
from harness.variants.convert import convert
from harness.variants.half import halve
from harness.variants.quantize import quantize
from harness.variants.recipe import Quantize

Array = npt.NDArray[Any]
NETWORKS: Mapping[str, Callable[[int], Graph]] = {
    "deeplabv3-mobilenetv3": deeplabv3_mobilenetv3,
    "mobilenet-v1": mobilenet_v1,
    "mobilenet-v2": mobilenet_v2,
    "resnet18": resnet18,
    "yolov8s-seg": yolov8s_seg,
}
# An odd size too, because strides and resizing round there.
SMALL = {"deeplabv3-mobilenetv3": 72, "yolov8s-seg": 96, "mobilenet-v2": 75}
SUFFIXES = {
    "onnx": "onnx",
    "openvino": "xml",
    "tflite": "tflite",
    "torch": "pt2",
    "executorch": "pte",
}
BATCH = 2  # of programs, whose batch is fixed
CALIBRATION = 8  # images


@cache
def small(name: str) -> tuple[Graph, Mapping[str, Weights]]:
    """A network for small images, which runs in a moment, with its weights."""
    graph = NETWORKS[name](SMALL.get(name, 64))
    return graph, weights.make(graph, 0)


def images(graph: Graph, count: int, seed: int = 1) -> Array:
    """Noise in the layout that the files take."""
    shape = (count, *graph.input.positions, graph.input.channels)
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def groups(output: Array) -> list[Array]:
    """Parts of one scale: YOLO's boxes are pixels, its scores and coefficients are not."""
    return np.split(output, [4, 84], axis=1) if output.shape[1] == 116 else [output]


def saved(folder: Path, name: str, format: str, stored: str = "fp32") -> Path:
    """The file of a network, made the first time; `stored` is the precision of its weights."""
    path = folder / f"{name}-{stored}.{SUFFIXES[format]}"
    if path.exists():
        return path
    graph, learnt = small(name)
    if stored == "fp16":
        halve(saved(folder, name, format), format, path)
    elif stored == "int8":
        ask = Quantize(to="int8")
        samples = {"": images(graph, CALIBRATION, seed=2)}
        quantize(saved(folder, name, format), format, path, ask, samples)
    elif format == "openvino":
        convert(saved(folder, name, "onnx"), "onnx", format, path)
    elif format in ("torch", "executorch"):
        pytest.importorskip("torch")
        from tests.contract import reference_torch

        reference_torch.write(graph, learnt, path, BATCH)
    else:
        write = {"onnx": to_onnx.write, "tflite": to_tflite.write}[format]
        write(graph, learnt, name, path)
    return path
