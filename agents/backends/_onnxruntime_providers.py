"""ONNX Runtime's execution providers: a session on the one that is asked for, or the reason."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from typing import Any, ContextManager, Dict, List

from agents import wire
from agents.backends import UnsupportedError
from agents.backends._overheard import overheard

CPU, XNNPACK, CUDA, TENSORRT, OPENVINO = "cpu", "xnnpack", "cuda", "tensorrt", "openvino"
ON_GPU = (CUDA, TENSORRT)
PROVIDERS = {
    CPU: "CPU",
    XNNPACK: "Xnnpack",
    CUDA: "CUDA",
    TENSORRT: "Tensorrt",
    OPENVINO: "OpenVINO",
}
OWN_BUILD = (
    "a build on the board that has it, with `runtimes: {onnxruntime: system}` in its profile"
)
BRINGS = {
    XNNPACK: OWN_BUILD,
    CUDA: "an NVIDIA GPU with CUDA and cuDNN, and onnxruntime-gpu (on a Jetson, the board's own)",
    TENSORRT: "an NVIDIA GPU with CUDA, cuDNN and TensorRT, and onnxruntime-gpu (on a Jetson, the "
    "board's own)",
    OPENVINO: "onnxruntime-openvino, or " + OWN_BUILD,
}
# What onnxruntime-gpu says where TensorRT is not installed, before it tries any other provider.
NO_TENSORRT = "Please install TensorRT libraries"
# How a line of the log begins, which may hold another one.
LOG = re.compile(r"^.*\[(E:|ERROR)[^\]]*\]\s*")


def provider_of(target: str) -> str:
    """Name the execution provider of a target as ONNX Runtime does."""
    return PROVIDERS[target] + "ExecutionProvider"


def opened(path: str, cell: wire.Cell, streams: int, options: Any) -> Any:
    """Open a session on the cell's target; raises UnsupportedError when it is not to be had."""
    import onnxruntime as ort

    target, wanted = cell["target"], provider_of(cell["target"])
    if wanted not in ort.get_available_providers():
        raise UnsupportedError(
            "this ONNX Runtime {} has no {}; what brings it: {}".format(
                ort.__version__, wanted, BRINGS[target]
            )
        )
    for key, value in cell["options"].items():
        if "." in key:  # of the session, such as mlas.enable_gemm_fastmath_arm64_bfloat16
            options.add_session_config_entry(key, str(value))
    if target in ON_GPU:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # else fp32 is computed with 10 bits of mantissa
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # where CUDA was installed beside it, as packages
    if target == XNNPACK:  # it has a pool of its own, and two would spin against each other
        options.intra_op_num_threads = 1
    wants = [(wanted, provider_options(cell, streams, os.path.dirname(path)))]
    # What it does not take goes to these, and the layers tell so.
    others = {TENSORRT: (CUDA, CPU), CPU: ()}.get(target, (CPU,))
    wants += [(provider_of(other), {}) for other in others]
    heard: ContextManager[List[str]] = nullcontext([]) if target == CPU else overheard()
    with heard as said:
        try:
            session = ort.InferenceSession(path, options, providers=wants, enable_fallback=0)
        except RuntimeError as error:
            if NO_TENSORRT not in str(error):
                raise
            reason = "{} does not start here: it needs {}".format(wanted, BRINGS[target])
            raise UnsupportedError(reason) from None
    if wanted not in session.get_providers():
        needs = "; it needs " + BRINGS[target] if target in ON_GPU else ""
        raise UnsupportedError(
            "{} does not start here: {}{}".format(wanted, complaint(said), needs)
        )
    return session


def complaint(said: List[str]) -> str:
    """What a provider that does not start has logged: its errors, without where they come from."""
    errors = [LOG.sub("", line) for line in said if "[W:" not in line]
    return "; ".join(errors)[-600:] or "no message"


def provider_options(cell: wire.Cell, streams: int, folder: str) -> Dict[str, str]:
    """Options of the provider: the cell's precision and threads, then what the profile gives."""
    target, fp16 = cell["target"], cell["precision"] == "fp16"
    given = {key: value for key, value in cell["options"].items() if "." not in key}
    own: Dict[str, Any] = {}
    if target == CPU and given:
        raise UnsupportedError("the CPU provider has no option {}".format(", ".join(given)))
    if target == XNNPACK:
        own = {"intra_op_num_threads": cell["threads"]}
    elif target == TENSORRT:  # building an engine takes minutes: launches find the evaluation's
        cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": folder}
        own = {"trt_fp16_enable": fp16, **cache}
    elif target == OPENVINO:
        own = {"device_type": "CPU", "precision": "FP16" if fp16 else "FP32"}
        own.update(num_streams=streams, num_of_threads=streams * cell["threads"])
    return {key: str(value) for key, value in {**own, **given}.items()}
