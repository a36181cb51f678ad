"""OpenVINO's files on the host, of any format that it knows: read, and written as IR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.variants.files import written

# What makes its answers a reference, on any CPU.
EXACT = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    # Else a CPU with AMX or native half precision computes in that.
    "INFERENCE_PRECISION_HINT": "f32",
}


def read(path: Path) -> Any:
    """Read a model file of any format that OpenVINO knows; raises InputError."""
    import openvino

    try:
        return openvino.Core().read_model(str(path))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise InputError(f"OpenVINO cannot read it: {said}", where=str(path)) from error


def save(model: Any, target: Path, *, half: bool = False) -> None:
    """Write an IR, .xml and .bin; `half` stores float32 weights as float16."""
    if target.suffix != ".xml":
        raise InputError("the name of an OpenVINO file ends in .xml", where=str(target))
    import openvino

    with written(target, ".bin") as draft:
        openvino.save_model(model, str(draft), compress_to_fp16=half)
