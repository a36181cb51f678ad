"""Networks that torch trained, as ONNX files whose manifests say what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn  # noqa: E402  # torch may be missing

from harness.cli_variants import variants  # noqa: E402
from harness.errors import InputError  # noqa: E402
from harness.study import load_study  # noqa: E402
from harness.training import masks  # noqa: E402
from harness.training.export import Made, export  # noqa: E402
from harness.training.loop import Step  # noqa: E402
from harness.variants import manifest, mask_file  # noqa: E402
from harness.variants.manifest import SampleSource  # noqa: E402
from harness.variants.networks import open_network  # noqa: E402
from harness.variants.outputs import outputs  # noqa: E402
from harness.variants.parity import ParityError  # noqa: E402
from harness.variants.verify import check_given, verify  # noqa: E402

DATA = SampleSource(file="seeded noise", sha256="0" * 64, samples=64)


class Net(nn.Module):
    """What exporters treat differently: batch norms, a residual, depthwise, Gemm and MatMul."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.same = nn.Conv2d(width, width, 1, bias=False)
        self.after = nn.BatchNorm2d(width)
        self.mix = nn.Linear(8, 8)  # of three dimensions: a MatMul in ONNX, with a square weight
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = x + torch.relu(self.after(self.same(self.deep(x))))
        return self.head(torch.tanh(self.mix(x)).mean((2, 3)))


class Unlike(nn.Module):
    """Computes with a weight that is no more the layer's own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, torch.roll(self.mix.weight, 1, 0) + self.mix.weight)


class Counting(nn.Module):
    """Bakes the batch into its graph, so the file serves that batch alone."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) + len(x)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def trained(width: int = 16) -> nn.Module:
    """A network in training, with the statistics and factors of a few passes in its norms."""
    net = Net(width)
    for norm in (net.norm, net.after):
        nn.init.normal_(norm.weight)
    net.norm.weight.data[3] = 0  # its channel is gone from the folded weight
    passes(net)
    return net


def passes(net: nn.Module) -> None:
    for _ in range(2):
        net(torch.randn(4, 3, 8, 8)).sum().backward()


def samples(count: int = 4) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(count, 3, 8, 8)}


def pruned(net: nn.Module, share: float = 0.6, leave: tuple[str, ...] = ("head",)) -> nn.Module:
    masks.apply(net, masks.magnitude(net, share, "global", leave))
    passes(net)  # so that its masked weights are results, as after training
    return net


