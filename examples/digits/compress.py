"""Compress a network with its training code: `python examples/digits/compress.py -o FOLDER`.

Trains a dense network, compresses it in five ways, writes each as ONNX with its manifest, and a
study that measures them: `edgeproof run FOLDER/study.yaml`. Killed and started again it goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from data import DESCRIPTION, Digits, corrupt, split
from network import Network
from torch import nn
from trainer import FULL, QUICK, Effort, Training

from harness.artifact import inspect
from harness.errors import InputError
from harness.study import Study, load_study
from harness.training import distil, schedule
from harness.training.export import Made, export
from harness.training.iterative import iterative
from harness.training.loop import Step, run
from harness.training.lottery import lottery
from harness.training.movement import movement
from harness.training.quantize import quantize_aware
from harness.training.structured import structured
from harness.variants import build, manifest
from harness.variants.manifest import SampleSource
from harness.variants.outputs import outputs

STUDY = "digits-training"
SEED = 0
CALIBRATION_SAMPLES = 200
EXAMPLES = 16  # that each file is checked with
# The committed network made lighter, so that it trains in minutes. Pictures are 16x16 cells of 6x6
# equal pixels, so strides of 2 and 3 lose nothing of them.
BLOCKS = ((3, 3, (80,)), (1, 3, (80, 80)), (2, 5, (80,)), (1, 3, (160,)))
EVAL = Path(__file__).parent / "eval.npz"


@dataclass(frozen=True)
class Workshop:
    """What every method needs; `variants` are those of the study, as they come about."""

    folder: Path
    effort: Effort
    digits: Digits
    views: torch.Tensor  # of training digits, to calibrate with and to check files with
    variants: dict[str, Any]

    def train(
        self,
        name: str,
        network: nn.Module,
        todo: Sequence[Step],
        rate: float = 1e-3,
        teacher: distil.Teacher | None = None,
    ) -> nn.Module:
        """Train by steps, each kept in this name's checkpoints."""
        print(f"{name}: {', then '.join(step.name for step in todo)}", flush=True)
        training = Training(self.digits, self.effort.batch, rate, teacher)
        return run(network, todo, training, SEED, self.folder / "checkpoints" / name)

    def write(
        self,
        name: str,
        network: nn.Module,
        method: str,
        done: Sequence[Step],
        target: float | None = None,
        taught_by: Path | None = None,
    ) -> None:
        """Write a network made from the dense one, with its manifest, as a variant of the study."""
        data = self.digits.images.tobytes() + self.digits.labels.tobytes()
        sha256 = hashlib.sha256(data).hexdigest()
        source = SampleSource(file=DESCRIPTION, sha256=sha256, samples=len(self.digits))
        dense, path = self.folder / "dense.onnx", self.folder / f"{name}.onnx"
        made = Made(
            study=STUDY,
            variant=name,
            parent="dense",
            parent_file=dense,
            method=method,
            steps=done,
            seed=SEED,
            data=source,
            target=target,
            distilled_from=taught_by,
        )
        export(network, path, {"x": self.views[:EXAMPLES]}, made)
        self.variants[name] = {"from": "dense", "model": path.name}


def main() -> None:
    """Train, compress, write and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--quick", action="store_true", help="a minute's work, of poor accuracy")
    asked = parser.parse_args()
    try:
        compress(asked.output, QUICK if asked.quick else FULL)
    except InputError as error:
        sys.exit(str(error))


def compress(folder: Path, effort: Effort) -> None:
    """Make the dense network, every other one from it, and the study."""
    shop = open_workshop(folder, effort)
    torch.manual_seed(SEED)
    fresh = Network(BLOCKS)
    dense = make_dense(shop, fresh)
    prune_by_magnitude(shop, dense)
    prune_by_movement(shop, dense)
    remove_channels(shop, dense)
    find_lottery_ticket(shop, fresh)
    prepare_for_int8(shop, dense)
    show(write_study(shop))


def open_workshop(folder: Path, effort: Effort) -> Workshop:
    """Take the training digits, and bring the eval set and calibration samples to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    train, _ = split(SEED)
    digits = Digits(train.images[: effort.digits], train.labels[: effort.digits])
    views = corrupt(digits.images[:CALIBRATION_SAMPLES], np.random.default_rng(SEED))
    np.savez_compressed(folder / "calibration.npz", x=views)
    shutil.copyfile(EVAL, folder / EVAL.name)
    return Workshop(folder, effort, digits, torch.from_numpy(views), {})


