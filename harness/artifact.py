"""Look into a model file on the host: identity, size, share of zero weights, inputs and outputs."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents import wire
from harness.errors import InputError
from harness.formats import Contents, Port, UnreadableError
from harness.variants.zeros import zeros
from reports.run import ArtifactRecord

CHUNK = 1 << 20
# What the agent can make an array of; numpy has no bfloat16, and strings cannot be invented.
FEEDABLE = {
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}
RESIZABLE = ("tflite",)  # formats whose runtimes give a fixed batch another size
MAX_ELEMENTS = 1 << 31
SHAPES_KEY = "its whole shape under `shapes:` of the variant"

Shapes = Mapping[str, Sequence[int | None]]


class Unresolvable(Exception):  # noqa: N818  a reason for one cell, no failure of the run
    """A cell whose inputs cannot be given a shape; the message is the reason."""


@dataclass(frozen=True)
class Artifact:
    """One model file. An OpenVINO IR is two: its sizes and sha256 are of .xml then .bin."""

    path: Path
    format: str
    files: tuple[Path, ...]
    sha256: str
    parts: Mapping[str, str]  # suffix -> sha256 of each file, the model's first
    bytes: int
    contents: Contents
    provenance: Mapping[str, Any] | None = None  # the .json beside the file: how it was made

    @cached_property
    def compressed_bytes(self) -> int:
        """Return the size by zlib, level 6 like gzip: what a download or an update would carry.

        Of large files with many zeros it takes seconds, so only those who ask for it pay.
        """
        packer = zlib.compressobj(6)
        packed = sum(len(packer.compress(chunk)) for chunk in _chunks(self.files))
        return packed + len(packer.flush())

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Return the declared inputs."""
        return self.contents.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Return the declared outputs."""
        return self.contents.outputs

    @property
    def sparsity(self) -> float | None:
        """Return the share of zero weights, 0..1; null has a reason."""
        return self.contents.sparsity

    @property
    def reason(self) -> str | None:
        """Return why sparsity is null, or what is wrong with the weights."""
        return self.contents.reason

    def record(self) -> ArtifactRecord:
        """Return what reports need to know."""
        return ArtifactRecord(
            sha256=self.sha256,
            file=self.path.name,
            format=self.format,
            bytes=self.bytes,
            compressed_bytes=self.compressed_bytes,
            sparsity=self.sparsity,
            reason=self.reason,
            provenance=self.provenance,
            zeros=zeros(self.path, self.format),
        )


def inspect(path: Path, format: str) -> Artifact:
    """Read a model file; one that is no usable model is an InputError."""
    try:
        if path.stat().st_size == 0:
            raise UnreadableError("is empty")
        contents = importlib.import_module(f"harness.formats.{format}").read(path)
        files = (path, *(path.with_suffix(suffix) for suffix in contents.companions))
        weight = _weigh(files)
    except UnreadableError as error:
        what, advice = f"the model file {error}", f"give a complete {format} file"
        raise InputError(what, where=str(path), next_step=advice) from None
    except FileNotFoundError:
        raise InputError("no such model file", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return Artifact(
        path=path,
        format=format,
        files=files,
        sha256=weight.sha256,
        parts=weight.parts,
        bytes=weight.bytes,
        contents=contents,
        provenance=_provenance(path),
    )


def resolve_inputs(artifact: Artifact, batch: int, shapes: Shapes) -> list[wire.TensorSpec]:
    """Give every input the shape that a cell feeds.

    The first dimension of an input is its batch. A free one becomes the cell's batch; a fixed one
    stands, except in TFLite files whose inputs are all fixed: there the interpreter resizes it.
    `shapes` gives other free dimensions, and may give the first; names that this file does not have
    are another format's. At least one input must carry the batch. Whatever cannot be resolved
    raises Unresolvable with the reason.
    """
    if not artifact.inputs:
        raise Unresolvable("the file declares no inputs")
    free = any(port.shape and port.shape[0] is None for port in artifact.inputs)
    resize = artifact.format in RESIZABLE and not free
    specs = [_spec(port, batch, shapes.get(port.name), resize) for port in artifact.inputs]
    if not any(spec["shape"][:1] == [batch] for spec in specs):
        raise Unresolvable(_no_batch(specs, batch))
    return specs


def _no_batch(specs: Sequence[wire.TensorSpec], batch: int) -> str:
    for spec in specs:
        if spec["shape"]:
            return f"input '{spec['name']}' has a fixed batch of {spec['shape'][0]}, not {batch}"
    return "the file has only scalar inputs, so none takes a batch"


def _spec(
    port: Port, batch: int, given: Sequence[int | None] | None, resize: bool
) -> wire.TensorSpec:
    if port.dtype not in FEEDABLE:
        raise Unresolvable(f"input '{port.name}' is of type {port.dtype}, which cannot be fed")
    fixed = (None, *port.shape[1:]) if resize and port.shape else port.shape
    declared = _declared(port.name, fixed, given)
    if declared and declared[0] is None:
        declared[0] = batch
    shape = [_known(port.name, at, size) for at, size in enumerate(declared)]
    elements = math.prod(shape)
    if elements > MAX_ELEMENTS:
        raise Unresolvable(f"input '{port.name}' would hold {elements} numbers")
    return {
        "name": port.name,
        "dtype": port.dtype,
        "shape": shape,
        "scale": port.scale,
        "zero_point": port.zero_point,
    }


def _declared(
    name: str, shape: Sequence[int | None] | None, given: Sequence[int | None] | None
) -> list[int | None]:
    """Merge the file's shape with the study's."""
    if given is None:
        if shape is None:
            raise Unresolvable(f"input '{name}' declares no shape; give {SHAPES_KEY}")
        return list(shape)
    if shape is None:
        return list(given)
    if len(given) != len(shape):
        raise Unresolvable(f"input '{name}' has {len(shape)} dimensions, its shapes {len(given)}")
    for at, (fixed, asked) in enumerate(zip(shape, given, strict=True)):
        if None not in (fixed, asked) and fixed != asked:
            raise Unresolvable(
                f"input '{name}' has {fixed} in dimension {at}, its shapes ask for {asked}"
            )
    return [fixed if asked is None else asked for fixed, asked in zip(shape, given, strict=True)]


def _known(name: str, at: int, size: int | None) -> int:
    if size is None:
        raise Unresolvable(f"input '{name}' has free dimension {at}; give {SHAPES_KEY}")
    return size


@dataclass(frozen=True)
class _Weight:
    sha256: str
    parts: Mapping[str, str]
    bytes: int


def _weigh(files: Sequence[Path]) -> _Weight:
    """Read the files once, one after the other, for their sums and sizes."""
    whole, size = hashlib.sha256(), 0
    parts = {}
    for file in files:
        part = hashlib.sha256()
        for chunk in _chunks([file]):
            whole.update(chunk)
            part.update(chunk)
            size += len(chunk)
        parts[file.suffix.lower()] = part.hexdigest()
    return _Weight(whole.hexdigest(), parts, size)


def _chunks(files: Sequence[Path]) -> Iterator[bytes]:
    """Yield what the files hold, one after the other."""
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk


def _provenance(path: Path) -> Mapping[str, Any] | None:
    """Read the manifest of a built file, else a sidecar; anything may lie there, so no error."""
    for sidecar in (path.with_name(path.name + ".json"), path.with_suffix(".json")):
        try:
            data = json.loads(sidecar.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return data
    return None
