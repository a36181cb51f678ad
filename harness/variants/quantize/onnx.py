"""ONNX to INT8: QuantizeLinear and DequantizeLinear pairs (QDQ) by ONNX Runtime's own tool.

Measured on kws and digits, one x86 thread (AVX-512 VNNI): unsigned activations and signed weights
are as fast as any in ONNX Runtime and far the fastest in OpenVINO (signed ones with a zero point
are slower than float32 there). MinMax costs a tenth of the time of Percentile and Entropy and is as
accurate; Distribution leaves a network that guesses.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from harness.errors import InputError
from harness.variants.files import quiet, written
from harness.variants.network import Array, Feeds
from harness.variants.networks import onnx_read
from harness.variants.networks.onnx_file import everywhere
from harness.variants.outputs import batches
from harness.variants.quantize import check_left
from harness.variants.recipe import Quantize

OLDEST_OPSET = 13  # the first whose QuantizeLinear takes one scale per channel


def quantize(source: Path, target: Path, ask: Quantize, feeds: Feeds) -> list[str]:
    """Write the INT8 file; a free batch stays free. Raises InputError."""
    samples = batches(source, "onnx", feeds)
    with tempfile.TemporaryDirectory() as folder, _explained(source):
        model = onnx_read.read(source).model
        check_left(ask.leave, [node.name for node in model.graph.node], str(source))
        notes = _raise_opset(model)
        fused = _fuse(model, Path(folder))
        successors = (_successors(model.graph, fused.graph, name) for name in ask.leave)
        kept = sorted(set[str]().union(*successors))
        with written(target) as draft:
            _quantise(Path(folder) / "fused.onnx", draft, samples, kept)
            notes += _layers(onnx.load(draft), str(source))
    return notes


class _Samples(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """The samples in the form that the tool reads them."""

    def __init__(self, samples: Sequence[dict[str, Array]]) -> None:
        self.rest: Iterator[dict[str, Array]] = iter(samples)

    def get_next(self) -> dict[str, Array] | None:
        """Return the inputs of the next run, or null after the last."""
        return next(self.rest, None)


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    """Keep the tool off our output and its advice off the user; its errors share no base."""
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet():
            yield
    except InputError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:400]
        what = f"ONNX Runtime cannot quantise it: {type(error).__name__}: {said}"
        raise InputError(what, where=str(source)) from error
    finally:
        log.setLevel(level)


def _raise_opset(model: Any) -> list[str]:
    """Bring an old model to the opset that INT8 needs."""
    found = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if found >= OLDEST_OPSET:
        return []
    version = model.ir_version
    model.CopyFrom(onnx.version_converter.convert_version(model, OLDEST_OPSET))
    model.ir_version = version
    return [f"opset {found} became {OLDEST_OPSET}, which INT8 weights per channel need"]


def _fuse(model: Any, folder: Path) -> Any:
    """Fold batch normalisation and the like into layers, so that these are quantised as they run.

    The tool takes files: of a model in memory it moves the weights into files and loses them.
    Shapes come from onnx's own inference; the symbolic one needs sympy and adds nothing here.
    """
    plain, path = folder / "plain.onnx", folder / "fused.onnx"
    onnx.save(model, plain)
    quant_pre_process(plain, path, skip_symbolic_shape=True)
    fused = onnx.load(path)
    for at, node in enumerate(fused.graph.node):
        node.name = node.name or f"fused_{at}"
    used = {node.domain for node in everywhere(fused.graph.node)} | {""}
    for entry in [entry for entry in fused.opset_import if entry.domain not in used]:
        fused.opset_import.remove(entry)
    onnx.save(fused, path)
    return fused


def _successors(original: Any, fused: Any, name: str) -> set[str]:
    """Return what became of a node: itself, or the nodes that it was fused into."""
    if any(node.name == name for node in fused.node):
        return {name}
    makers = {output: node.name for node in fused.node for output in node.output if output}
    tensors = [output for node in original.node if node.name == name for output in node.output]
    found, seen = set[str](), set[str]()
    while tensors:
        tensor = tensors.pop()
        if tensor in makers:
            found.add(makers[tensor])
        elif tensor not in seen:
            seen.add(tensor)
            readers = (node for node in original.node if tensor in node.input)
            tensors += [output for node in readers for output in node.output]
    return found


def _quantise(
    source: Path, target: Path, samples: Sequence[dict[str, Array]], left: Sequence[str]
) -> None:
    quantize_static(
        source,
        target,
        _Samples(samples),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=list(left),
        # Symmetric weights keep zeros zero.
        extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
    )


def _layers(model: Any, where: str) -> list[str]:
    """Count the layers that compute in integers: their weights come from DequantizeLinear."""
    widened = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    layers = [
        node
        for node in model.graph.node
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
    ]
    whole = sum(all(name in widened for name in node.input[:2]) for node in layers)
    if not whole:
        raise InputError("none of its layers could be quantised", where=where)
    return [f"{whole} of {len(layers)} layers in INT8 (ONNX Runtime, QDQ, U8 x S8, MinMax)"]
