"""One model file pruned: zeros or removal, the parity checks, calibration, and what was reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.variants import calibrate, channels, mask_file, sparsity
from harness.variants.count import totals
from harness.variants.manifest import LayerSparsity, Size, Sparsity, mask_of
from harness.variants.network import Array, Feeds, Kept, Network
from harness.variants.networks import open_network
from harness.variants.outputs import outputs
from harness.variants.parity import Parity, check
from harness.variants.recipe import Prune

# A file that grows by more than a simplified graph explains stored its weights in fewer bits.
WIDENED = 1.2


@dataclass(frozen=True)
class Pruned:
    """What a manifest says about a file that was pruned; `mask` is the sidecar."""

    path: Path
    mask: Path
    sparsity: Sparsity
    before: Size
    after: Size
    parity: Mapping[str, Parity]  # by step
    widened: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Change:
    """What a method did to a network: weights set to zero, or positions removed."""

    sparsity: Sparsity
    masks: Mapping[str, Array]
    kept: Kept | None
    notes: tuple[str, ...]


def prune(
    source: Path, format: str, target: Path, ask: Prune, feeds: Feeds | None, samples: Feeds
) -> Pruned:
    """Prune a file as asked; `feeds` are for calibration, `samples` for the parity checks.

    Removal must compute exactly what the source does with the same weights set to zero; that is
    checked before the remaining weights are adjusted. Raises InputError.
    """
    network = open_network(source, format)
    before = size(network)
    again, opening = opened(source, format, target, samples)
    parity = {"opening": opening}
    change = _removed(network, ask, feeds) if ask.structured else _zeroed(network, ask, feeds)
    network.save(target)
    if change.kept is not None:
        parity["removal"] = _check_removal(source, format, target, change.kept, samples)
    notes = list(change.notes)
    if ask.calibrate and feeds is not None:
        dense = open_network(source, format)
        notes += calibrate.calibrate(dense, network, feeds, change.masks, change.kept)
        network.save(target)
    saved = open_network(target, format)
    _check_masks(saved, change.masks, source)
    mask_file.write(mask_of(target), change.masks, change.kept)
    return Pruned(
        target,
        mask_of(target),
        change.sparsity,
        before,
        size(saved),
        parity,
        widened(source, again),
        tuple(notes),
    )


def size(network: Network) -> Size:
    """Count the parameters and multiply-accumulates of a network."""
    counted = totals(network)
    return Size(parameters=counted.parameters, macs=counted.macs)


def _zeroed(network: Network, ask: Prune, feeds: Feeds | None) -> _Change:
    done = sparsity.sparsify(network, ask, feeds)
    reached = Sparsity(
        unit="weights",
        target=ask.share,
        reached=done.reached,
        layers=tuple(done.layers),
        left=done.left,
    )
    return _Change(reached, done.masks, None, tuple(done.notes))


def _removed(network: Network, ask: Prune, feeds: Feeds | None) -> _Change:
    done = channels.slim(network, ask, feeds)
    layers = [
        LayerSparsity(
            name=", ".join(family.layers),
            target=None if ask.scoped == "global" else ask.sparsity,
            reached=1 - family.after / family.before,
        )
        for family in done.families
    ]
    reached = Sparsity(
        unit="heads" if ask.method == "heads" else "channels",
        target=ask.sparsity,
        reached=done.reached,
        layers=tuple(layers),
        left=dict(done.left),
    )
    return _Change(reached, {}, done.kept, ())


def opened(source: Path, format: str, target: Path, samples: Feeds) -> tuple[Path, Parity]:
    """Write the source as it is once opened: its graph simplified, its weights float32."""
    again = target.with_name("opened-" + target.name)
    open_network(source, format).save(again)
    return again, _same(source, again, format, samples, source)


def widened(source: Path, again: Path) -> bool:
    """Whether the source stores weights in fewer bits than the same file once opened."""
    sizes = [sum(part.stat().st_size for part in _parts(path)) for path in (source, again)]
    return sizes[1] > WIDENED * sizes[0]


def _parts(path: Path) -> list[Path]:
    beside = path.with_suffix(".bin")  # the weights of an OpenVINO IR; of others it is no part
    return [path, beside] if path.suffix.lower() == ".xml" and beside.is_file() else [path]


def _check_removal(source: Path, format: str, target: Path, kept: Kept, samples: Feeds) -> Parity:
    masked = open_network(source, format)
    channels.masked(masked, kept)
    reference = target.with_name("masked-" + target.name)
    masked.save(reference)
    return _same(reference, target, format, samples, source)


def _same(before: Path, after: Path, format: str, samples: Feeds, where: Path) -> Parity:
    found = [outputs(path, format, samples) for path in (before, after)]
    return check(found[0], found[1], "exact", str(where))


def _check_masks(saved: Network, masks: Mapping[str, Array], source: Path) -> None:
    """The file that was written must hold zeros wherever the masks say so."""
    for name, mask in masks.items():
        if np.any(saved.constant(name)[~mask]):
            raise InputError(f"'{name}' is not zero where its mask is", where=str(source))
