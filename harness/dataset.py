"""Look into a dataset on the host: an .npz file of samples, checked before a run."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from agents import preprocess, wire
from agents.backends import UnsupportedError
from harness import arrays, truths
from harness.arrays import bad
from harness.artifact import Artifact, Shapes
from harness.documents import nearest, unknown
from harness.errors import InputError
from harness.evaluated import DatasetSource, Samples
from harness.formats import Port
from harness.truths import Boxes, Truths

RECIPE_KEY = "preprocess"  # of the array that holds the recipe, a JSON text
MAX_RECIPE = 1 << 20

Recipe = list[dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class DatasetFile:
    """A dataset whose arrays were all read once: they are finite and agree in length."""

    path: Path
    sha256: str
    bytes: int
    keys: Mapping[str, str]  # model input -> key in the file; "" stands for the only input
    shapes: Mapping[str, tuple[int, ...]]  # of one sample as preprocessed, by key
    dtypes: Mapping[str, np.dtype[Any]]  # as preprocessed, by key
    samples: int
    truths: Truths | None  # null: only out-of-distribution sets have none
    recipe: Recipe
    scores: Any = None  # of the study's dataset, as is head
    head: Any = None

    @property
    def labels(self) -> list[int] | None:
        """Return the class of each sample, of a dataset for classification."""
        return self.truths.labels if self.truths else None

    @property
    def boxes(self) -> Boxes | None:
        """Return the boxes of each sample, of a dataset for detection."""
        return self.truths.boxes if self.truths else None

    def wire(self) -> wire.Dataset:
        """Return what the job says about the dataset."""
        known = {self.truths.kind: self.truths.key} if self.truths else {}
        return {
            "artifact": self.sha256,
            "inputs": dict(self.keys),
            "labels": known.get("labels"),
            "boxes": known.get("boxes"),
            "head": self.head,
            "masks": known.get("masks"),
            "samples": self.samples,
            "preprocess": self.recipe,
            "scores": self.scores,
        }


def load_dataset(path: Path, source: DatasetSource) -> DatasetFile:
    """Read the headers and the truths; one that cannot be used is an InputError."""
    given = None if source.preprocess is None else list(source.preprocess)

    def read(archive: zipfile.ZipFile) -> DatasetFile:
        recipe = _recipe(path, archive)
        if recipe is not None and given is not None:
            what = f"holds a recipe in '{RECIPE_KEY}', and the study gives another"
            raise bad(path, what, "leave `preprocess:` out of the study, or the array out")
        return _read(path, source, archive, source.truth, recipe or given or [])

    found = _opened(path, read)
    return replace(found, scores=source.scores, head=source.head)


def load_other(path: Path, source: Samples, recipe: Recipe) -> DatasetFile:
    """Read samples from elsewhere, without truths; `recipe` is theirs when the file holds none."""

    def read(archive: zipfile.ZipFile) -> DatasetFile:
        own = _recipe(path, archive)
        return _read(path, source, archive, None, recipe if own is None else own)

    return _opened(path, read)


def stored_recipe(path: Path) -> Recipe | None:
    """Read the preprocessing recipe that an .npz file holds; null when it holds none."""
    return _opened(path, lambda archive: _recipe(path, archive))


def preprocessed(
    path: Path, recipe: Sequence[dict[str, Any]], samples: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Preprocess samples [n, ...] as the agent does; a bad step is an InputError."""
    try:
        found: npt.NDArray[Any] = preprocess.apply(recipe, samples)
    except UnsupportedError as error:
        raise bad(path, f"cannot be preprocessed: {error}", "correct the recipe") from None
    return found


def check_dataset(dataset: DatasetFile, artifact: Artifact, shapes: Shapes | None = None) -> None:
    """Check that the samples can be fed to a model; an InputError says what does not fit."""
    ports = {port.name: port for port in artifact.inputs}
    if "" in dataset.keys and len(ports) != 1:
        names = ", ".join(ports)
        what = f"names one key, but {artifact.path.name} has {len(ports)} inputs: {names}"
        raise bad(dataset.path, what, "give dataset.inputs as {model input: key}")
    for name, key in dataset.keys.items():
        if name and name not in ports:
            what = f"is mapped to an input that {artifact.path.name} lacks: "
            raise bad(dataset.path, what + unknown("input", name, ports))
        port = ports[name] if name else artifact.inputs[0]
        _check_type(dataset, key, port, artifact)
        _check_shape(dataset, key, port, (shapes or {}).get(port.name), artifact)
    unfed = [name for name in ports if "" not in dataset.keys and name not in dataset.keys]
    if unfed:
        what = f"feeds nothing to the input '{unfed[0]}' of {artifact.path.name}"
        raise bad(dataset.path, what, "add it to dataset.inputs")
    _check_classes(dataset, artifact)


