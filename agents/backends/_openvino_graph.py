"""OpenVINO's compiled graph: what runs each layer, and how long that takes."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any, Dict, List, Optional, Set

from agents import wire

COMPUTE = ("Convolution", "FullyConnected", "MatMul", "Deconvolution", "GroupConvolution")
PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
NO_LAYERS = ("Const", "Input", "Output")


class Graph:
    """The layers of a compiled model, which count their time from its first inference on.

    The runtime gives means in whole us, over all inferences; `cold` is taken after the first one,
    to be left out.
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.inferences = 0
        self.cold: Dict[str, str] = {}

    def ran(self) -> None:
        """Count an inference."""
        self.inferences += 1
        if self.inferences == 1:
            self.cold = {op.get_friendly_name(): told(op, "execTimeMcs") for op in self.operators()}

    def operators(self) -> List[Any]:
        """List the layers in order of execution: without inputs, outputs and what is constant."""
        try:
            graph = self.compiled.get_runtime_model()
        except RuntimeError:  # an NPU has none to show
            return []
        constant: Set[str] = set()
        found = []
        for op in graph.get_ordered_ops():
            sources = [value.get_node().get_friendly_name() for value in op.input_values()]
            if told(op, "layerType") == "Const" or (sources and constant.issuperset(sources)):
                constant.add(op.get_friendly_name())
            elif told(op, "layerType") not in NO_LAYERS:
                found.append(op)
        return found

    def layers(self, device: str) -> List[wire.LayerRun]:
        """Describe the layers; without a warm inference their times are null."""
        return [
            {
                "name": told(op, "originalLayersNames") or op.get_friendly_name(),
                "operator": told(op, "layerType"),
                "kernel": told(op, "primitiveType") or None,
                "provider": device,
                "precision": precision_of(op),
                "ns": self.warm_ns(op),
            }
            for op in self.operators()
        ]

    def warm_ns(self, op: Any) -> Optional[int]:
        """Mean time of a layer over all inferences but the first."""
        if self.inferences < 2:
            return None
        total = self.inferences * microseconds(told(op, "execTimeMcs"))
        warm = total - microseconds(self.cold.get(op.get_friendly_name(), ""))
        return max(0, round(1000 * warm / (self.inferences - 1)))


def constant_bytes(compiled: Any) -> int:
    """Size of the constants of a compiled graph; one of 4 bits takes half a byte."""
    constants = (
        op.output(0)
        for op in compiled.get_runtime_model().get_ordered_ops()
        if told(op, "layerType") == "Const"
    )
    bits = sum(prod(port.shape) * port.element_type.bitwidth for port in constants)
    return int(bits) // 8


def told(op: Any, what: str) -> str:
    """What the runtime tells of a layer; empty when it does not."""
    info = op.get_rt_info()
    return str(info[what].astype(str)) if what in info else ""


def microseconds(text: str) -> int:
    """Read a time; a layer that took none is said to be not executed."""
    return int(text) if text.isdigit() else 0


def precision_of(op: Any) -> Optional[str]:
    """Precision that a layer runs in: that of its kernel, by which the kernel's name ends.

    `runtimePrecision` says i8 of a float kernel whose weights were stored in int8, too.
    """
    kernel = told(op, "primitiveType").rpartition("_")[2].lower()
    raw = told(op, "runtimePrecision")
    return PRECISIONS.get(kernel) or PRECISIONS.get(raw, raw or None)


def precisions(layers: List[wire.LayerRun]) -> Dict[str, int]:
    """Count the compute layers by the precision they run in."""
    ran = (layer["precision"] for layer in layers if layer["operator"] in COMPUTE)
    return dict(Counter(precision for precision in ran if precision))
