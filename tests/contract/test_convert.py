"""Conversions of real networks, checked by their outputs; converters in their own environments."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.variants import toolbox
from harness.variants.convert import convert
from harness.variants.convert.tflite import LITERT_TORCH, ONNX2TF
from harness.variants.network import Array
from harness.variants.outputs import outputs
from harness.variants.parity import check

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
SAMPLES = np.load(DIGITS / "eval.npz")["x"][:32]
SUFFIX = {"openvino": ".xml", "tflite": ".tflite"}


@pytest.fixture(scope="session")
def onnx2tf() -> None:
    """Have onnx2tf's environment; where it cannot be built the test is skipped with the reason."""
    try:
        toolbox.environment(ONNX2TF)
    except InputError as error:
        pytest.skip(error.what)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("name", ["dense", "slim-40"])
def test_to_openvino(tmp_path: Path, name: str, format: str) -> None:
    source = DIGITS / "models" / f"{name}.{format}"
    same_after_conversion(source, format, "openvino", tmp_path / "made" / "net.xml")
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"net.xml", "net.bin"}


@pytest.mark.usefixtures("onnx2tf")
def test_to_tflite(tmp_path: Path) -> None:
    source = DIGITS / "models" / "dense.onnx"
    before = source.read_bytes(), {path.name for path in source.parent.iterdir()}
    target = tmp_path / "made" / "net.tflite"
    same_after_conversion(source, "onnx", "tflite", target)
    # onnx2tf writes over the file that it is given.
    assert (source.read_bytes(), {path.name for path in source.parent.iterdir()}) == before
    assert {path.name for path in target.parent.iterdir()} == {"net.tflite"}
    in_eights = resized(target, SAMPLES[:8])
    check(outputs(target, "tflite", {"": SAMPLES[:8]}), [in_eights], "exact", "batch 8")


def test_from_torch(tmp_path: Path) -> None:
    if not LITERT_TORCH.ready:
        pytest.skip("litert-torch's environment of 2.1 GB has not been built on this machine")
    script = """
import numpy, torch
torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5)
).eval()
x = torch.randn(10, 3, 8, 8)
torch.export.save(torch.export.export(net, (x[:1],)), "net.pt2")
numpy.savez("seen.npz", x=x.numpy(), y=net(x).detach().numpy())
"""
    LITERT_TORCH.run(["python", "-c", script], tmp_path)
    notes = convert(tmp_path / "net.pt2", "torch", "tflite", tmp_path / "net.tflite")
    assert notes == ["torch to TFLite by litert-torch 0.10.0"]
    seen = np.load(tmp_path / "seen.npz")
    check([seen["y"]], outputs(tmp_path / "net.tflite", "tflite", {"": seen["x"]}), "exact", "net")


@pytest.mark.parametrize(("format", "to"), [("tflite", "onnx"), ("openvino", "tflite")])
def test_what_no_converter_does_is_refused(tmp_path: Path, format: str, to: str) -> None:
    with pytest.raises(InputError, match=f"no conversion from {format} to {to}"):
        convert(tmp_path / "a", format, to, tmp_path / "b")


@pytest.mark.parametrize("to", ["openvino", "tflite"])
def test_a_damaged_file_is_refused(tmp_path: Path, to: str) -> None:
    source, target = tmp_path / "bad.onnx", tmp_path / "made" / f"bad{SUFFIX[to]}"
    source.write_bytes((DIGITS / "models" / "dense.onnx").read_bytes()[:5000])
    with pytest.raises(InputError):
        convert(source, "onnx", to, target)
    assert not target.exists()


def test_a_tool_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolbox, "BUILD_TIMEOUT_S", 0.001)
    with pytest.raises(InputError, match=r"did not end within 0.001 s"):
        toolbox.find_python("3.11")


def test_a_python_that_is_missing_is_told_with_advice() -> None:
    with pytest.raises(InputError, match=r"Python 3\.99 is needed") as caught:
        toolbox.find_python("3.99")
    assert "uv python install" in (caught.value.next_step or "")


def test_pyenv_shims_do_not_hide_a_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "shims" / "python3.12"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    before = toolbox.find_python("3.12") if has_python_312() else pytest.skip("no Python 3.12 here")
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    assert toolbox.find_python("3.12") == before


def test_an_environment_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without packages: two builders at once, and the remains of a broken build."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(toolbox, "REQUIREMENTS", tmp_path)
    (tmp_path / "nothing.txt").write_text("# no packages\n")
    tool = toolbox.Tool("nothing", "3.11")
    rest = tool.folder / "rest"
    rest.parent.mkdir(parents=True)
    rest.touch()
    assert not tool.ready
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(toolbox.environment(tool))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tool.folder, tool.folder]
    assert tool.ready
    assert not rest.exists()
    assert tool.run(["python", "-c", "print(6 * 7)"], tmp_path) == "42\n"
    (tmp_path / "nothing.txt").write_text("# other ones\n")
    assert not tool.ready  # other requirements are another environment


def test_a_failing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(toolbox, "REQUIREMENTS", tmp_path)
    (tmp_path / "nothing.txt").write_text("")
    tool = toolbox.Tool("nothing", "3.11")
    with pytest.raises(InputError, match="nothing failed: out of order"):
        tool.run(["python", "-c", "raise SystemExit('out of order')"], tmp_path)
    with pytest.raises(InputError, match="versions that absent needs"):
        toolbox.Tool("absent", "3.11").run(["python"], tmp_path)


def has_python_312() -> bool:
    """Tell whether uv finds a Python 3.12."""
    try:
        toolbox.find_python("3.12")
    except (InputError, subprocess.SubprocessError):
        return False
    return True


def resized(path: Path, samples: Array) -> Array:
    """Run all samples as one batch, as an agent does."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    port = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(port["index"], samples.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(port["index"], samples)
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def same_after_conversion(source: Path, format: str, to: str, target: Path) -> None:
    """Convert, and compare the outputs of both files."""
    assert len(convert(source, format, to, target)) == 1
    found = [outputs(source, format, {"": SAMPLES}), outputs(target, to, {"": SAMPLES})]
    assert check(found[0], found[1], "exact", str(target)).agreement == 1
