"""What backends read out of what their runtimes tell."""

from __future__ import annotations

from typing import Any

import pytest

from agents import backends
from agents.backends import UnsupportedError, by_name, dominant, litert, onnxruntime


def spec(name: str) -> Any:
    return {"name": name}


def test_every_backend_says_what_it_is() -> None:
    assert {"onnxruntime", "openvino", "litert", "tflite"} <= set(backends.names())
    for name in backends.names():
        backend = backends.find(name)
        assert backend.__doc__
        assert backend.REQUIRES and backend.FORMATS and backend.MODULE
        assert all(isinstance(phrase, str) and phrase for phrase in backend.LACKS)
        assert callable(backend.load)


def test_inputs_are_found_by_name_whatever_their_order() -> None:
    assert by_name([spec("a"), spec("b")], ["b", "a"]) == [1, 0]


def test_a_single_input_needs_no_equal_name() -> None:
    assert by_name([spec("x:0")], ["x"]) == [0]


def test_a_missing_input_is_named() -> None:
    with pytest.raises(UnsupportedError, match="names the inputs"):
        by_name([spec("a"), spec("b")], ["a", "c"])


def test_the_dominant_precision_and_the_mix() -> None:
    assert dominant({}) == (None, None)
    assert dominant({"fp32": 4}) == ("fp32", None)
    assert dominant({"fp32": 2, "int8": 6}) == ("int8", "layers: 6 int8, 2 fp32")


def kernel(name: str, operator: str, first_input: str) -> Any:
    return {
        "cat": "Node",
        "name": name + "_kernel_time",
        "args": {"op_name": operator, "input_type_shape": [{first_input: [1]}]},
    }


def test_onnxruntime_layers_are_counted_once_each() -> None:
    events = [
        kernel("conv1", "Conv", "float"),
        kernel("conv1", "Conv", "float"),
        kernel("conv2", "QLinearConv", "uint8"),
        kernel("fc", "Gemm", "float16"),
        kernel("relu", "Relu", "float"),
        {"cat": "Session", "name": "session_initialization"},
    ]
    assert onnxruntime.layer_precisions(events) == {"fp32": 1, "int8": 1, "fp16": 1}


def test_litert_layers_are_counted_by_their_activations() -> None:
    dtypes = {0: "float32", 1: "int8", 2: "int8", 3: "int32"}
    layers = [
        {"op_name": "CONV_2D", "inputs": [0, 1]},
        {"op_name": "FULLY_CONNECTED", "inputs": [2, 1]},
        {"op_name": "TRANSPOSE_CONV", "inputs": [3, 1, 0]},
    ]
    assert litert.layer_precisions(layers, dtypes) == {"fp32": 2, "int8": 1}
    assert litert.hybrid_note(layers, dtypes) == "2 of 3 layers have int8 weights"
    assert litert.hybrid_note(layers[1:2], dtypes) is None
