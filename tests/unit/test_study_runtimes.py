"""Labels of runtimes, NAME or NAME:TARGET: in the study, in profiles, and in what is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents import backends
from harness import provision
from harness.artifact import Artifact
from harness.devices import Device, DeviceProfile
from harness.errors import InputError
from harness.formats import Contents, Port
from harness.labels import runtimes
from harness.plan import plan
from harness.study import Study, parse_study


def study(*labels: Any) -> Study:
    return parse_study(
        {
            "name": "test",
            "variants": {"dense": {"model": {"onnx": "d.onnx", "tflite": "d.tflite"}}},
            "baseline": "dense",
            "runtimes": list(labels),
        },
        Path(),
    )


def profile(**pins: Any) -> DeviceProfile:
    given = {name.replace("__", ":"): pin for name, pin in pins.items()}
    return DeviceProfile.model_validate({"kind": "k", "title": "K", "runtimes": given})


def test_every_target_of_every_backend_can_be_named() -> None:
    labels = [f"{name}:{target}" for name in runtimes() for target in backends.targets(name)]
    assert len(labels) > len(runtimes())
    assert study(*labels).runtimes == tuple(labels)


def test_labels_are_read_in_lower_case_and_kept_as_written_else() -> None:
    assert study("openvino", "openvino:GPU").runtimes == ("openvino", "openvino:gpu")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("onnxruntim", "unknown runtime 'onnxruntim'; did you mean 'onnxruntime'?"),
        ("onnxruntime:xnnpak", "did you mean 'xnnpack'?"),
        ("onnxruntime:tpu", "it has cpu, xnnpack, cuda, tensorrt, openvino"),
        ("onnxruntime:", "unknown target of onnxruntime ''"),
        (":cpu", "unknown runtime ''"),
        ("_null", "unknown runtime '_null'"),
    ],
)
def test_an_unknown_label_is_refused_with_the_known_ones(label: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        study(label)
    assert said in str(refused.value)


def test_a_label_is_listed_once() -> None:
    with pytest.raises(InputError, match="listed twice"):
        study("openvino:gpu", "openvino:GPU")


def test_cells_carry_target_and_options_of_their_label(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = profile(
        litert={"options": {"usual": 1}},
        litert__builtin={"options": {"bare": "yes"}},
        onnxruntime__cuda={"options": {"device_id": 1, "arena": True}},
    )
    monkeypatch.setattr("harness.devices.load_profile", lambda name: kind)
    contents = Contents((Port("x", "float32", (None, 4)),), (), None, None)
    files = {
        ("dense", form): Artifact(Path("d"), form, (), form, {}, 1, contents)
        for form in ("onnx", "tflite")
    }
    labels = ("litert", "litert:xnnpack", "litert:builtin", "onnxruntime:cuda", "onnxruntime")
    found = plan(study(*labels), Device(name="local", connection="local"), files)
    cells = {item.cell["runtime"]: item.cell for item in found.cells}
    assert {label: (cell["target"], cell["options"]) for label, cell in cells.items()} == {
        "litert": ("xnnpack", {"usual": 1}),
        "litert:xnnpack": ("xnnpack", {"usual": 1}),
        "litert:builtin": ("builtin", {"bare": "yes"}),
        "onnxruntime:cuda": ("cuda", {"device_id": 1, "arena": True}),
        "onnxruntime": ("cpu", {}),
    }
    assert cells["onnxruntime:cuda"]["id"] == "dense/onnxruntime:cuda/fp32/b1/t1/single-stream"
    assert found.runtimes == sorted(labels)


@pytest.mark.parametrize(
    ("pins", "label", "needed"),
    [
        ({}, "litert", ("ai-edge-litert",)),
        ({}, "litert:builtin", ("ai-edge-litert",)),
        ({"litert": {"requires": ["x<2"]}}, "litert:builtin", ("x<2",)),
        ({"litert__builtin": {"requires": ["x"]}}, "litert", ("ai-edge-litert",)),
        ({"litert__xnnpack": {"requires": ["x"]}}, "litert", ("x",)),
        ({"litert": {"options": {"a": 1}}}, "litert", ("ai-edge-litert",)),
        ({"litert": "system"}, "litert:builtin", None),
        ({"litert": "system", "litert__builtin": {"options": {"a": 1}}}, "litert:builtin", None),
        ({"litert": "system", "litert__builtin": {"requires": ["x"]}}, "litert:builtin", ("x",)),
    ],
)
def test_what_is_installed_for_a_label(
    pins: dict[str, Any], label: str, needed: tuple[str, ...] | None
) -> None:
    assert provision.requirements(label, profile(**pins)) == needed


def test_a_target_may_need_another_package_than_its_runtime() -> None:
    by_target = backends.find("onnxruntime").TARGET_REQUIRES
    plain, pinned = profile(), profile(onnxruntime={"requires": ["onnxruntime==1.20"]})
    for kind in (plain, pinned):
        assert provision.requirements("onnxruntime:cuda", kind) == by_target["cuda"]
    assert provision.requirements("onnxruntime:cuda", profile(onnxruntime="system")) is None
    assert provision.requirements("onnxruntime:xnnpack", pinned) == ("onnxruntime==1.20",)


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        ({"onnxruntim": "system"}, "did you mean 'onnxruntime'"),
        ({"onnxruntime__tpu": "system"}, "unknown target of onnxruntime"),
        ({"litert": {"requires": ["litert = 2"]}}, "is no requirement"),
        ({"litert": {"requires": []}}, "at least 1 item"),
        ({"litert": {"options": {"a": [1]}}}, "options"),
    ],
)
def test_a_profile_is_read_as_strictly_as_a_study(pins: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        profile(**pins)
