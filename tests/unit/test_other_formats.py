"""Files of torch.export, ncnn and ExecuTorch, read without any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.formats import Port, UncountableError, UnreadableError, executorch, ncnn
from harness.formats import torch as exported

# A convolution and a dense layer, exported by ExecuTorch 1.5.1 with a free batch, for XNNPACK.
PROGRAM = Path(__file__).parent / "executorch.pte"


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


def save(torch: Any, path: Path, module: Any, *samples: Any, core: bool = False) -> Path:
    """Write a module as a program with a free batch."""
    free = tuple({0: torch.export.Dim("batch", max=64)} for _ in samples)
    program = torch.export.export(module.eval(), samples, dynamic_shapes=free)
    torch.export.save(program.run_decompositions() if core else program, path)
    return path


def sequence(torch: Any) -> Any:
    """Convolution, transposed convolution and two dense layers, half of whose weights are zero."""
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3),  # 8x8 to 6x6
        nn.ConvTranspose2d(6, 4, 2),  # to 7x7
        nn.Flatten(),
        nn.Linear(196, 8),
        nn.Linear(8, 5).bfloat16().float(),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.view(-1)[::2] = 0
    return module


@pytest.mark.parametrize("core", [False, True])
def test_ports_weights_and_zeros_of_a_program(torch: Any, tmp_path: Path, core: bool) -> None:
    module = sequence(torch)
    path = save(torch, tmp_path / "m.pt2", module, torch.zeros(2, 3, 8, 8), core=core)
    found = exported.read(path)
    assert found.inputs == (Port("input", "float32", (None, 3, 8, 8)),)
    assert [(port.dtype, port.shape) for port in found.outputs] == [("float32", (None, 5))]
    assert (found.sparsity, found.reason) == (0.5, None)
    weights = {one.key: one for one in exported.stored(path)}
    for name, parameter in module.named_parameters():
        if parameter.dim() >= 2:
            np.testing.assert_array_equal(weights[name].values, parameter.detach().numpy())
    # Places where a kernel stands: of the output; of a transposed convolution's input.
    uses = {key: one.uses for key, one in weights.items()}
    assert uses == {"0.weight": 36, "1.weight": 36, "3.weight": 1, "4.weight": 1}
    shapes = {key: one.matrix(one.values).shape for key, one in weights.items() if one.matrix}
    assert shapes["0.weight"] == (6, 9, 1)
    assert shapes["1.weight"] == (4, 4, 6)
    assert shapes["3.weight"] == (8, 1, 196)


def test_weights_of_other_types_and_in_shared_storage(torch: Any, tmp_path: Path) -> None:
    class Shared(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            both = torch.arange(24.0).bfloat16().reshape(2, 3, 4)
            self.first = torch.nn.Parameter(both[0])
            self.second = torch.nn.Parameter(both[1].t())

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.linear(x, self.first) @ self.second.t()

    path = save(torch, tmp_path / "m.pt2", Shared(), torch.zeros(2, 4).bfloat16())
    found = exported.read(path)
    assert found.inputs[0].dtype == "bfloat16"
    values = {one.key: one.values for one in exported.stored(path)}
    np.testing.assert_array_equal(values["first"], np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(values["second"], np.arange(12.0, 24.0).reshape(3, 4).T)
    assert found.sparsity == 1 / 24


def test_a_scalar_input_is_a_port_that_cannot_be_fed(torch: Any, tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, factor: int) -> Any:
            return x * factor

    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(Scaled(), (torch.zeros(2, 4), 3)), path)
    fed, scalar = exported.read(path).inputs
    assert fed.shape == (2, 4)
    assert (scalar.dtype, scalar.shape) == ("int", None)


def test_an_archive_without_a_program_says_what_to_write(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "other.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/data/thing", "x")
    with pytest.raises(UnreadableError, match=r"holds 0 programs.*torch\.export\.save"):
        exported.read(path)


@pytest.fixture(scope="module")
def small(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "m.pt2"
    return save(torch, path, torch.nn.Linear(4, 3), torch.zeros(2, 4)).read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_named_and_nothing_else_is_raised(
    small: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(small) - 1))
    byte = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(small)))
    path = tmp_path / "m.pt2"
    path.write_bytes((small[:at] + bytes([byte]) + small[at + 1 :])[:cut])
    try:
        exported.read(path)
    except UnreadableError as error:
        assert len(str(error)) > 10


PARAM = """7767517
3 3
Input                    in0   0 1 in0 {sizes}
Convolution              conv  1 1 in0 1 0=4 1=3 5=1 6=36
InnerProduct             dense 1 1 1 out0 0=10 1=1 2=1440
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "m.ncnn.param"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(b"1234")
    return path


def test_ports_of_ncnn(tmp_path: Path) -> None:
    found = ncnn.read(write(tmp_path, PARAM.format(sizes="0=5 1=6 2=3")))
    assert found.inputs == (Port("in0", "float32", (1, 3, 6, 5)),)
    assert found.outputs == (Port("out0", "float32", None),)
    assert found.companions == (".bin",)
    assert found.sparsity is None and "not counted" in (found.reason or "")
    path = write(tmp_path, PARAM.format(sizes=""))
    assert ncnn.read(path).inputs == (Port("in0", "float32", None),)
    with pytest.raises(UncountableError):
        ncnn.stored(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<xml/>", "no ncnn .param"),
        ("7767517\n", "cut short"),
        (PARAM.replace("3 3", "4 4").format(sizes=""), "cut short"),
        (PARAM.replace("0 1 in0", "0 x in0").format(sizes=""), "cut short"),
        ("7767517\n1 1\nInput in0 0 2 in0\n", "cut short"),
    ],
)
def test_damaged_ncnn(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UnreadableError, match=what):
        ncnn.read(write(tmp_path, text))


def test_ncnn_needs_its_weights(tmp_path: Path) -> None:
    path = write(tmp_path, PARAM.format(sizes=""))
    path.with_suffix(".bin").unlink()
    with pytest.raises(UnreadableError, match=r"no m\.ncnn\.bin"):
        ncnn.read(path)


def test_ports_of_executorch(tmp_path: Path) -> None:
    found = executorch.read(PROGRAM)
    assert found.inputs == (Port("input_0", "float32", (None, 1, 8, 8)),)
    assert found.outputs == (Port("output_0", "float32", (None, 10)),)
    assert found.sparsity is None and "not counted" in (found.reason or "")
    with pytest.raises(UncountableError):
        executorch.stored(PROGRAM)
    path = tmp_path / "cut.pte"
    path.write_bytes(PROGRAM.read_bytes()[:5000])
    with pytest.raises(UnreadableError, match="cut short"):
        executorch.read(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableError, match="no ExecuTorch program"):
        executorch.read(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4000), byte=st.integers(0, 255))
def test_damaged_executorch(tmp_path: Path, at: int, byte: int) -> None:
    data = PROGRAM.read_bytes()
    path = tmp_path / "damaged.pte"
    path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
    try:
        executorch.read(path)
    except UnreadableError as error:
        assert len(str(error)) > 10
