"""onnxruntime-gpu where TensorRT is not installed: what it says there, as seen with 1.31."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from agents.backends import UnsupportedError
from agents.backends._onnxruntime_providers import opened

SAID = (
    "onnxruntime_pybind_state.cc:729 void onnxruntime::python::RegisterTensorRTPluginsAsCustomOps("
    "PySessionOptions&, const onnxruntime::ProviderOptions&) Please install TensorRT libraries as "
    "mentioned in the GPU requirements page, make sure they're in the PATH or LD_LIBRARY_PATH."
)


def library(said: str) -> Any:
    """An onnxruntime that lists TensorRT's provider and refuses every session."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(said)

    made: Any = types.ModuleType("onnxruntime")
    made.__version__ = "1.31.1"
    made.get_available_providers = lambda: ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    made.InferenceSession = refuse
    return made


@pytest.mark.parametrize(("said", "kind"), [(SAID, UnsupportedError), ("bad file", RuntimeError)])
def test_only_the_want_of_tensorrt_is_unsupported(
    monkeypatch: pytest.MonkeyPatch, said: str, kind: type[Exception]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", library(said))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # which it sets: put back afterwards
    cell: Any = {"target": "tensorrt", "options": {}, "precision": "fp32", "threads": 1}
    with pytest.raises(kind) as refused:
        opened("model.onnx", cell, 1, types.SimpleNamespace())
    assert type(refused.value) is kind
    assert ("it needs an NVIDIA GPU with CUDA, cuDNN and TensorRT" in str(refused.value)) == (
        kind is UnsupportedError
    )
