"""Look into a dataset on the host: an .npz file of labelled samples, checked before a run."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from agents import wire
from harness.artifact import Artifact, Shapes
from harness.documents import nearest, unknown
from harness.errors import InputError
from harness.formats import Port
from harness.study import DatasetSource

CHUNK = 1 << 22
# The device keeps the whole of it in memory.
MAX_BYTES = 4 << 30
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class DatasetFile:
    """A dataset whose arrays were all read once: they are finite and agree in length."""

    path: Path
    sha256: str
    bytes: int
    keys: Mapping[str, str]  # model input -> key in the file; "" stands for the only input
    shapes: Mapping[str, tuple[int, ...]]  # of one sample, by key
    dtypes: Mapping[str, np.dtype[Any]]  # by key
    labels_key: str
    labels: list[int]

    @property
    def samples(self) -> int:
        """Return how many labelled samples there are."""
        return len(self.labels)

    def wire(self) -> wire.Dataset:
        """Return what the job says about the dataset."""
        return {
            "artifact": self.sha256,
            "inputs": dict(self.keys),
            "labels": self.labels_key,
            "samples": self.samples,
        }


def load_dataset(path: Path, source: DatasetSource) -> DatasetFile:
    """Read the headers and the labels; one that cannot be used is an InputError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, source, archive)
    except FileNotFoundError:
        raise InputError("no such dataset", where=str(path)) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise _bad(path, "is damaged, cut short or no .npz file", "numpy.savez makes one") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None


def check_dataset(dataset: DatasetFile, artifact: Artifact, shapes: Shapes | None = None) -> None:
    """Check that the samples can be fed to a model; an InputError says what does not fit."""
    ports = {port.name: port for port in artifact.inputs}
    if "" in dataset.keys and len(ports) != 1:
        names = ", ".join(ports)
        what = f"names one key, but {artifact.path.name} has {len(ports)} inputs: {names}"
        raise _bad(dataset.path, what, "give dataset.inputs as {model input: key}")
    for name, key in dataset.keys.items():
        if name and name not in ports:
            what = f"is mapped to an input that {artifact.path.name} lacks: "
            raise _bad(dataset.path, what + unknown("input", name, ports))
        port = ports[name] if name else artifact.inputs[0]
        _check_type(dataset, key, port, artifact)
        _check_shape(dataset, key, port, (shapes or {}).get(port.name), artifact)
    unfed = [name for name in ports if "" not in dataset.keys and name not in dataset.keys]
    if unfed:
        what = f"feeds nothing to the input '{unfed[0]}' of {artifact.path.name}"
        raise _bad(dataset.path, what, "add it to dataset.inputs")
    _check_classes(dataset, artifact)


def _bad(path: Path, what: str, advice: str | None = None) -> InputError:
    return InputError(f"the dataset {what}", where=str(path), next_step=advice)


def _read(path: Path, source: DatasetSource, archive: zipfile.ZipFile) -> DatasetFile:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    members = {name.removesuffix(".npy"): name for name in names}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    for key in sorted({*source.keys.values(), source.labels}):
        if key not in members:
            close = nearest(key, members)
            hint = f"did you mean '{close}'?" if close else f"it has {', '.join(members)}"
            raise _bad(path, f"has no key '{key}'; {hint}", "correct dataset in the study")
        with archive.open(members[key]) as stream:
            shapes[key], dtypes[key] = _header(path, key, stream)
            if key != source.labels:
                _check_finite(path, key, stream, shapes[key], dtypes[key])
    labels = _labels(path, source.labels, archive.open(members[source.labels]))
    for key, shape in shapes.items():
        if shape[:1] != (len(labels),):
            counted = f"'{key}' holds {shape[0] if shape else 'one value'}"
            raise _bad(path, f"has {len(labels)} labels, but {counted}")
    return DatasetFile(
        path=path,
        sha256=_sha256(path),
        bytes=path.stat().st_size,
        keys=source.keys,
        shapes={key: shape[1:] for key, shape in shapes.items() if key != source.labels},
        dtypes=dtypes,
        labels_key=source.labels,
        labels=labels,
    )


