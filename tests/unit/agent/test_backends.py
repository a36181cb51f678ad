"""What backends read out of what their runtimes tell."""

from __future__ import annotations

from typing import Any

import pytest

from agents import backends
from agents.backends import UnsupportedError, _litert_graph, _onnxruntime_profile, by_name, dominant


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
        assert backend.TARGETS and all(name == name.lower() for name in backend.TARGETS)
        assert set(getattr(backend, "TARGET_REQUIRES", {})) <= set(backend.TARGETS)


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


def kernel(name: str, operator: str, first_input: str, ts: int = 0, dur: int = 1) -> Any:
    return {
        "cat": "Node",
        "name": name + "_kernel_time",
        "ts": ts,
        "dur": dur,
        "args": {
            "op_name": operator,
            "provider": "CPUExecutionProvider",
            "input_type_shape": [{first_input: [1]}],
        },
    }


RUN = {"cat": "Session", "name": "model_run"}


def test_onnxruntime_layers_are_counted_once_each() -> None:
    events = [
        {"cat": "Session", "name": "session_initialization"},
        kernel("conv1", "Conv", "float"),
        RUN,
        kernel("conv1", "Conv", "float"),
        kernel("conv2", "QLinearConv", "uint8"),
        kernel("fc", "Gemm", "float16"),
        kernel("relu", "Relu", "float"),
        RUN,
    ]
    found = _onnxruntime_profile.layers(events)
    assert _onnxruntime_profile.precisions(found) == {"fp32": 1, "int8": 1, "fp16": 1}


def test_onnxruntime_layers_are_timed_without_the_first_inference() -> None:
    times = [(900, 80), (10, 3), (20, 4)]
    events = [
        event
        for conv, relu in times
        for event in (
            kernel("conv", "Conv", "float", 0, conv),
            kernel("r", "Relu", "float", 0, relu),
            RUN,
        )
    ]
    found = _onnxruntime_profile.layers(events)
    assert [(layer["name"], layer["ns"]) for layer in found] == [("conv", 15000), ("r", 3500)]
    alone = _onnxruntime_profile.layers(events[:3])
    assert [layer["ns"] for layer in alone] == [None, None], "one inference is cold"


def test_what_runs_inside_a_loop_is_the_loops() -> None:
    inside = [kernel("add", "Add", "float", ts, 2) for ts in (11, 14, 17)]
    events = [
        kernel("a", "Conv", "float", 0, 9),
        *inside,
        kernel("loop", "Loop", "int64", 10, 10),
        RUN,
    ]
    found = _onnxruntime_profile.layers([*events, *events])
    assert [(layer["name"], layer["ns"]) for layer in found] == [("a", 9000), ("loop", 10000)]


def test_litert_layers_are_counted_by_their_activations() -> None:
    dtypes = {0: "float32", 1: "int8", 2: "int8", 3: "int32"}
    layers = [
        {"op_name": "CONV_2D", "inputs": [0, 1]},
        {"op_name": "FULLY_CONNECTED", "inputs": [2, 1]},
        {"op_name": "TRANSPOSE_CONV", "inputs": [3, 1, 0]},
    ]
    assert _litert_graph.layer_precisions(layers, dtypes) == {"fp32": 2, "int8": 1}
    assert _litert_graph.hybrid_note(layers, dtypes) == "2 of 3 layers have int8 weights"
    assert _litert_graph.hybrid_note(layers[1:2], dtypes) is None


def test_litert_tells_which_operators_a_delegate_took() -> None:
    operators: Any = [
        {"index": 0, "op_name": "CONV_2D", "inputs": [0, 1, 2], "outputs": [3]},
        {"index": 1, "op_name": "CUSTOM", "inputs": [3], "outputs": [4]},
        {"index": 2, "op_name": "RELU", "inputs": [4], "outputs": [5]},
        {"index": 3, "op_name": "FULLY_CONNECTED", "inputs": [5, 6, -1], "outputs": [7]},
        {"index": 4, "op_name": "ASSIGN_VARIABLE", "inputs": [7], "outputs": []},
        {"index": 5, "op_name": "DELEGATE", "inputs": [0, 1, 2], "outputs": [3]},
        {"index": 6, "op_name": "DELEGATE", "inputs": [4, 6], "outputs": [7]},
    ]
    dtypes = dict.fromkeys(range(8), "float32")
    names = {at: "t{}".format(at) for at in dtypes}
    assert _litert_graph.taken(operators) == {0, 2, 3}
    found = _litert_graph.layers(operators, names, dtypes, "XNNPACK delegate")
    assert [(layer["name"], layer["provider"]) for layer in found] == [
        ("t3", "XNNPACK delegate"),
        ("t4", "built-in kernels"),
        ("t5", "XNNPACK delegate"),
        ("t7", "XNNPACK delegate"),
        ("4", "built-in kernels"),
    ]


def test_a_label_names_a_runtime_and_a_target() -> None:
    assert backends.find("onnxruntime:cuda") is backends.find("onnxruntime")
    assert backends.target_of("onnxruntime:cuda") == "cuda"
    assert backends.target_of("litert") == "xnnpack"
    assert backends.name_of("torch:cuda-2:4") == "torch"
    assert backends.target_of("torch:cuda-2:4") == "cuda-2:4"
