"""The families of a study: which variant was made from which, and the files to be built."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.documents import nearest
from harness.variant import Variant, suffix

# Format -> the formats that a file of it can be converted to.
CONVERTIBLE: Mapping[str, tuple[str, ...]] = {
    "onnx": ("openvino", "tflite"),
    "tflite": ("openvino",),
    "openvino": (),
}
FOLDER = "variants"  # of built files, beside the study

Finding = tuple[str, str, str | None]  # variant, what is wrong, what to do


def spread(variants: Any) -> Any:
    """Turn `slim: {from: [a, b], ...}` into the variants a-slim and b-slim of the recipe slim."""
    if not isinstance(variants, Mapping):
        return variants
    result: dict[Any, Any] = {}
    for name, item in variants.items():
        parents = item.get("from") if isinstance(item, Mapping) else None
        if not isinstance(parents, list):
            result[name] = item
            continue
        for parent in parents:
            result[f"{parent}-{name}"] = {"recipe": name, **item, "from": parent}
    return result


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
    for format in variant.formats or ():
        if variant.built and not source_format(variants, name, format):
            has = ", ".join(formats(variants, variant.parent or ""))
            return f"cannot be made as {format}: {variant.parent} has only {has}", None
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
    return variant.formats or formats(variants, variant.parent or "")


def source_format(variants: Mapping[str, Variant], name: str, format: str) -> str | None:
    """Return the parent's format that a file is made from: the same, or one to be converted."""
    has = formats(variants, variants[name].parent or "")
    if format in has:
        return format
    return next((source for source in has if format in CONVERTIBLE[source]), None)


def resolved(study: str, variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """Fill in where the files of built variants go; shapes are the parent's if it has its own."""
    return {name: _resolved(study, variants, name) for name in variants}


def _resolved(study: str, variants: Mapping[str, Variant], name: str) -> Variant:
    variant = variants[name]
    files, shapes = dict(variant.model), dict(variant.shapes)
    if variant.built:
        for format in formats(variants, name):
            files.setdefault(format, f"{FOLDER}/{study}/{name}/{name}{suffix(format)}")
    for ancestor in lineage(variants, name)[1:]:
        shapes = shapes or dict(variants[ancestor].shapes)
    return variant.model_copy(update={"model": files, "shapes": shapes})
