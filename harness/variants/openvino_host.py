"""OpenVINO on the host: imported without telemetry, files read and written in the same way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.variants.files import written


def load() -> Any:
    """Import OpenVINO; without this its package reports each import to Google Analytics.

    It and NNCF fall back to stubs where the telemetry package is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def read(path: Path) -> Any:
    """Read a model file of any format that OpenVINO knows; raises InputError."""
    try:
        return load().Core().read_model(str(path))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise InputError(f"OpenVINO cannot read it: {said}", where=str(path)) from error


def save(model: Any, target: Path, *, half: bool = False) -> None:
    """Write an IR, .xml and .bin; `half` stores float32 weights as float16."""
    if target.suffix != ".xml":
        raise InputError("the name of an OpenVINO file ends in .xml", where=str(target))
    with written(target, ".bin") as draft:
        load().save_model(model, str(draft), compress_to_fp16=half)
