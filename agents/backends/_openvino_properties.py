"""Where OpenVINO runs a model, and the properties that it is compiled with there."""

from __future__ import annotations

from typing import Any, Dict

from agents import wire
from agents.backends import UnsupportedError

BRINGS = {
    "gpu": "an Intel GPU, its OpenCL driver (intel-opencl-icd) and access to /dev/dri",
    "npu": "an Intel NPU, its driver (linux-npu-driver) and access to /dev/accel",
}
HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


def device_of(target: str) -> str:
    """Name the device of a target; raises UnsupportedError when OpenVINO does not see one."""
    import openvino as ov

    device = target.upper()
    if device == "CPU":  # always there; to look would load the plugins of all devices
        return device
    seen = ov.Core().available_devices
    if device not in {name.partition(".")[0] for name in seen}:
        raise UnsupportedError(
            "OpenVINO {} sees no {} here, only {}; what brings it: {}".format(
                ov.__version__.partition("-")[0], device, ", ".join(seen), BRINGS[target]
            )
        )
    return device


def properties(cell: wire.Cell, streams: int, trace: bool) -> Dict[str, Any]:
    """Compile properties of a cell, so many requests at once; those of the profile come last."""
    own: Dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": str(streams),
        "INFERENCE_PRECISION_HINT": HINTS[cell["precision"]],
    }
    if cell["target"] == "cpu":
        own["INFERENCE_NUM_THREADS"] = str(streams * cell["threads"])
        own["ENABLE_CPU_PINNING"] = "NO"  # the worker pins the process itself
    return {**own, **cell["options"], "PERF_COUNT": trace}


def check(device: str, given: Dict[str, Any]) -> None:
    """Refuse a property that a device does not have."""
    if not given:
        return
    import openvino as ov

    missing = sorted(set(given) - set(ov.Core().get_property(device, "SUPPORTED_PROPERTIES")))
    if missing:
        raise UnsupportedError(
            "OpenVINO's {} has no property {}".format(device, ", ".join(missing))
        )
