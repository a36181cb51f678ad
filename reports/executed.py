"""What really ran, layer by layer: how precisely, by whom, by which kernels, what fell back.

It comes from the evaluation, whose session is traced. Timed launches trace nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents import wire
from reports.families import is_twin
from reports.index import Index
from reports.row_builder import RowBuilder
from reports.run import ArtifactRecord, CellRecord, manifest_of

Layers = Sequence[wire.LayerRun]
# The operators whose arithmetic decides what precision a network runs in, as each runtime names
# them.
_ONNX = (
    *("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "QLinearConv", "ConvInteger"),
    *("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
    *("Gemm", "FusedGemm", "QGemm", "DynamicQuantizeMatMul"),
)
_OPENVINO = ("Convolution", "FullyConnected", "MatMul", "Deconvolution", "GroupConvolution")
_TFLITE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
_NCNN = ("Convolution", "ConvolutionDepthWise", "InnerProduct", "Gemm")
COMPUTE = frozenset({*_ONNX, *_OPENVINO, *_TFLITE, *_NCNN})
# PyTorch has many names that begin alike.
TORCH_COMPUTE = (
    *("conv", "linear", "matmul", "addmm", "bmm", "baddbmm", "mm"),
    *("mkldnn_convolution", "_convolution_pointwise", "_linear_pointwise"),
)
# A file that holds them is meant to run in integers.
QUANTISING = frozenset({"QuantizeLinear", "QUANTIZE", "FakeQuantize"})
# Who runs what nobody else takes, and the targets for which that is what was asked for.
FALLBACKS: Mapping[str, frozenset[str]] = {
    "CPUExecutionProvider": frozenset({"", "cpu"}),
    "built-in kernels": frozenset({"", "builtin"}),
    "ONNX Runtime inside DeepSparse": frozenset(),
}
NO_EVALUATION = "its evaluation has not come back"
BEFORE_LAYERS = "it was measured before layers were recorded"
BEFORE_TRACED = "it was measured before the number of traced inferences was recorded"
NOT_LISTED = "the runtime does not list its layers"
NOT_TIMED = "the runtime does not time its layers"
NO_PROVIDERS = "the runtime does not tell who runs its layers"
NO_PRECISIONS = "the runtime does not tell in what precision a layer runs"
NO_KERNELS = "the runtime does not name its kernels"
NO_ZEROS = "the run holds no count of the zeros of its file"
NO_SUCH_NAME = "no weights in the file go by its name"
# What a runtime appends to the name of a layer of the file.
_APPENDED = re.compile(r"(_token_\d+|_nchwc|/WithoutBiases)$")


def layers_of(event: wire.EvaluationEvent | None) -> Layers | str:
    """The layers of an evaluation, or why there are none."""
    if event is None:
        return NO_EVALUATION
    if event["status"] != "ok":
        return event["reason"] or "its evaluation failed without a reason"
    if "layers" not in event["executed"]:
        return BEFORE_LAYERS
    return event["executed"]["layers"] or NOT_LISTED


def put_executed(
    builder: RowBuilder, event: wire.EvaluationEvent | None, cell: wire.Cell, reason: str | None
) -> None:
    """Set what is known of the layers beside the rest of `executed`; `reason` is the cell's own."""
    found = layers_of(event)
    layers: Layers = [] if isinstance(found, str) else found
    why = (reason or found) if isinstance(found, str) else None
    total = total_ns(layers)
    compute = [layer for layer in layers if is_compute(layer)]
    builder.put("executed.layers", len(layers) or None, why)
    builder.put("executed.layers_us", total and total / 1e3, why or NOT_TIMED)
    builder.put("executed.traced", traced(event), why or _untimed(total))
    for key, over, of, untold in (
        ("precisions", compute, "precision", NO_PRECISIONS),
        ("coverage", layers, "provider", NO_PROVIDERS),
        ("kernels", layers, "kernel", NO_KERNELS),
    ):
        builder.put(f"executed.{key}", shares(over, of) or None, why or untold)
    _put_fallback(builder, layers, cell, why)


def traced(event: wire.EvaluationEvent | None) -> int | None:
    """How many inferences the times of layers are the mean of; runs stored earlier do not tell."""
    return event["executed"].get("traced") if event else None


def _untimed(total: int | None) -> str:
    return NOT_TIMED if total is None else BEFORE_TRACED


def _put_fallback(builder: RowBuilder, layers: Layers, cell: wire.Cell, why: str | None) -> None:
    if not any(layer["provider"] for layer in layers):
        builder.put("executed.fallback", None, why or NO_PROVIDERS)
        return
    target = cell.get("target", "")
    to = {name for name, asked in FALLBACKS.items() if target not in asked}
    fallen = [layer for layer in layers if layer["provider"] in to]
    total, ns = total_ns(layers), sum(layer["ns"] or 0 for layer in fallen)
    builder.put("executed.fallback.to", sorted({str(layer["provider"]) for layer in fallen}))
    builder.put("executed.fallback.layers", len(fallen))
    builder.put("executed.fallback.share", len(fallen) / len(layers))
    builder.put("executed.fallback.time_share", ns / total if total else None, NOT_TIMED)


