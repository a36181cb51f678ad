"""What is special about DeepSparse, PyTorch, ncnn and ExecuTorch, in real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from agents.backends import UnsupportedError, _torch
from agents.process import WorkerError
from harness.artifact import Unresolvable, inspect
from harness.errors import InputError
from tests.contract.networks import SIDE, Network, save_exported
from tests.contract.workshop import Workshop, spec

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


# --- DeepSparse


def digits(variant: str, samples: Any) -> Any:
    """What ONNX Runtime makes of some samples."""
    path = str(DIGITS / "models" / f"{variant}.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": samples})[0]


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("variant", ["dense", "pruned-90", "slim-40"])
def test_deepsparse_agrees_with_onnx_runtime(workshop: Workshop, variant: str, batch: int) -> None:
    samples = np.random.default_rng(3).standard_normal((batch, 96, 96, 3)).astype("float32")
    cell = workshop.cell(DIGITS / "models" / f"{variant}.onnx", "deepsparse", batch=batch)
    (scores,), executed = workshop.outputs(cell, x=samples)
    expected = digits(variant, samples)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert (executed["precision"], executed["provider"]) == ("fp32", "DeepSparse")


def test_deepsparse_names_the_kernels_it_picked(workshop: Workshop) -> None:
    kernels = {}
    for variant in ("dense", "pruned-90"):
        cell = workshop.cell(DIGITS / "models" / f"{variant}.onnx", "deepsparse")
        samples = np.zeros((1, 96, 96, 3), "float32")
        _, executed = workshop.outputs(cell, x=samples)
        layers = executed["layers"] or []
        assert all(layer["ns"] is not None and layer["ns"] >= 0 for layer in layers)
        assert {"Conv", "Gemm"} <= {
            part for layer in layers for part in layer["operator"].split(",")
        }
        kernels[variant] = {layer["name"]: layer["kernel"] or "" for layer in layers}
    assert not any("ks_" in kernel for kernel in kernels["dense"].values())
    assert kernels["pruned-90"]["y"].startswith("ks_"), "a sparse kernel for the last layer"


# --- PyTorch


def mixed(torch: Any, folder: Path) -> Path:
    """Several inputs, two of them in a dictionary; not in alphabetical order."""

    class Mixed(torch.nn.Module):  # type: ignore[misc]
        def forward(self, on: Any, rest: Any) -> Any:
            return {"y": torch.where(on, rest["x"], rest["ids"].float())}

    free = {0: torch.export.Dim("batch", max=64)}
    samples = (torch.ones(2, 4).bool(), {"x": torch.ones(2, 4), "ids": torch.ones(2, 4).long()})
    shapes = (free, {"x": free, "ids": free})
    path = folder / "mixed.pt2"
    torch.export.save(torch.export.export(Mixed(), samples, dynamic_shapes=shapes), path)
    return path


def test_inputs_of_a_program_go_where_they_belong(
    workshop: Workshop, torch: Any, folder: Path
) -> None:
    cell = workshop.cell(mixed(torch, folder), "torch", batch=3)
    assert sorted(item["dtype"] for item in cell["inputs"]) == ["bool", "float32", "int64"]
    by_type = {item["dtype"]: item["name"] for item in cell["inputs"]}
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
    on, ids = x > 0.2, np.arange(12).reshape(3, 4) + 5
    given: Any = {by_type["bool"]: on, by_type["float32"]: x, by_type["int64"]: ids}
    (y,), _ = workshop.outputs(cell, **given)
    np.testing.assert_array_equal(y, np.where(on, x, ids))


def test_operators_and_kernels_of_a_program_are_told(
    workshop: Workshop, network: Network, torch: Any, folder: Path
) -> None:
    cell = workshop.cell(network.save(folder, "torch"), "torch", precision="bf16")
    _, executed = workshop.outputs(cell, x=network.samples[:1])
    layers = executed["layers"] or []
    told = {layer["operator"]: layer for layer in layers}
    assert {"conv2d", "relu", "linear"} <= set(told)
    assert told["conv2d"]["precision"] == executed["precision"] == "bf16"
    assert (told["conv2d"]["kernel"] or "").startswith("aten::")
    assert all(layer["ns"] for layer in layers)


@pytest.mark.parametrize(("target", "precision"), [("cuda", "fp32"), ("cuda-2:4", "fp16")])
def test_a_gpu_that_is_not_there_is_unsupported(
    workshop: Workshop, network: Network, torch: Any, folder: Path, target: str, precision: str
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    path = network.save(folder, "torch")
    cell = workshop.cell(path, f"torch:{target}", precision=precision)
    event = workshop.evaluate(cell)
    assert event["status"] == "unsupported"
    assert "no CUDA GPU" in (event["reason"] or "")


def test_compiling_without_a_compiler_is_unsupported(
    workshop: Workshop, network: Network, torch: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    event = workshop.evaluate(workshop.cell(network.save(folder, "torch"), "torch:compiled"))
    assert event["status"] == "unsupported"
    assert "C++ compiler" in (event["reason"] or "")


def test_a_program_refuses_shapes_that_it_was_not_exported_for(
    workshop: Workshop, network: Network, torch: Any, folder: Path
) -> None:
    fixed = network.save(folder, "torch", batch=2)
    with pytest.raises(Unresolvable, match="fixed batch of 2, not 8"):
        workshop.cell(fixed, "torch", batch=8)
    forced = workshop.cell(
        fixed, "torch", batch=8, inputs=[spec("x", "float32", [8, SIDE, SIDE, 1])]
    )
    event = workshop.evaluate(forced)
    assert event["status"] == "unsupported"
    assert "Guard failed" in (event["reason"] or "")


def test_an_operator_of_a_package_that_is_not_there_is_unsupported(
    workshop: Workshop, torch: Any, folder: Path
) -> None:
    schema = "(Tensor x) -> Tensor"
    name = "edgeproof_test::frobnicate"
    frobnicate = torch.library.custom_op(name, lambda x: x + 1, mutates_args=(), schema=schema)

    frobnicate.register_fake(torch.empty_like)

    class Foreign(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return frobnicate(x)

    path = save_exported(folder / "foreign.pt2", Foreign(), [torch.zeros(2, 4)])
    event = workshop.evaluate(workshop.cell(path, "torch"))
    assert event["status"] == "unsupported"
    assert "frobnicate" in (event["reason"] or "")


def test_only_weights_in_the_pattern_are_compressed(torch: Any) -> None:
    layer = torch.nn.Linear(64, 32).eval()
    module = torch.export.export(layer, (torch.zeros(2, 64),)).module()
    with pytest.raises(UnsupportedError, match="none of the 1 linear layers"):
        _torch.compress(module)


# --- ncnn


def test_ncnn_has_no_batch(workshop: Workshop, network: Network, folder: Path) -> None:
    path = network.save(folder, "ncnn")
    with pytest.raises(Unresolvable, match="fixed batch of 1, not 8"):
        workshop.cell(path, "ncnn", batch=8)
    inputs = [spec("x", "float32", [8, SIDE, SIDE, 1])]
    event = workshop.evaluate(workshop.cell(path, "ncnn", batch=8, inputs=inputs))
    assert (event["status"], "one sample" in (event["reason"] or "")) == ("unsupported", True)


def test_ncnn_lists_its_layers(workshop: Workshop, network: Network, folder: Path) -> None:
    cell = workshop.cell(network.save(folder, "ncnn"), "ncnn")
    _, executed = workshop.outputs(cell, x=network.samples[:1])
    told = [(layer["operator"], layer["precision"]) for layer in executed["layers"] or []]
    assert ("Convolution", "fp32") in told and ("InnerProduct", "fp32") in told


def test_a_layer_that_ncnn_lacks_is_unsupported_and_named(workshop: Workshop, folder: Path) -> None:
    path = folder / "foreign.param"
    path.write_text("7767517\n2 2\nInput x 0 1 x 0=4\nFrobnicate f 1 1 x y\n")
    path.with_suffix(".bin").write_bytes(b"")
    event = workshop.evaluate(workshop.cell(path, "ncnn"))
    assert event["status"] == "unsupported"
    assert "Frobnicate" in (event["reason"] or "")


# --- ExecuTorch


@pytest.fixture(scope="module")
def program(network: Network, folder: Path) -> Path:
    pytest.importorskip("executorch.exir")
    return network.save(folder, "executorch")


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (8, 2)])
def test_executorch_computes_what_numpy_computes(
    workshop: Workshop, network: Network, program: Path, batch: int, threads: int
) -> None:
    cell = workshop.cell(program, "executorch", batch=batch, threads=threads)
    given: Any = {cell["inputs"][0]["name"]: network.samples[:batch]}
    (scores,), executed = workshop.outputs(cell, **given)
    np.testing.assert_allclose(scores, network.reference[:batch], atol=1e-5)
    assert (executed["provider"], executed["threads"]) == ("XnnpackBackend", threads)
    assert executed["precision"] is None and "does not tell" in (executed["note"] or "")


def test_executorch_refuses_more_than_it_was_planned_for(workshop: Workshop, program: Path) -> None:
    event = workshop.evaluate(workshop.cell(program, "executorch", batch=200))
    assert event["status"] == "unsupported"


@pytest.mark.parametrize(("runtime", "format"), [("torch", "torch"), ("ncnn", "ncnn")])
def test_a_file_cut_short_fails_with_a_reason(
    workshop: Workshop, network: Network, folder: Path, runtime: str, format: str
) -> None:
    whole = network.save(folder, format)
    path = folder / f"cut{whole.suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(InputError):
        inspect(path, format)
    cell = workshop.cell(path, runtime, inputs=[spec("x", "float32", [1, SIDE, SIDE, 1])])
    with pytest.raises(WorkerError) as failed:
        workshop.outputs(cell, x=network.samples[:1])
    assert failed.value.status == "failed"
    assert len(str(failed.value)) > 20