def _opened(path: Path, read: Callable[[zipfile.ZipFile], T]) -> T:
    try:
        with zipfile.ZipFile(path) as archive:
            return read(archive)
    except FileNotFoundError:
        raise InputError("no such dataset", where=str(path)) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise bad(path, "is damaged, cut short or no .npz file", "numpy.savez makes one") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _read(
    path: Path,
    source: Samples,
    archive: zipfile.ZipFile,
    truth: tuple[str, str] | None,
    recipe: Recipe,
) -> DatasetFile:
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    for key in sorted(set(source.keys.values())):
        with _member(path, archive, key) as stream:
            shapes[key], dtypes[key] = arrays.header(path, key, stream)
            arrays.check_finite(path, key, stream, shapes[key], dtypes[key])
    known = truths.read(path, *truth, _member(path, archive, truth[1])) if truth else None
    samples = _counted(path, shapes, known)
    fed = {key: _fed(path, recipe, shapes[key][1:], dtypes[key]) for key in shapes}
    if recipe and len(fed) > 1:
        raise bad(path, "has several inputs; a recipe is for datasets of one")
    return DatasetFile(
        path=path,
        sha256=_sha256(path),
        bytes=path.stat().st_size,
        keys=source.keys,
        shapes={key: found.shape[1:] for key, found in fed.items()},
        dtypes={key: found.dtype for key, found in fed.items()},
        samples=samples,
        truths=known,
        recipe=recipe,
    )


def _member(path: Path, archive: zipfile.ZipFile, key: str) -> IO[bytes]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    members = {name.removesuffix(".npy"): name for name in names}
    if key not in members:
        close = nearest(key, members)
        hint = f"did you mean '{close}'?" if close else f"it has {', '.join(members)}"
        raise bad(path, f"has no key '{key}'; {hint}", "correct the keys in the study")
    return archive.open(members[key])


def _counted(path: Path, shapes: Mapping[str, tuple[int, ...]], known: Truths | None) -> int:
    """Count the samples; every array must hold as many."""
    first, shape = next(iter(shapes.items()))
    samples = known.samples if known else shape[0] if shape else 0
    counted = f"{samples} {known.kind}" if known else f"{samples} samples in '{first}'"
    for key, each in shapes.items():
        if each[:1] != (samples,):
            held = each[0] if each else "one value"
            raise bad(path, f"has {counted}, but '{key}' holds {held}")
    if not samples:
        raise bad(path, "holds no samples")
    return samples


def _fed(
    path: Path, recipe: Recipe, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Preprocess one sample of zeros: its shape and type are what the model is fed."""
    return preprocessed(path, recipe, np.zeros((1, *shape), dtype))


def _recipe(path: Path, archive: zipfile.ZipFile) -> Recipe | None:
    """Read the recipe that travels with the samples."""
    name = RECIPE_KEY + ".npy"
    if name not in archive.namelist():
        return None
    try:
        if archive.getinfo(name).file_size > MAX_RECIPE:
            raise ValueError
        with archive.open(name) as stream:
            recipe = json.loads(str(np.lib.format.read_array(stream, allow_pickle=False)))
        if not isinstance(recipe, list) or not all(isinstance(step, dict) for step in recipe):
            raise ValueError
    except (ValueError, RecursionError):
        what = f"holds no recipe in '{RECIPE_KEY}': it must be the JSON text of a list of steps"
        raise bad(path, what, "see agents/preprocess.py for the steps") from None
    return recipe


def _check_type(dataset: DatasetFile, key: str, port: Port, artifact: Artifact) -> None:
    """Floats feed floats and, through scale and zero point, quantised inputs."""
    dtype = dataset.dtypes[key]
    if dtype.name == port.dtype or (dtype.kind == "f" and port.scale is not None):
        return
    if dtype.kind == "f" and port.dtype.startswith("float"):
        return
    if dtype.kind in "iu" and port.dtype.startswith(("int", "uint")) and port.scale is None:
        return
    wanted = f"input '{port.name}' of {artifact.path.name} is {port.dtype}"
    what = f"{_verb(dataset)} {dtype} in '{key}'; {wanted}"
    raise bad(dataset.path, what, f"store '{key}' as {_wanted(port)}")


def _verb(dataset: DatasetFile) -> str:
    return "gives after preprocessing" if dataset.recipe else "holds"


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
            f"{_verb(dataset)} samples of shape {list(sample)} in '{key}'; input '{port.name}' of "
            f"{artifact.path.name} takes {shown}"
        )
        raise bad(dataset.path, what.replace("'?'", "?"), "correct the dataset or the model")


def _check_classes(dataset: DatasetFile, artifact: Artifact) -> None:
    """A label beyond the model's classes could never be right."""
    shape = artifact.outputs[0].shape if len(artifact.outputs) == 1 else None
    if dataset.labels is None or not shape or None in shape[1:]:
        return
    outputs = math.prod(size or 1 for size in shape[1:])
    classes = max(2, outputs)  # one output is the second of two classes
    if max(dataset.labels) >= classes:
        what = f"has labels up to {max(dataset.labels)}; {artifact.path.name} has {outputs} outputs"
        raise bad(dataset.path, what, "number classes from 0")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
