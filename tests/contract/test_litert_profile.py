"""What LiteRT's operators take, by which kernels: of the delegate that the interpreter uses."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
import pytest

from agents import wire
from agents.backends import _litert_profile
from agents.backends._litert_kernels import belonging
from agents.backends._litert_profile import Event, Profile, UnavailableError
from tests.contract.reference_files import saved
from tests.contract.workshop import Workshop

OF_THE_ORDER = 4.0  # on a machine that does other things, too
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiled")


def ran(workshop: Workshop, path: Path, label: str) -> wire.Executed:
    event = workshop.evaluate(workshop.cell(path, label), profile=True)
    assert (event["status"], event["reason"]) == ("ok", None)
    return event["executed"]


@pytest.mark.parametrize("label", ["litert:xnnpack", "litert:builtin"])
def test_times_add_up_to_an_inference(workshop: Workshop, folder: Path, label: str) -> None:
    path = saved(folder, "resnet18", "tflite")
    executed = ran(workshop, path, label)
    total = sum(layer["ns"] or 0 for layer in executed["layers"] or [])
    (record,) = workshop.launch(workshop.cell(path, label))["cells"]
    inference = median(sample for block in record["blocks"] for sample in block)
    assert 1 / OF_THE_ORDER < total / inference < OF_THE_ORDER
    assert executed["traced"] == 30
    # Its outputs were the interpreter's to the last bit.
    assert executed["note"] == "times and kernels by LiteRT's compiled model"


def test_kernels_are_named_and_belong_to_the_files_layers(workshop: Workshop, folder: Path) -> None:
    path = saved(folder, "resnet18", "tflite")
    told, bare = (
        {layer["name"]: layer for layer in ran(workshop, path, label)["layers"] or []}
        for label in ("litert", "litert:builtin")
    )
    for layer in told.values():
        assert layer["provider"] == "XNNPACK delegate"
        if layer["operator"] == "CONV_2D":
            assert (layer["kernel"] or "").startswith("Convolution (NHWC, F32)")
            assert (layer["ns"] or 0) > 0
    assert (told["y"]["kernel"] or "").startswith("Fully Connected")
    # XNNPACK pads while it convolves, but not while it pools.
    assert (told["conv1.padded"]["kernel"], told["conv1.padded"]["ns"]) == (None, 0)
    assert (told["maxpool.padded"]["kernel"] or "").startswith("Constant Pad")
    # A 1x1 convolution of few channels takes less than the 3x3 ones around it: names fit times.
    for name in ("layer2.0", "layer3.0", "layer4.0"):
        around = min(told[f"{name}.conv1"]["ns"] or 0, told[f"{name}.conv2"]["ns"] or 0)
        assert (told[f"{name}.downsample"]["ns"] or 0) < around
    assert {(one["kernel"], one["provider"]) for one in bare.values()} == {
        (None, "built-in kernels")
    }
    assert list(bare) == list(told)


def test_what_a_delegate_leaves_has_its_own_times(workshop: Workshop, folder: Path) -> None:
    executed = ran(workshop, saved(folder, "yolov8s-seg", "tflite"), "litert")
    layers = executed["layers"] or []
    left = [layer for layer in layers if layer["provider"] == "built-in kernels"]
    assert {layer["operator"] for layer in left} == {"RESIZE_NEAREST_NEIGHBOR"}
    assert all((layer["ns"] or 0) > 0 and layer["kernel"] is None for layer in left)
    for layer in layers:
        assert layer["operator"] not in CONVOLUTIONS or layer["kernel"]
        if layer["operator"] == "LOGISTIC":
            assert (layer["kernel"] or "").startswith("Sigmoid")


def test_a_package_without_the_library_says_so(workshop: Workshop, folder: Path) -> None:
    executed = ran(workshop, saved(folder, "mobilenet-v1", "tflite"), "tflite")
    assert "tflite-runtime has no profiler" in (executed["note"] or "")
    assert all(layer["ns"] is None for layer in executed["layers"] or [])


def profiled(path: Path, **ports: object) -> Profile:
    import ai_edge_litert.interpreter  # noqa: F401

    ask = {"path": str(path), "builtin": False, "threads": 1, "runs": 1}
    return _litert_profile.profiled("ai_edge_litert", {**ask, **ports}, 0.01)


def test_a_file_that_it_cannot_read_leaves_the_worker_unharmed(tmp_path: Path) -> None:
    path = tmp_path / "no.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(UnavailableError, match="CreateModelFromFile returned"):
        profiled(path, inputs={}, outputs={})


def test_other_ports_than_the_interpreters_are_refused(folder: Path) -> None:
    path = saved(folder, "mobilenet-v1", "tflite")
    x = {"x": _litert_profile.port(np.zeros((1, 64, 64, 3), "float32"), fed=True)}
    with pytest.raises(UnavailableError, match="it names the ports y"):
        profiled(path, inputs=x, outputs={})


def operator(at: int, name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
    return {"index": at, "op_name": name, "inputs": inputs, "outputs": outputs}


OPERATORS = [
    operator(0, "CONV_2D", [0], [1]),
    operator(1, "MUL", [1], [2]),
    operator(2, "MUL", [2], [3]),
    operator(3, "DEPTHWISE_CONV_2D", [3], [4]),
    operator(4, "DELEGATE", [0], [4]),
]
CONV, DEPTHWISE = "Convolution (NHWC, F32) IGEMM", "Convolution (NHWC, F32) DWConv"


def xnnpack(*tags: str) -> list[Event]:
    return [Event(tag, True, at, 1000) for at, tag in enumerate(tags)]


def test_operators_alike_are_taken_in_order() -> None:
    events = xnnpack(CONV, "Multiply (ND)", "Clamp (NC)", "Multiply (ND)", DEPTHWISE)
    found = belonging(OPERATORS, events)
    assert {at: [one.at for one in mine] for at, mine in found.items()} == {
        0: [0],
        1: [1, 2],
        2: [3],
        3: [4],
    }


@pytest.mark.parametrize(
    "events",
    [
        xnnpack(CONV, "Multiply (ND)"),  # a convolution is missing
        xnnpack(DEPTHWISE, "Multiply (ND)", CONV),  # in another order
        [Event("CONV_2D", False, 0, 1000), *xnnpack(DEPTHWISE)],  # the delegate leaves one
        [*xnnpack(CONV), *xnnpack(DEPTHWISE)],  # two parts
        [],
    ],
)
def test_what_does_not_fit_has_no_times(events: list[Event]) -> None:
    with pytest.raises(UnavailableError):
        belonging(OPERATORS, events)
