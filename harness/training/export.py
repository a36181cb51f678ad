"""A network that was compressed in training becomes an ONNX file with a manifest beside it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from harness import artifact
from harness.errors import InputError
from harness.training import masks, sparsity
from harness.training.loop import Step
from harness.variants import manifest, mask_file
from harness.variants.files import place
from harness.variants.manifest import (
    Manifest,
    ParityCheck,
    SampleSource,
    Sparsity,
    Training,
    TrainingStep,
)
from harness.variants.network import Array, Network
from harness.variants.networks import open_network
from harness.variants.outputs import outputs
from harness.variants.parity import check
from harness.variants.prune import size

OPSET = 17
FEWEST_SAMPLES = 2  # outputs must be seen to move with the inputs


@dataclass(frozen=True)
class Made:
    """What only who trained a network can say of it."""

    study: str
    variant: str
    parent: str  # the variant that it is compared with,
    parent_file: Path  # and its file, that `export` wrote
    method: str  # names the curve that a report draws through networks made alike
    steps: Sequence[Step]
    seed: int
    data: SampleSource
    target: float | None = None  # the share that was to go
    distilled_from: Path | None = None  # the file of the network that taught it
    notes: tuple[str, ...] = ()

    @property
    def training(self) -> Training:
        """Return what a manifest says about it."""
        taught_by = self.distilled_from
        return Training(
            method=self.method,
            schedule=tuple(TrainingStep(name=one.name, epochs=one.epochs) for one in self.steps),
            data=self.data,
            distilled_from=manifest.sha256_of(taught_by) if taught_by else None,
        )


def export(
    network: nn.Module, path: Path, example: Mapping[str, torch.Tensor], made: Made | None = None
) -> Manifest | None:
    """Write a network as an ONNX file with a free batch; null for `made`: it is nobody's variant.

    `example` maps each input's name, in the order of forward(), to some of the network's real
    samples, the first axis counting them. The file must compute on each of them, one by one, what
    torch does. The network itself is not changed. Raises InputError.
    """
    _check_example(example)
    ready = _copied(network)
    with tempfile.TemporaryDirectory(prefix="edgeproof-export-") as scratch:
        draft = Path(scratch) / "network.onnx"
        expected = _outputs(ready, example)
        masked = _made_permanent(ready)
        _write(ready, draft, example, len(expected))
        file = open_network(draft, "onnx")  # simplified, as every file that edgeproof builds
        file.save(draft)
        parity = _parity(draft, expected, example, path)
        if made is None:
            place([draft], path, None)
            return None
        taken, found = _taken(made, open_network(made.parent_file, "onnx"), file, masked)
        mask = manifest.mask_of(draft) if found else None
        if mask:
            mask_file.write(mask, found, None)
        place([draft], path, mask)
    told = _manifest(made, path, parity, taken)
    manifest.write(told, path)
    return told


def _check_example(example: Mapping[str, torch.Tensor]) -> None:
    counts = {len(samples) for samples in example.values()}
    if len(counts) != 1 or min(counts) < FEWEST_SAMPLES:
        raise InputError(
            f"needs the same number of samples for each input, {FEWEST_SAMPLES} or more",
            where="example",
        )


def _copied(network: nn.Module) -> nn.Module:
    """Copy a network for inference on this machine."""
    masks.refresh(network)  # else torch refuses to copy what the last pass left behind
    return deepcopy(network).cpu().eval()


def _outputs(network: nn.Module, example: Mapping[str, torch.Tensor]) -> list[Array]:
    with torch.no_grad():
        found = network(*(samples.cpu() for samples in example.values()))
    return [one.numpy() for one in ([found] if isinstance(found, torch.Tensor) else found)]


def _made_permanent(network: nn.Module) -> dict[str, sparsity.Masked]:
    """Make the masks part of the weights; returns both."""
    found = masks.of(network)
    masks.make_permanent(network)
    weights = dict(network.named_parameters())
    return {
        name: sparsity.Masked(weights[f"{name}.weight"].detach().numpy(), mask.numpy())
        for name, mask in found.items()
    }


def _write(network: nn.Module, path: Path, example: Mapping[str, torch.Tensor], count: int) -> None:
    """Write what torch traces, with `count` outputs. Its newer exporter would need onnxscript."""
    results = ["y"] if count == 1 else [f"y{at}" for at in range(count)]
    with _explained(path):
        torch.onnx.export(
            network,
            tuple(samples[:FEWEST_SAMPLES].cpu() for samples in example.values()),
            path,
            input_names=list(example),
            output_names=results,
            dynamic_axes={name: {0: "batch"} for name in (*example, *results)},
            opset_version=OPSET,
            dynamo=False,
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what torch's exporter says into an InputError; its errors share no base of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            yield
        except (RuntimeError, TypeError, ValueError) as error:
            said = " ".join(str(error).split())[:400]
            raise InputError(f"cannot be written as ONNX: {said}", where=str(path)) from error


def _parity(
    draft: Path, expected: Sequence[Array], example: Mapping[str, torch.Tensor], path: Path
) -> ParityCheck:
    feeds = {name: samples.cpu().numpy() for name, samples in example.items()}
    found = check(expected, outputs(draft, "onnx", feeds), "exact", str(path))
    return ParityCheck.of("torch to onnx", found, real=True)


def _taken(
    made: Made, parent: Network, file: Network, masked: Mapping[str, sparsity.Masked]
) -> tuple[Sparsity | None, dict[str, Array]]:
    """Return what was taken away, and the masks by the file's constants."""
    if masked:
        return sparsity.zeroed(file, masked, made.target)
    return sparsity.narrowed(parent, file, made.target), {}


def _manifest(made: Made, path: Path, parity: ParityCheck, taken: Sparsity | None) -> Manifest:
    found, source = artifact.inspect(path, "onnx"), artifact.inspect(made.parent_file, "onnx")
    return Manifest(
        study=made.study,
        variant=made.variant,
        format="onnx",
        file=path.name,
        sha256=found.sha256,
        parts=dict(found.parts),
        bytes=found.bytes,
        parent=manifest.Parent(
            variant=made.parent,
            format="onnx",
            file=made.parent_file.name,
            sha256=source.sha256,
        ),
        prune=None,
        quantize=None,
        training=made.training,
        sparsity=taken,
        zeros=found.sparsity,
        before=size(open_network(made.parent_file, "onnx")),
        after=size(open_network(path, "onnx")),
        epochs=sum(step.epochs for step in made.steps),
        seed=made.seed,
        calibration=None,
        widened=False,
        parity=(parity,),
        mask=_mask(path),
        tools=manifest.tools(),
        notes=made.notes,
    )


def _mask(path: Path) -> manifest.Mask | None:
    mask = manifest.mask_of(path)
    if not mask.is_file():
        return None
    return manifest.Mask(file=mask.name, sha256=manifest.sha256_of(mask))
