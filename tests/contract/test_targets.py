"""Every target of every runtime: it runs and tells its layers, or says why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import backends, wire
from agents.process import WorkerError
from tests.contract.networks import Network, Quantised
from tests.contract.workshop import Workshop, fitting

LABELS = [f"{name}:{target}" for name in backends.names() for target in backends.targets(name)]
# What needs neither a GPU nor a package of its own.
EVERYWHERE = (
    *("onnxruntime:cpu", "openvino:cpu", "litert:xnnpack", "litert:builtin"),
    *("tflite:xnnpack", "tflite:builtin"),
)
TIMED = ("onnxruntime:cpu", "openvino:cpu", "litert:xnnpack", "litert:builtin")
# By what operators are called: the network has one of each.
CONVOLVES = ("conv",)
MULTIPLIES = ("gemm", "fullyconnected", "fully_connected", "matmul", "linear", "innerproduct")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def expected(workshop: Workshop, network: Network, folder: Path) -> Any:
    """What ONNX Runtime computes in float32."""
    cell = workshop.cell(network.save(folder, "onnx"), "onnxruntime", batch=8)
    return workshop.outputs(cell, x=network.samples[:8])[0][0]


def saved(network: Network, folder: Path, label: str) -> Path:
    return network.save(folder, backends.find(label).FORMATS[0])


def layers_of(event: wire.EvaluationEvent) -> list[wire.LayerRun]:
    assert (event["status"], event["reason"]) == ("ok", None)
    layers = event["executed"]["layers"]
    assert layers
    return layers


def called(layers: list[wire.LayerRun], words: tuple[str, ...]) -> list[wire.LayerRun]:
    return [one for one in layers if any(word in one["operator"].lower() for word in words)]


@pytest.mark.parametrize("label", LABELS)
def test_a_target_agrees_with_onnx_runtime_or_says_why_it_cannot_run(
    workshop: Workshop, network: Network, folder: Path, expected: Any, label: str
) -> None:
    batch = fitting(backends.name_of(label), 8)
    cell = workshop.cell(saved(network, folder, label), label, batch=batch)
    try:
        (scores,), _ = workshop.outputs(cell, x=network.samples[:batch])
    except WorkerError as refused:
        assert label not in EVERYWHERE
        assert refused.status == "unsupported"
        assert len(str(refused)) > 40
    else:
        assert np.abs(scores - expected[:batch]).max() < 1e-5


@pytest.mark.parametrize("label", EVERYWHERE)
def test_the_layers_cover_the_graph(
    workshop: Workshop, network: Network, folder: Path, label: str
) -> None:
    layers = layers_of(workshop.evaluate(workshop.cell(saved(network, folder, label), label)))
    assert all(set(layer) == set(wire.LayerRun.__annotations__) for layer in layers)
    assert len({layer["name"] for layer in layers}) == len(layers)
    for words in (CONVOLVES, MULTIPLIES):
        (compute,) = called(layers, words)
        assert compute["precision"] == "fp32"
        assert compute["provider"]
    for layer in layers:
        assert (layer["ns"] is not None) == (label in TIMED)
    if label in TIMED[:2]:  # LiteRT's whole microseconds are longer than this network takes
        assert sum(layer["ns"] or 0 for layer in layers) > 0


def test_xnnpack_and_the_built_in_kernels_are_told_apart(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    path = network.save(folder, "tflite")
    ran = {
        label: {layer["provider"] for layer in layers_of(workshop.evaluate(cell))}
        for label in ("litert", "litert:builtin")
        for cell in [workshop.cell(path, label)]
    }
    assert ran == {"litert": {"XNNPACK delegate"}, "litert:builtin": {"built-in kernels"}}


def test_an_operator_that_no_delegate_takes_is_told(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    # The frozen tflite-runtime does not give int8 to XNNPACK unless asked to.
    path = Quantised(network).save(folder, "tflite")
    event = workshop.evaluate(workshop.cell(path, "tflite"))
    assert {layer["provider"] for layer in layers_of(event)} == {"built-in kernels"}
    assert event["executed"]["provider"] == "built-in kernels"
    assert "takes 0 of 2 operators" in (event["executed"]["note"] or "")


def test_a_float_kernel_over_int8_weights_is_no_int8(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    path = Quantised(network).save(folder, "onnx")
    event = workshop.evaluate(workshop.cell(path, "openvino"))
    (conv,) = called(layers_of(event), CONVOLVES)
    assert (conv["kernel"] or "").endswith("_f32")
    assert conv["precision"] == "fp32"


@pytest.mark.parametrize("label", [*TIMED, "torch", "deepsparse"])
def test_a_profile_traces_more_inferences(
    workshop: Workshop, network: Network, folder: Path, label: str
) -> None:
    cell = workshop.cell(saved(network, folder, label), label)
    for profile, inferences in ((False, 3), (True, 30)):
        event = workshop.evaluate(cell, profile=profile)
        assert all(layer["ns"] is not None for layer in layers_of(event))
        assert event["executed"]["traced"] == inferences


@pytest.mark.parametrize("label", ["tflite", "ncnn"])
def test_what_is_not_timed_is_not_traced(
    workshop: Workshop, network: Network, folder: Path, label: str
) -> None:
    event = workshop.evaluate(workshop.cell(saved(network, folder, label), label))
    assert all(layer["ns"] is None for layer in layers_of(event))
    assert event["executed"]["traced"] is None


def test_launches_trace_nothing(workshop: Workshop, network: Network, folder: Path) -> None:
    cells = [workshop.cell(saved(network, folder, label), label) for label in EVERYWHERE[:3]]
    for record in workshop.launch(*cells)["cells"]:
        assert record["status"] == "ok"
        assert record["executed"]["layers"] is None
        assert record["executed"]["traced"] is None


@pytest.mark.parametrize(
    ("label", "options"),
    [
        ("onnxruntime", {"session.disable_prepacking": 1}),
        ("openvino", {"NUM_STREAMS": 1, "ENABLE_HYPER_THREADING": False}),
    ],
)
def test_options_of_the_profile_reach_the_runtime(
    workshop: Workshop, network: Network, folder: Path, label: str, options: dict[str, Any]
) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), label, options=options)
    layers_of(workshop.evaluate(cell))


def test_an_option_overrides_what_the_cell_asks_for(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    options = {"INFERENCE_PRECISION_HINT": "bf16"}
    cell = workshop.cell(network.save(folder, "onnx"), "openvino", options=options)
    event = workshop.evaluate(cell)
    if "hint in effect bf16" in (event["executed"]["note"] or ""):  # processors may lack it
        assert event["executed"]["precision"] == "bf16"


@pytest.mark.parametrize(
    ("label", "options", "said"),
    [
        ("onnxruntime", {"trt_fp16_enable": True}, "has no option trt_fp16_enable"),
        ("openvino", {"PERFORMANCE_HNT": "LATENCY"}, "has no property PERFORMANCE_HNT"),
        ("litert", {"delegate": "/lib/x.so"}, "has no option delegate"),
        ("litert:external", {}, "which delegate"),
        ("litert:external", {"delegate": "/nowhere/libdelegate.so"}, "/nowhere/libdelegate.so"),
        ("onnxruntime:xnnpack", {}, "no XnnpackExecutionProvider; what brings it"),
    ],
)
def test_what_cannot_be_had_is_unsupported_with_the_reason(
    workshop: Workshop,
    network: Network,
    folder: Path,
    label: str,
    options: dict[str, Any],
    said: str,
) -> None:
    cell = workshop.cell(saved(network, folder, label), label, options=options)
    event = workshop.evaluate(cell)
    assert event["status"] == "unsupported"
    assert said in (event["reason"] or "")