def _header(path: Path, key: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = HEADERS[version](stream)
    except (ValueError, KeyError, SyntaxError, TypeError):
        raise _bad(path, f"holds a damaged array '{key}'") from None
    if dtype.kind not in "fiub":
        raise _bad(path, f"holds values of type {dtype} in '{key}'; numbers are needed")
    if fortran and len(shape) > 1:
        what = f"holds '{key}' in Fortran order, which a device cannot read row by row"
        raise _bad(path, what, f"store numpy.ascontiguousarray({key})")
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise _bad(path, f"holds {size >> 30} GiB in '{key}', more than a device can keep")
    return tuple(shape), dtype


def _check_finite(
    path: Path, key: str, stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Read the whole array in pieces: it must be complete and finite."""
    size = 0
    for values in _pieces(stream, dtype):
        size += values.size
        if dtype.kind == "f" and not np.isfinite(values).all():
            raise _bad(path, f"holds NaN or infinite values in '{key}'")
    if size != math.prod(shape):
        raise _bad(path, f"is cut short in '{key}'")


def _pieces(stream: IO[bytes], dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    rest = b""
    while chunk := stream.read(CHUNK):
        data = rest + chunk
        whole = len(data) - len(data) % dtype.itemsize
        rest = data[whole:]
        yield np.frombuffer(data[:whole], dtype)


def _labels(path: Path, key: str, stream: IO[bytes]) -> list[int]:
    with stream:
        shape, dtype = _header(path, key, stream)
        if len(shape) != 1 or dtype.kind not in "iu":
            what = f"needs whole numbers in one dimension in '{key}'"
            raise _bad(path, f"{what}; it holds {dtype} of shape {list(shape)}")
        values = np.concatenate([np.empty(0, dtype), *_pieces(stream, dtype)])
    if values.size != shape[0]:
        raise _bad(path, f"is cut short in '{key}'")
    if not values.size:
        raise _bad(path, "holds no samples")
    if values.min() < 0:
        raise _bad(path, f"holds a negative label in '{key}': {values.min()}")
    return [int(value) for value in values]


def _check_type(dataset: DatasetFile, key: str, port: Port, artifact: Artifact) -> None:
    """Floats feed floats and, through scale and zero point, quantised inputs."""
    dtype = dataset.dtypes[key]
    if dtype.name == port.dtype or (dtype.kind == "f" and port.scale is not None):
        return
    if dtype.kind == "f" and port.dtype.startswith("float"):
        return
    if dtype.kind in "iu" and port.dtype.startswith(("int", "uint")) and port.scale is None:
        return
    what = f"holds {dtype} in '{key}'; input '{port.name}' of {artifact.path.name} is {port.dtype}"
    raise _bad(dataset.path, what, f"store '{key}' as {_wanted(port)}")


def _wanted(port: Port) -> str:
    return "float32" if port.scale is not None else port.dtype


def _check_shape(
    dataset: DatasetFile, key: str, port: Port, given: object, artifact: Artifact
) -> None:
    declared = port.shape if given is None else tuple(given)  # type: ignore[arg-type]
    if declared is None:
        return
    sample, wanted = dataset.shapes[key], declared[1:]
    fits = len(sample) == len(wanted) and all(
        want is None or have == want for have, want in zip(sample, wanted, strict=True)
    )
    if not fits:
        shown = ["?" if size is None else size for size in wanted]
        what = (
            f"holds samples of shape {list(sample)} in '{key}'; input '{port.name}' of "
            f"{artifact.path.name} takes {shown}"
        )
        raise _bad(dataset.path, what.replace("'?'", "?"), "correct the dataset or the model")


def _check_classes(dataset: DatasetFile, artifact: Artifact) -> None:
    """A label beyond the model's classes could never be right."""
    shape = artifact.outputs[0].shape if len(artifact.outputs) == 1 else None
    if not shape or None in shape[1:]:
        return
    classes = math.prod(size or 1 for size in shape[1:])
    if max(dataset.labels) >= classes:
        what = f"has labels up to {max(dataset.labels)}; {artifact.path.name} has {classes} outputs"
        raise _bad(dataset.path, what, "number classes from 0")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
