"""The manifest beside every built file: what it was made from, how, and what it became."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from harness.documents import Model
from harness.errors import InputError
from harness.variants.parity import Parity
from harness.variants.recipe import Prune, Quantize

SCHEMA = "edgeproof.variant/1"
# Whose versions may decide what a file becomes.
TOOLS = (
    *("edgeproof", "ai-edge-litert", "ai-edge-quantizer", "nncf", "numpy", "onnx", "onnxruntime"),
    *("onnxsim", "openvino", "scipy", "torch", "torch-pruning"),
)


class Parent(Model):
    """The file that another was made from."""

    variant: str
    format: str
    file: str
    sha256: str


class LayerSparsity(Model):
    """What became of one layer: shares of its weights, channels or heads, 0..1."""

    name: str
    target: float | None  # null: what the whole network had to reach decided
    reached: float


class Sparsity(Model):
    """How much was taken away: the share of `unit` in the layers that were not left."""

    unit: Literal["weights", "channels", "heads"]
    target: float | None  # null: a mask from elsewhere decided
    reached: float
    layers: tuple[LayerSparsity, ...]
    left: dict[str, str]  # layer -> why it stayed as it was


class Size(Model):
    """Parameters, and multiply-accumulates of one sample; null MACs: a shape is not known."""

    parameters: int
    macs: int | None


class ParityCheck(Model):
    """A step that was checked: the same samples through what went in and what came out."""

    step: str
    kind: str
    samples: int
    real: bool  # false: no samples were named, so seeded random values were fed
    max_difference: float
    relative_difference: float
    agreement: float | None  # share of samples with the same best class

    @classmethod
    def of(cls, step: str, found: Parity, real: bool) -> ParityCheck:
        """Tell what a parity check has found."""
        return cls(
            step=step,
            kind=found.kind,
            samples=found.samples,
            real=real,
            max_difference=found.max_absolute,
            relative_difference=found.max_relative,
            agreement=found.agreement,
        )


class SampleSource(Model):
    """Samples that decided what a file became."""

    file: str
    sha256: str
    samples: int
    # model input -> key of the file; "" stands for the only one
    inputs: dict[str, str] = Field(default_factory=dict)
    preprocess: tuple[dict[str, Any], ...] = ()  # the study's; the file may hold its own


class TrainingStep(Model):
    """One change of the network, and the epochs of training that followed."""

    name: str
    epochs: int


class Training(Model):
    """How a network was compressed with its training code; seed and epochs stand beside it."""

    method: str
    schedule: tuple[TrainingStep, ...]
    data: SampleSource  # what it was trained on
    distilled_from: str | None  # sha256 of the file of the network that taught it


class Mask(Model):
    """The sidecar that says which weights, or which positions, stay."""

    file: str
    sha256: str


class Manifest(Model):
    """How one file of one variant was made."""

    schema_: Literal["edgeproof.variant/1"] = "edgeproof.variant/1"
    study: str
    variant: str
    format: str
    file: str
    sha256: str
    parts: dict[str, str]  # suffix -> sha256, the model's first
    bytes: int
    parent: Parent
    prune: Prune | None
    quantize: Quantize | None
    densify: bool = False  # a twin: its parent with the zero weights refilled
    training: Training | None = None  # null: edgeproof built it, by the recipe above
    sparsity: Sparsity | None
    zeros: float | None  # share of zero weights in the file as it is
    before: Size | None
    after: Size | None
    epochs: int
    seed: int | None
    calibration: dict[str, SampleSource] | None  # by step: prune, quantize
    # Whether weights that the parent stores in fewer bits are float32 here: the file is larger, and
    # a runtime that widened them at each inference no longer has to.
    widened: bool
    parity: tuple[ParityCheck, ...]
    mask: Mask | None
    given_mask: Mask | None = None  # of method mask: the file that decided
    tools: dict[str, str]
    notes: tuple[str, ...]


def path_of(file: Path) -> Path:
    """Return where the manifest of a model file lies."""
    return file.with_name(file.name + ".json")


def mask_of(file: Path) -> Path:
    """Return where the mask of a model file lies."""
    return file.with_name(file.name + ".mask.npz")


def write(manifest: Manifest, file: Path) -> None:
    """Write the manifest beside its model file."""
    text = json.dumps(document(manifest), indent=2) + "\n"
    path_of(file).write_text(text, encoding="utf-8")


def document(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as plain data."""
    data = manifest.model_dump(mode="json")
    return {"schema": data.pop("schema_"), **data}


def parse(data: Mapping[str, Any], where: str) -> Manifest:
    """Check plain data; raises InputError when it is no manifest."""
    fields = dict(data)
    fields["schema_"] = fields.pop("schema", None)
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"is no manifest of a variant: {place}: {first['msg']}",
            where=where,
            next_step="edgeproof variants build STUDY",
        ) from None


def read(file: Path) -> Manifest:
    """Read the manifest beside a model file; raises InputError when there is none."""
    path = path_of(file)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        what, advice = "has no manifest beside it", "edgeproof variants build STUDY"
        raise InputError(what, where=str(file), next_step=advice) from None
    except ValueError:
        raise InputError("is no JSON", where=str(path)) from None
    return parse(data if isinstance(data, dict) else {}, str(path))


def beside(file: Path) -> bool:
    """Return whether a manifest lies beside a model file; other JSON may have its name."""
    try:
        data = json.loads(path_of(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("schema") == SCHEMA


def tools() -> dict[str, str]:
    """Return the versions of Python and of the packages that make variants, if installed."""
    found = {"python": platform.python_version()}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