def meant_for_int8(cell: wire.Cell, artifact: ArtifactRecord | None, layers: Layers) -> bool:
    """Whether a file is made to compute in int8: by its manifest, its inputs or what ran of it."""
    return (
        recipe_of(artifact).get("to") == "int8"
        or any(spec["scale"] is not None for spec in cell["inputs"])
        or any(layer["operator"] in QUANTISING for layer in layers)
        or any(layer["precision"] == "int8" for layer in layers if is_compute(layer))
    )


def recipe_of(artifact: ArtifactRecord | None) -> Mapping[str, Any]:
    """How a file was quantised, by its manifest; empty when that does not tell."""
    return manifest_of(artifact).get("quantize") or {}


def total_ns(layers: Layers) -> int | None:
    """The time of all layers; null where the runtime times none of them."""
    return sum(layer["ns"] or 0 for layer in layers) or None


def is_compute(layer: wire.LayerRun) -> bool:
    """Whether a layer is a convolution or a product of matrices, alone or fused with others."""
    return any(
        name in COMPUTE or name.startswith(TORCH_COMPUTE) for name in layer["operator"].split(",")
    )


def shares(layers: Layers, key: str) -> list[dict[str, Any]]:
    """How many of the layers, and how much of their time, go to each value of a key.

    Most time first, else most layers. Layers of which the runtime does not tell are in the whole
    but not in the list; time_share is null where layers are not timed.
    """
    total = total_ns(layers)
    made = []
    for name in dict.fromkeys(told for layer in layers if (told := dict(layer)[key])):
        mine = [layer for layer in layers if dict(layer)[key] == name]
        spent = sum(layer["ns"] or 0 for layer in mine)
        made.append(
            {
                key: name,
                "layers": len(mine),
                "share": len(mine) / len(layers),
                "time_share": spent / total if total else None,
            }
        )
    return sorted(made, key=lambda one: (-(one["time_share"] or 0.0), -one["layers"]))


def profiles(found: Index) -> list[dict[str, Any]]:
    """The layers of each evaluation that listed them, in the order of the cells; twins are not in.

    Keys of a layer are those of agents.wire.LayerRun, null where the runtime does not tell, but for
    `us` and `time_share` in place of `ns`; and `zeros`, a share of its weights, or why it is null.
    """
    first: dict[tuple[str, str], CellRecord] = {}
    for record in found.run.cells:
        first.setdefault((record.device, record.cell["evaluation"]), record)
    made = []
    for (device, evaluation), record in first.items():
        layers = layers_of(found.event(record))
        if isinstance(layers, str) or is_twin(found.run.study, record.cell["variant"]):
            continue
        artifact = found.run.artifacts.get(record.cell["artifact"])
        zeros = zeros_by_name(artifact.zeros if artifact else None)
        made.append(
            {
                "device": device,
                "evaluation": evaluation,
                "cell": found.events[device, evaluation]["cell"],
                "variant": record.cell["variant"],
                "runtime": record.cell["runtime"],
                "precision_requested": record.cell["precision"],
                "traced": traced(found.event(record)),
                "layers": [_profiled(layer, total_ns(layers), zeros) for layer in layers],
            }
        )
    return made


def _profiled(
    layer: wire.LayerRun, total: int | None, zeros: Callable[[str], float | str]
) -> dict[str, Any]:
    share, ns = zeros(layer["name"]), layer["ns"]
    return {
        **{key: value for key, value in layer.items() if key != "ns"},
        "us": None if ns is None else ns / 1e3,
        "time_share": None if ns is None or total is None else ns / total,
        "zeros": None if isinstance(share, str) else share,
        "zeros_reason": share if isinstance(share, str) else None,
    }


def zeros_by_name(zeros: Mapping[str, Any] | None) -> Callable[[str], float | str]:
    """Look up the share of zeros in the weights of a layer that ran, or why it is not known.

    `zeros` are those of the file, by the names of its operators; a fused layer has several names.
    """
    counted = (zeros or {}).get("layers") or []
    reason = NO_ZEROS if zeros is None else zeros.get("reason")

    def share(name: str) -> float | str:
        names = {name, *(_APPENDED.sub("", part) for part in name.split(","))}
        mine = [one for one in counted if one["name"] in names]
        weights = sum(one["weights"] for one in mine)
        if not weights:
            return NO_SUCH_NAME if counted else reason or NO_SUCH_NAME
        return float(sum(one["zeros"] for one in mine) / weights)

    return share