def made(folder: Path, **changes: Any) -> Made:
    step = Step("prune 60%", 3, lambda network: network)
    given = Made(
        study="net",
        variant="pruned",
        parent="dense",
        parent_file=folder / "dense.onnx",
        method="iterative magnitude pruning",
        steps=[step, replace(step, name="prune 70%", epochs=2)],
        seed=7,
        data=DATA,
        target=0.6,
    )
    return replace(given, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a dense network and one that was pruned from it."""
    net = trained()
    assert export(net, tmp_path / "dense.onnx", samples()) is None
    assert export(pruned(net), tmp_path / "pruned.onnx", samples(), made(tmp_path)) is not None
    return tmp_path


def in_study(folder: Path, **others: Mapping[str, Any]) -> Path:
    study = {
        "name": "net",
        "baseline": "dense",
        "variants": {"dense": {"model": "dense.onnx"}, **others},
        "runtimes": ["onnxruntime"],
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def test_a_network_is_exported_as_it_computes_and_stays_as_it_is(tmp_path: Path) -> None:
    net = pruned(trained())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    export(net, tmp_path / "net.onnx", samples())
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert masks.of(net)
    fresh = samples(7)  # another batch than the one that was traced
    net.eval()
    with torch.no_grad():
        expected = net(fresh["x"]).numpy()
    found = outputs(tmp_path / "net.onnx", "onnx", {"x": fresh["x"].numpy()})
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert not manifest.beside(tmp_path / "net.onnx")


def test_the_manifest_says_what_training_took_away(folder: Path) -> None:
    told = manifest.read(folder / "pruned.onnx")
    assert told.training is not None and told.sparsity is not None
    assert told.training.method == "iterative magnitude pruning"
    schedule = [(step.name, step.epochs) for step in told.training.schedule]
    assert schedule == [("prune 60%", 3), ("prune 70%", 2)]
    assert (told.epochs, told.seed, told.training.data) == (5, 7, DATA)
    assert (told.prune, told.quantize) == (None, None)
    assert told.parent.sha256 == manifest.sha256_of(folder / "dense.onnx")
    assert told.before == told.after  # zeros count as parameters
    assert told.sparsity.unit == "weights"
    assert told.sparsity.left == {"/head/Gemm": "was not masked in training"}
    # The dead channel of the norm adds its 27 weights, of which masks hold a part already.
    assert 0.6 <= told.sparsity.reached < 0.62
    assert [check.step for check in told.parity] == ["torch to onnx"]


def test_the_mask_names_the_files_weights(folder: Path) -> None:
    net = pruned(trained_again := trained())
    assert net is trained_again
    export(net, folder / "pruned.onnx", samples(), made(folder))
    stored, kept = mask_file.read(manifest.mask_of(folder / "pruned.onnx"))
    file = open_network(folder / "pruned.onnx", "onnx")
    assert kept == {}
    ours = {name: mask.numpy() for name, mask in masks.of(net).items()}
    # In order of the graph; the dead channel of the first norm leaves nothing, and ONNX's MatMul
    # has its weight turned round.
    ours["stem"][3] = False
    ours["mix"] = ours["mix"].T
    weights = [layer.weight for layer in file.graph.layers() if layer.weight in stored]
    assert len(weights) == len(ours) == 4
    for weight, (name, mask) in zip(weights, ours.items(), strict=True):
        np.testing.assert_array_equal(stored[weight], mask, err_msg=name)
        assert not file.constant(weight)[~mask].any()


def test_narrower_layers_are_told_in_channels(folder: Path) -> None:
    ask = made(folder, method="structured", variant="slim")
    export(trained(10), folder / "slim.onnx", samples(), ask)
    told = manifest.read(folder / "slim.onnx")
    assert told.sparsity is not None and told.before is not None and told.after is not None
    assert (told.sparsity.unit, told.sparsity.reached) == ("channels", 1 - 10 / 16)
    assert told.after.parameters < told.before.parameters
    assert told.mask is None
    assert verify(folder / "slim.onnx", "onnx") == []


def test_a_network_that_lost_nothing_has_no_sparsity(folder: Path) -> None:
    taught = made(folder, variant="taught", distilled_from=folder / "dense.onnx", target=None)
    told = export(trained(), folder / "taught.onnx", samples(), taught)
    assert told is not None and told.training is not None
    assert told.sparsity is None and told.mask is None
    assert told.training.distilled_from == manifest.sha256_of(folder / "dense.onnx")


def test_other_layers_than_the_parents_cannot_be_told_in_channels(folder: Path) -> None:
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5))
    with pytest.raises(InputError, match="has other layers than its parent"):
        export(other, folder / "other.onnx", samples(), made(folder))
    assert not (folder / "other.onnx").exists()


def test_a_mask_that_cannot_be_found_in_the_file_is_refused(folder: Path) -> None:
    net = Unlike()
    masks.apply(net, masks.magnitude(net, 0.5))
    with pytest.raises(InputError, match="masked weight of 'mix' is not in the exported file"):
        export(net, folder / "unlike.onnx", {"x": torch.randn(4, 8)}, made(folder))
    assert not (folder / "unlike.onnx").exists()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_file_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="does not compute what its source does"):
        export(Counting(), tmp_path / "net.onnx", {"x": torch.randn(4, 8)})
    assert not (tmp_path / "net.onnx").exists()


def test_what_onnx_has_no_operator_for_is_refused(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(InputError, match="cannot be written as ONNX"):
        export(Odd(), tmp_path / "net.onnx", {"x": torch.randn(4, 8)})


def test_one_sample_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 or more"):
        export(trained(), tmp_path / "net.onnx", samples(1))


def test_a_study_shows_and_verifies_it(folder: Path) -> None:
    path = in_study(folder, pruned={"from": "dense", "model": "pruned.onnx"})
    shown = CliRunner().invoke(variants, ["show", str(path), "--json"])
    assert [one["variant"] for one in json.loads(shown.output)] == ["pruned"]
    assert "% of weights" in CliRunner().invoke(variants, ["show", str(path)]).output
    verified = CliRunner().invoke(variants, ["verify", str(path), "--json"])
    assert (verified.exit_code, len(json.loads(verified.output))) == (0, 1)
    check_given(load_study(path))


def test_a_manifest_of_another_file_or_parent_is_found(folder: Path) -> None:
    path = in_study(folder, pruned={"from": "dense", "model": "pruned.onnx"})
    (folder / "dense.onnx").write_bytes((folder / "pruned.onnx").read_bytes())
    verified = CliRunner().invoke(variants, ["verify", str(path)])
    assert verified.exit_code == 1 and "it was made from another dense" in verified.output
    with pytest.raises(InputError, match="it was made from another dense"):
        check_given(load_study(path))
    export(trained(), folder / "dense.onnx", samples())
    (folder / "pruned.onnx").write_bytes((folder / "dense.onnx").read_bytes())
    with pytest.raises(InputError, match="its sha256 is"):
        check_given(load_study(path))


def test_json_that_is_no_manifest_belongs_to_nobody(folder: Path) -> None:
    manifest.path_of(folder / "dense.onnx").write_text('{"trained": "elsewhere"}')
    path = in_study(folder, pruned={"from": "dense", "model": "pruned.onnx"})
    verified = CliRunner().invoke(variants, ["verify", str(path), "--json"])
    assert (verified.exit_code, len(json.loads(verified.output))) == (0, 1)
