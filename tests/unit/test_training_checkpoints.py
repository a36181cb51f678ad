"""Checkpoints: whole or refused, only for the run that wrote them, and for one run at a time."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import checkpoints
from harness.training.iterative import iterative
from harness.training.loop import run
from tests.unit.training_nets import Training, bits, classifier

torch.set_num_threads(1)
STEPS = iterative([0.2, 0.4], epochs=1)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def train(folder: Path, network: nn.Module | None = None, **changes: Any) -> nn.Module:
    given: dict[str, Any] = {"steps": STEPS, "trainer": Training(), "seed": 1, **changes}
    return run(network or classifier(), checkpoints=folder, **given)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    train(folder)
    return folder


def test_one_whole_file_is_left_and_it_ends_the_next_run_at_once(tmp_path: Path) -> None:
    trained, again = train(tmp_path / "new" / "folder"), Training()
    assert names(tmp_path / "new" / "folder") == {checkpoints.FILE}
    assert bits(train(tmp_path / "new" / "folder", trainer=again)) == bits(trained)
    assert again.batches == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 2}, "another seed: 1, not 2"),
        ({"steps": STEPS[:1]}, r"other steps: prune 20% .*, prune 40% .*; not prune 20%"),
        ({"steps": iterative([0.2, 0.4], epochs=2)}, r"other .*\(1 epochs\).*; not .*\(2 epochs\)"),
        ({"steps": iterative([0.2, 0.4], 1, "local")}, "other .*global.*; not .*local"),
        ({"steps": iterative([0.2, 0.4], 1, leave=("head",))}, "other .*; not .*leaving head"),
        ({"network": classifier(1)}, "another network to start from"),
    ],
)
def test_another_run_is_refused(written: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"is of a run with {said}") as refusal:
        train(written, **changes)
    assert refusal.value.where == str(written / checkpoints.FILE)
    assert "give another folder, or remove" in str(refusal.value)
    assert train(written)  # and nothing was touched


def test_another_torch_is_refused(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.raises(InputError, match=r"another torch: .*, not 9\.9"):
        train(written)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_file_is_refused(written: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray((written / checkpoints.FILE).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / checkpoints.FILE).write_bytes(content)
    with pytest.raises(InputError, match="is damaged") as refusal:
        train(tmp_path)
    assert "to train from the start" in str(refusal.value)
    assert (tmp_path / checkpoints.FILE).read_bytes() == content


def test_a_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """The old file is never written into: whoever holds it open reads it whole."""
    train(tmp_path, steps=STEPS[:1])
    old, content = tmp_path / "old", (tmp_path / checkpoints.FILE).read_bytes()
    old.hardlink_to(tmp_path / checkpoints.FILE)
    checkpoint = checkpoints.Checkpoint(1, classifier(), None, checkpoints.generators())
    checkpoints.write(tmp_path, checkpoints.Fingerprint((), 1, "", ""), checkpoint)
    assert old.read_bytes() == content != (tmp_path / checkpoints.FILE).read_bytes()


def test_a_part_that_a_kill_has_left_is_no_checkpoint(written: Path, tmp_path: Path) -> None:
    part = tmp_path / f"{checkpoints.FILE}.part"
    part.write_bytes((written / checkpoints.FILE).read_bytes()[:1000])
    assert bits(train(tmp_path)) == bits(train(written))
    assert not part.exists()


def test_two_runs_cannot_write_into_one_folder(tmp_path: Path) -> None:
    with checkpoints.only_one(tmp_path), pytest.raises(InputError, match="another run is writing"):
        train(tmp_path)
    assert train(tmp_path)  # the lock went with the other run


def lambda_in_it(network: nn.Module) -> nn.Module:
    network.register_forward_hook(lambda *_: None)
    return network


def parametrised(network: nn.Module) -> nn.Module:
    nn.utils.parametrizations.weight_norm(network.get_submodule("head"))
    return network


@pytest.mark.parametrize("prepare", [lambda_in_it, parametrised])
def test_a_network_that_cannot_be_pickled_is_refused(
    tmp_path: Path, prepare: Callable[[nn.Module], nn.Module]
) -> None:
    with pytest.raises(InputError, match="cannot be pickled for a checkpoint"):
        train(tmp_path, steps=[replace(STEPS[0], prepare=prepare)])
    assert names(tmp_path) == set()


def test_a_network_whose_class_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path)
    monkeypatch.delattr("tests.unit.training_nets.Classifier")
    same = classifier_of(tmp_path)
    with pytest.raises(InputError, match="holds a network whose code has changed"):
        train(tmp_path, same)


def classifier_of(folder: Path) -> nn.Module:
    """The starting network again, by another class."""
    del folder
    torch.manual_seed(0)
    network = nn.Module()
    network.body = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    network.hidden, network.head = nn.Linear(64, 8), nn.Linear(8, 3)
    return network


def test_another_optimiser_is_refused(written: Path) -> None:
    class Halves(Training):
        def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
            first, *others = network.parameters()
            return torch.optim.SGD([{"params": [first]}, {"params": others}], lr=0.1)

    with pytest.raises(InputError, match="is of a run with another optimiser"):
        train(written, trainer=Halves())


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a folder of checkpoints"):
        train(tmp_path / "file")


def test_a_full_disk_is_told_and_keeps_the_checkpoint_before(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel refuses the bytes of this write as those of a full disk: /dev/full.
    before = (written / checkpoints.FILE).read_bytes()
    part = written / f"{checkpoints.FILE}.part"
    part.symlink_to("/dev/full")
    checkpoint = checkpoints.Checkpoint(1, classifier(), None, checkpoints.generators())
    fingerprint = checkpoints.Fingerprint((("step", 1),), 1, "", "")
    with pytest.raises(InputError, match=os.strerror(errno.ENOSPC)):
        checkpoints.write(written, fingerprint, checkpoint)
    assert (written / checkpoints.FILE).read_bytes() == before and not part.is_symlink()


@pytest.mark.parametrize(
    "value",
    [torch.zeros(()), torch.zeros(0), torch.zeros(3, dtype=torch.bfloat16), torch.ones(2) > 0],
)
def test_a_fingerprint_takes_any_tensor_and_notices_its_change(value: torch.Tensor) -> None:
    network = nn.Module()
    network.register_buffer("value", value)
    before = checkpoints.sha256_of(network)
    assert checkpoints.sha256_of(network) == before
    network.register_buffer("value", torch.ones(2, 3))
    assert checkpoints.sha256_of(network) != before
