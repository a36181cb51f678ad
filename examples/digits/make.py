"""Make everything here anew: `python examples/digits/make.py` (about a quarter of an hour)."""

from __future__ import annotations

import argparse
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import check
import numpy as np
import provenance
import to_onnx
import to_tflite
import torch
from data import Digits, Labels, corrupt, split, write_eval
from network import COARSE, Array, Layer, Network, fold, refine
from provenance import Origin
from prune import channels_removed, magnitude_masks, slim
from train import Masks, Recipe, apply_masks, deterministic, fit

SEED = 0
CALIBRATION_SAMPLES = 200
COARSE_DENSE = Recipe(epochs=30, rate=4e-3, seed=SEED)
DENSE = Recipe(epochs=3, rate=1e-3, seed=SEED)
PRUNED = Recipe(epochs=3, rate=1e-3, seed=SEED)
SLIM = Recipe(epochs=8, rate=2e-3, seed=SEED)
SHARES = (0.5, 0.7, 0.9)
CHANNEL_SHARE = 0.4


@dataclass(frozen=True)
class Workshop:
    """The data and the folder that every step needs."""

    models: Path
    train: Digits
    x: Array
    y: Labels
    calibration: Array


def main() -> None:
    """Train, prune, quantise, export, check and record every variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="target folder")
    shop = open_workshop(parser.parse_args().out)
    dense = make_dense(shop)
    make_pruned(shop, dense)
    narrow = make_slim(shop, dense)
    make_int8(shop, "int8", "dense", fold(dense))
    removed = channels_removed(dense, narrow)
    make_int8(shop, "slim-40-int8", "slim-40", fold(narrow), removed)


def open_workshop(folder: Path) -> Workshop:
    """Split the data and write the eval set; calibration samples come from the training digits."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    train, held_out = split(SEED)
    x, y = write_eval(held_out, folder / "eval.npz", SEED + 1)
    rng = np.random.default_rng(SEED + 2)
    chosen = rng.choice(len(train), CALIBRATION_SAMPLES, replace=False)
    return Workshop(models, train, x, y, corrupt(train.images[chosen], rng))


def make_dense(shop: Workshop) -> Network:
    """Train on the coarse grid, which is four times as quick, then go on on the fine one."""
    deterministic(SEED)
    coarse = Network(COARSE)
    _fit("dense, coarse", coarse, shop, COARSE_DENSE)
    network = refine(coarse)
    _fit("dense", network, shop, DENSE)
    epochs = COARSE_DENSE.epochs + DENSE.epochs
    _export(shop, network, Origin("dense", "trained", epochs=epochs, seed=SEED))
    return network


def make_pruned(shop: Workshop, dense: Network) -> None:
    """Prune step by step, each variant from the one before, with fine-tuning under the masks."""
    network, parent = deepcopy(dense), "dense"
    for share in SHARES:
        name = f"pruned-{share:.0%}".rstrip("%")
        masks = magnitude_masks(network, share)
        apply_masks(network, masks)
        _fit(name, network, shop, PRUNED, masks)
        origin = Origin(
            name,
            "unstructured magnitude pruning, then fine-tuning with fixed masks",
            (parent,),
            criterion="smallest absolute weight",
            scope="global over all convolution and linear weights",
            sparsity_target=share,
            epochs=PRUNED.epochs,
            seed=SEED,
        )
        _export(shop, network, origin)
        parent = name


def make_slim(shop: Workshop, dense: Network) -> Network:
    """Remove channels, then fine-tune."""
    narrow = slim(dense, CHANNEL_SHARE)
    _fit("slim-40", narrow, shop, SLIM)
    origin = Origin(
        "slim-40",
        "structured channel pruning, then fine-tuning",
        ("dense",),
        criterion="smallest L1 norm of a channel's weights",
        scope="40% of the outputs of each 1x1 convolution; the stem is kept",
        channels_removed=channels_removed(dense, narrow),
        epochs=SLIM.epochs,
        seed=SEED,
    )
    _export(shop, narrow, origin)
    return narrow


def make_int8(
    shop: Workshop, name: str, parent: str, layers: list[Layer], removed: int = 0
) -> None:
    """Quantise both files of a float variant after training, and check them."""
    onnx, tflite = shop.models / f"{name}.onnx", shop.models / f"{name}.tflite"
    to_onnx.write_int8(shop.models / f"{parent}.onnx", onnx, shop.calibration)
    to_tflite.write_int8(shop.models / f"{parent}.tflite", tflite, shop.calibration)
    origin = Origin(
        name,
        "post-training static quantisation to INT8, per-channel weights",
        (parent,),
        criterion="minimum and maximum over calibration samples from the training digits",
        scope="all layers; in the ONNX file all but the first two convolutions",
        channels_removed=removed,
        seed=SEED,
    )
    reference = check.run_onnx(shop.models / f"{parent}.onnx", shop.x)
    _record(shop, origin, layers, reference, f"{parent}.onnx in onnxruntime", exact=False)


def _fit(
    name: str, network: Network, shop: Workshop, recipe: Recipe, masks: Masks | None = None
) -> None:
    print(name, flush=True)
    fit(network, shop.train, recipe, masks)


def _export(shop: Workshop, network: Network, origin: Origin) -> None:
    layers = fold(network)
    to_onnx.write_float(layers, shop.models / f"{origin.variant}.onnx")
    to_tflite.write_float(layers, shop.models / f"{origin.variant}.tflite")
    with torch.no_grad():
        batches = torch.split(torch.from_numpy(shop.x), 50)
        reference = torch.cat([network(batch) for batch in batches]).numpy()
    _record(shop, origin, layers, reference, "the trained network in torch", exact=True)


def _record(
    shop: Workshop, origin: Origin, layers: list[Layer], reference: Array, of: str, exact: bool
) -> None:
    """Compare both files with the reference on the whole eval set, then write the provenance."""
    name = origin.variant
    tflite = shop.models / f"{name}.tflite"
    logits = {
        "onnxruntime": check.run_onnx(shop.models / f"{name}.onnx", shop.x),
        "litert": check.run_tflite(tflite, shop.x),
        "litert, batch 8": check.run_tflite(tflite, shop.x, batch=8),
    }
    parity = {
        runtime: check.parity(f"{name} in {runtime}", reference, found, exact)
        for runtime, found in logits.items()
    }
    accuracy = {runtime: check.top1(logits[runtime], shop.y) for runtime in list(logits)[:2]}
    provenance.write(
        shop.models, origin, layers, accuracy, {"reference": of, "samples": len(shop.x)} | parity
    )
    print(f"  {name}: top-1 {accuracy}", flush=True)


if __name__ == "__main__":
    main()
