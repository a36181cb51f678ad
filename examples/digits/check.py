"""Checks: run a file in its runtime and compare its outputs with those it must reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from data import Labels
from network import Array

FLOAT_TOLERANCE = 1e-3
# INT8 rounds, so single logits differ; the answers must not.
INT8_AGREEMENT = 0.98


class ParityError(RuntimeError):
    """A written file does not compute what its source computes."""


def run_onnx(path: Path, x: Array) -> Array:
    """Return the logits of an ONNX file in onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batches = np.array_split(x, max(1, len(x) // 50))
    return np.concatenate([session.run(None, {"x": batch})[0] for batch in batches])


def run_tflite(path: Path, x: Array, batch: int = 1) -> Array:
    """Return the logits of a TFLite file in LiteRT, quantising through the file's own scales.

    The batch must divide the number of samples.
    """
    interpreter = Interpreter(str(path), num_threads=1)
    source = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(source["index"], [batch, *x.shape[1:]])
    interpreter.allocate_tensors()
    target = interpreter.get_output_details()[0]
    logits = []
    for start in range(0, len(x), batch):
        interpreter.set_tensor(source["index"], _to_file(x[start : start + batch], source))
        interpreter.invoke()
        logits.append(_from_file(interpreter.get_tensor(target["index"]), target))
    return np.concatenate(logits)


def top1(logits: Array, labels: Labels) -> float:
    """Return the share of samples whose largest logit is at the label."""
    return round(float((logits.argmax(1) == labels).mean()), 4)


def parity(name: str, reference: Array, logits: Array, exact: bool) -> dict[str, float]:
    """Compare with the reference and raise if they differ by more than the format excuses."""
    worst = float(np.abs(reference - logits).max())
    agreement = float((reference.argmax(1) == logits.argmax(1)).mean())
    measured = {"max_abs_difference": round(worst, 6), "argmax_agreement": round(agreement, 4)}
    if float(np.ptp(reference, axis=0).min()) < 1:
        raise ParityError(f"{name}: the logits hardly move with the input, so parity means nothing")
    broken = worst > FLOAT_TOLERANCE if exact else agreement < INT8_AGREEMENT
    if broken:
        raise ParityError(f"{name}: {measured}")
    return measured


def _to_file(x: Array, details: dict[str, Any]) -> Any:
    if details["dtype"] == np.float32:
        return x
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(x / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _from_file(y: Any, details: dict[str, Any]) -> Array:
    if details["dtype"] == np.float32:
        return np.array(y, dtype=np.float32)
    scale, zero = details["quantization"]
    logits: Array = ((y.astype(np.float32) - zero) * scale).astype(np.float32)
    return logits
