"""The families of a study: which variant was made from which, and the files to be built."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from os.path import abspath
from pathlib import Path
from typing import Any, get_args

from harness.documents import nearest, refused
from harness.variant import Variant, suffix
from harness.variants.recipe import Format

BUILDABLE: tuple[str, ...] = get_args(Format)
# Format -> the formats that a file of it can be converted to.
CONVERTIBLE: Mapping[str, tuple[str, ...]] = {
    "onnx": ("openvino", "tflite"),
    "tflite": ("openvino",),
    "openvino": (),
    "torch": ("tflite",),
}
FOLDER = "variants"  # of built files, beside the study

Finding = tuple[str, str, str | None]  # variant, what is wrong, what to do


def spread(variants: Any) -> Any:
    """Turn `slim: {from: [a, b], ...}` into the variants a-slim and b-slim of the recipe slim.

    For a pydantic validator: raises the error of `refused` where a variant would be lost.
    """
    if not isinstance(variants, Mapping):
        return variants
    result: dict[Any, Any] = {}
    for name, item in variants.items():
        for new, made in _each(name, item).items():
            if new in result:
                raise refused(f"'{new}' is there already", f"call {name}, or that one, otherwise")
            result[new] = made
    return result


def _each(name: Any, item: Any) -> dict[Any, Any]:
    parents = item.get("from") if isinstance(item, Mapping) else None
    if not isinstance(parents, list):
        return {name: item}
    if not parents or len(set(map(str, parents))) < len(parents):
        raise refused(f"{name}: `from:` names no variant, or one twice")
    return {f"{parent}-{name}": {"recipe": name, **item, "from": parent} for parent in parents}


def problems(variants: Mapping[str, Variant], default_calibration: bool) -> Iterator[Finding]:
    """Find what makes a family impossible."""
    for name, variant in variants.items():
        if variant.parent is None:
            continue
        found = _parent_problem(variants, name) or _recipe_problem(variants, name)
        if found:
            yield (name, *found)
        elif variant.built and not default_calibration and variant.calibrated:
            step = variant.calibrated[0]
            yield name, f"`{step}:` needs calibration samples", _CALIBRATION


_CALIBRATION = "give the study `calibration: {file: FILE.npz, inputs: KEY, samples: 100}`"


def _parent_problem(variants: Mapping[str, Variant], name: str) -> tuple[str, str | None] | None:
    seen, at = [name], variants[name].parent
    while at is not None:
        if at not in variants:
            close = nearest(at, variants)
            hint = f"; did you mean '{close}'?" if close else f"; there are {', '.join(variants)}"
            return f"is made from '{at}', which is no variant{hint}", None
        if at in seen:
            return f"is made from itself: {' from '.join([*seen, at])}", None
        seen.append(at)
        at = variants[at].parent
    return None


def _recipe_problem(variants: Mapping[str, Variant], name: str) -> tuple[str, str | None] | None:
    variant = variants[name]
    quantised = [at for at in lineage(variants, name)[1:] if variants[at].quantize]
    if quantised and (variant.prune or variant.quantize):
        advice = "prune first, then quantise: `from:` the float parent, with both steps here"
        return f"is made from {quantised[0]}, which is quantised", advice
    if variant.prune and variant.prune.store == "sparse":
        found = _sparse_problem(variant, formats(variants, name))
        if found:
            return found
    return _format_problem(variants, name) if variant.built else None


def _format_problem(variants: Mapping[str, Variant], name: str) -> tuple[str, str | None] | None:
    parent = variants[name].parent or ""
    has = ", ".join(formats(variants, parent))
    for format in variants[name].formats or ():
        source = source_format(variants, name, format)
        if not source:
            return f"cannot be made as {format}: {parent} has only {has}", None
        if variants[name].prune and source not in BUILDABLE:
            advice = f"make {format} of it first, by `formats:` alone, and prune that"
            return f"cannot be pruned: {parent} is a {source} file", advice
    if not formats(variants, name):
        advice = f"give {parent} a file of one of {', '.join(BUILDABLE)}"
        return f"cannot be built: {parent} has only {has}", advice
    return None


def _sparse_problem(variant: Variant, formats: Collection[str]) -> tuple[str, str] | None:
    others = [format for format in formats if format != "tflite"]
    if others:
        what = f"`store: sparse` is for TFLite files; this is to be built as {', '.join(others)}"
        return what, "write `formats: [tflite]`"
    if variant.quantize and variant.quantize.to == "int8":
        what = "`store: sparse` is for floats: LiteRT has no sparse kernels for int8"
        return what, "leave `store:` out, or write `quantize: {to: fp16}`"
    return None


def lineage(variants: Mapping[str, Variant], name: str) -> list[str]:
    """List a variant, its parent, its parent's parent ..."""
    found: list[str] = []
    at: str | None = name
    while at is not None and at not in found and at in variants:
        found.append(at)
        at = variants[at].parent
    return found


def formats(variants: Mapping[str, Variant], name: str) -> tuple[str, ...]:
    """List the formats that a variant has or is to be built in."""
    variant = variants[name]
    if not variant.built:
        return tuple(variant.model)
    inherited = formats(variants, variant.parent or "")
    return variant.formats or tuple(format for format in inherited if format in BUILDABLE)


def source_format(variants: Mapping[str, Variant], name: str, format: str) -> str | None:
    """Return the parent's format that a file is made from: the same, or one to be converted."""
    has = formats(variants, variants[name].parent or "")
    if format in has:
        return format
    return next((source for source in has if format in CONVERTIBLE.get(source, ())), None)


def resolved(study: str, variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """Fill in where the files of built variants go; shapes are the parent's if it has its own."""
    return {name: _resolved(study, variants, name) for name in variants}


def _resolved(study: str, variants: Mapping[str, Variant], name: str) -> Variant:
    variant = variants[name]
    files, shapes = _files(study, variants, name), dict(variant.shapes)
    for ancestor in lineage(variants, name)[1:]:
        shapes = shapes or dict(variants[ancestor].shapes)
    return variant.model_copy(update={"model": files, "shapes": shapes})


def _files(study: str, variants: Mapping[str, Variant], name: str) -> dict[str, str]:
    if not variants[name].built:
        return dict(variants[name].model)
    folder = f"{FOLDER}/{study}/{name}"
    return {format: f"{folder}/{name}{suffix(format)}" for format in formats(variants, name)}


def overwritten(
    folder: Path, asked: Mapping[str, Variant], made: Mapping[str, Variant]
) -> Iterator[Finding]:
    """Find files of the user that a build would write over; `made` are the resolved variants.

    A study that a run keeps states where built files went, which is no file of the user's.
    """
    given = {
        _place(folder, file): name
        for name, variant in made.items()
        for file in variant.model.values()
        if not variant.built
    }
    for name, variant in made.items():
        if not variant.built:
            continue
        if name in asked and not asked[name].model.items() <= variant.model.items():
            yield name, "has a recipe and files of its own", "leave `model:` out, or the recipe"
        for file in variant.model.values():
            if (other := given.get(_place(folder, file))) is not None:
                yield name, f"would be built over the file of {other}, {file}", "move that file"


def _place(folder: Path, file: str) -> Path:
    """Return what a file and its companions are called but for the suffix."""
    # resolve() raises ValueError for names that no file can have.
    return Path(abspath(folder / file)).with_suffix("")  # noqa: PTH100
