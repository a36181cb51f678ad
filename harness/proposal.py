"""`edgeproof init`: a commented study for model files, from what the files say of themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from agents import backends
from harness.artifact import RESIZABLE, Artifact, inspect
from harness.documents import flow, nearest
from harness.errors import InputError
from harness.family import CONVERTIBLE
from harness.formats import Port
from harness.variant import SUFFIXES
from harness.variants.zeros import quantised

Variants = Mapping[str, Mapping[str, Artifact]]  # name -> format -> file
# The one to try first for each format, and others that read it: those with wheels for most boards.
USUAL = ("onnxruntime", "openvino", "litert", "ncnn", "torch", "executorch")
BATCHES = (1, 8)
# What most networks take where a file leaves sizes open: images in either layout, sequences.
IMAGE, SEQUENCE, COLOURS = 224, 128, (1, 3)


def propose(files: Sequence[Path], study: Path, devices: Sequence[str]) -> str:
    """Write the text of a study; the variant of the first file is the baseline.

    Files of one name in several formats are one variant. `study` is where the text will lie. Raises
    InputError for a file that is no model.
    """
    variants = grouped(files)
    baseline = next(iter(variants))
    models = [file for formats in variants.values() for file in formats.values()]
    inputs = models[0].inputs
    integer = {name: _is_quantised(formats) for name, formats in variants.items()}
    return _template().render(
        name=slug(study.stem) if study.stem != "study" else baseline,
        baseline=baseline,
        variants=[_told(name, formats, study) for name, formats in variants.items()],
        buildable=not integer[baseline] and any(it in CONVERTIBLE for it in variants[baseline]),
        quantisable=not any(integer.values()),
        runtimes=_runtimes({file.format for file in models}),
        batches=_batches(models),
        keys=_keys(inputs),
        inputs="; ".join(_declared(port) for port in inputs),
        devices=devices,
    )


def grouped(files: Sequence[Path]) -> Variants:
    """Look into model files and group them into variants by their names."""
    found: dict[str, dict[str, Artifact]] = {}
    for file in files:
        format = SUFFIXES.get(file.suffix.lower())
        if format is None:
            what = f"ends in none of {', '.join(SUFFIXES)}"
            raise InputError(what, where=str(file), next_step="give model files, such as net.onnx")
        if not file.is_file():
            raise InputError("no such file", where=str(file), next_step=_near(file))
        formats = found.setdefault(slug(file.stem), {})
        if format in formats:
            raise InputError(
                f"is called like {formats[format].path}, and names tell variants apart",
                where=str(file),
                next_step="rename one of the two",
            )
        formats[format] = inspect(file, format)
    return found


def slug(text: str) -> str:
    """Turn a file's name into one that a study takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64] or "model"


def _near(file: Path) -> str:
    there = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
    close = nearest(file.name, there)
    return f"did you mean {file.parent / close}?" if close else "give the path of a model file"


def _told(name: str, formats: Mapping[str, Artifact], study: Path) -> dict[str, Any]:
    ports = {port.name: port for file in formats.values() for port in file.inputs}
    loose = {key: port for key, port in ports.items() if port.shape and None in port.shape[1:]}
    return {
        "name": name,
        "model": {
            format: os.path.relpath(file.path, study.parent) for format, file in formats.items()
        },
        "shapes": {key: proposed(port.shape or ()) for key, port in loose.items()},
        "open": "; ".join(_declared(port) for port in loose.values()),
    }


def proposed(shape: Sequence[int | None]) -> list[int | None]:
    """Fill in the free sizes of a shape but the batch: of an image, or of a sequence."""
    image = len(shape) == 4 and (shape[1] in COLOURS or shape[3] in COLOURS)
    size = IMAGE if image else SEQUENCE
    return [None if at == 0 else size if it is None else it for at, it in enumerate(shape)]


def _is_quantised(formats: Mapping[str, Artifact]) -> bool:
    """Whether one of a variant's files is: of integers nothing is pruned or quantised again."""
    return any(quantised(file.path, file.format) for file in formats.values())


def _declared(port: Port) -> str:
    sizes = "unknown" if port.shape is None else [it or "?" for it in port.shape]
    return f"{port.name}: {port.dtype} {sizes}".replace("'", "")


def _runtimes(formats: set[str]) -> list[str]:
    return [name for name in USUAL if formats.intersection(backends.find(name).FORMATS)]


def _batches(models: Sequence[Artifact]) -> list[int]:
    """Batch sizes that all files take: one that is fixed in some file is the only one."""
    fixed = {
        port.shape[0]
        for file in models
        for port in file.inputs[:1]
        if port.shape and port.shape[0] is not None and file.format not in RESIZABLE
    }
    return [int(size) for size in fixed if size][:1] if fixed else list(BATCHES)


def _keys(inputs: Sequence[Port]) -> str | dict[str, str]:
    """Keys of a file of samples: one, or one for each input."""
    return "x" if len(inputs) == 1 else {port.name: port.name for port in inputs}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness", ""),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    environment.filters["flow"] = flow
    return environment.get_template("study.yaml.j2")