def make_dense(shop: Workshop, fresh: nn.Module) -> nn.Module:
    """Train the network that all others are made from and compared with."""
    todo = [Step("train", shop.effort.dense, lambda network: network)]
    dense = shop.train("dense", deepcopy(fresh), todo, rate=4e-3)
    export(dense, shop.folder / "dense.onnx", {"x": shop.views[:EXAMPLES]})
    shop.variants["dense"] = {"model": "dense.onnx"}
    return dense


def prune_by_magnitude(shop: Workshop, dense: nn.Module) -> None:
    """Prune ten points at a time, from 20% to 80%; the dense network teaches what remains."""
    teacher, taught_by = distil.Teacher(dense), shop.folder / "dense.onnx"
    shares = schedule.steps(0.2, 0.8, 0.1)
    todo = iterative(shares, shop.effort.pruning)
    network = deepcopy(dense)
    for count, share in enumerate(shares, start=1):
        name = f"pruned-{100 * share:g}"
        network = shop.train(name, network, todo[count - 1 : count], teacher=teacher)
        shop.write(name, network, "magnitude, distilled", todo[:count], share, taught_by)


def prune_by_movement(shop: Workshop, dense: nn.Module) -> None:
    """Let training itself decide which 70% go of each layer but the first and the last."""
    todo = movement(0.7, shop.effort.movement, shop.effort.settle, leave=("units.0", "head"))
    network = shop.train("movement-70", deepcopy(dense), todo)
    shop.write("movement-70", network, "movement", todo, 0.7)


def remove_channels(shop: Workshop, dense: nn.Module) -> None:
    """Remove 40% of the channels, in two steps, to widths that vector registers like."""
    todo = structured(dense, shop.views[:2], (0.2, 0.4), shop.effort.structured, multiple=8)
    network = shop.train("slim-40", deepcopy(dense), todo)
    shop.write("slim-40", network, "structured", todo, 0.4)


def find_lottery_ticket(shop: Workshop, fresh: nn.Module) -> None:
    """Prune a trained network, take what remains back to an early epoch, and train again."""
    todo = lottery([0.7], shop.effort.lottery, rewind=shop.effort.lottery // 4)
    network = shop.train("ticket-70", deepcopy(fresh), todo, rate=4e-3)
    shop.write("ticket-70", network, "lottery ticket", todo, 0.7)


def prepare_for_int8(shop: Workshop, dense: nn.Module) -> None:
    """Train with the rounding of int8; the study quantises this network, and the dense one too."""
    todo = quantize_aware(shop.effort.quantize)
    network = shop.train("qat", deepcopy(dense), todo, rate=3e-4)
    shop.write("qat", network, "quantisation-aware", todo)
    shop.variants["int8"] = {"from": "dense", "quantize": {"to": "int8"}}
    shop.variants["qat-int8"] = {"from": "qat", "quantize": {"to": "int8"}}


def write_study(shop: Workshop) -> Study:
    """Write the study, and build the int8 files that it describes."""
    samples = {"file": "calibration.npz", "inputs": "x", "samples": len(shop.views)}
    document = {
        "name": STUDY,
        "baseline": "dense",
        "variants": shop.variants,
        "calibration": samples,
        "runtimes": ["onnxruntime"],
        "compare": ["variants"],
        "dataset": {"file": EVAL.name, "inputs": "x", "labels": "y"},
        "measure": {"effort": "quick", "budget": "5m"},
        "targets": [{"metric": "accuracy_top1_drop", "max": 0.02}],
    }
    path = shop.folder / "study.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    study = load_study(path, built=False)
    for _ in build.build(study, (), print):
        pass
    return study


def show(study: Study) -> None:
    """Print what every file is: accuracy on the eval set, what was taken away, bytes."""
    with np.load(study.folder / EVAL.name) as archive:
        x, y = archive["x"], archive["y"]
    print(f"\n{'variant':12}{'top-1':>8}{'taken away':>20}{'bytes':>10}{'compressed':>12}")
    for name in study.variants:
        path = study.model_path(name, "onnx")
        found = inspect(path, "onnx")
        [scores] = outputs(path, "onnx", {"x": x})
        taken = manifest.read(path).sparsity if manifest.beside(path) else None
        told = f"{taken.reached:.1%} of {taken.unit}" if taken else "-"
        top1 = np.mean(scores.argmax(axis=1) == y)
        print(f"{name:12}{top1:>8.1%}{told:>20}{found.bytes:>10,}{found.compressed_bytes:>12,}")


if __name__ == "__main__":
    main()
