"""ONNX or TFLite to OpenVINO IR, in float32."""

from __future__ import annotations

from pathlib import Path

from harness.variants import openvino_host

FROM = ("onnx", "tflite")


def convert(source: Path, format: str, target: Path) -> list[str]:
    """Write the IR; free dimensions stay free. Raises InputError."""
    import openvino

    openvino_host.save(openvino_host.read(source), target)
    return [f"{format} to OpenVINO IR by OpenVINO {openvino.__version__.split('-')[0]}"]
