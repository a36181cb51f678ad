"""Densified twins: controls that tell what the zeros of a variant gain from all else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile

from harness.documents import unknown
from harness.family import BUILDABLE, Finding, formats, lineage
from harness.variant import Variant

SUFFIX = "-twin"
ALL = ("all",)


def one_or_many(value: object) -> object:
    """Turn `twins: all` into [all]."""
    return [value] if isinstance(value, str) else value


def added(variants: Mapping[str, Variant], asked: tuple[str, ...]) -> dict[str, Variant]:
    """Add the twin of each variant asked for, unless it is there."""
    twins = {
        name + SUFFIX: Variant.model_validate({"from": name, "densify": True})
        for name in _names(variants, asked)
    }
    return {**variants, **{name: one for name, one in twins.items() if name not in variants}}


def has_zeros(variants: Mapping[str, Variant], name: str) -> bool:
    """Whether the study alone tells that a variant holds zeros: it, or what it is built from, is.

    Of files that were given nothing is known until they are read, so their twins must be named.
    """
    built = takewhile(lambda at: variants[at].built, lineage(variants, name))
    steps = [variants[at].prune for at in built]
    zeroed = any(step is not None and not step.structured for step in steps)
    return zeroed and not variants[name].densify


def problems(variants: Mapping[str, Variant], asked: tuple[str, ...]) -> Iterator[Finding]:
    """Find what makes the twins impossible that are asked for."""
    names = _names(variants, asked)
    if asked == ALL and not names:
        advice = "name the variants whose files hold zeros: `twins: [NAME]`"
        yield "", "no variant of this study is pruned by setting weights to zero", advice
    for name in names:
        taken = variants.get(name + SUFFIX)
        if name not in variants:
            yield name, unknown("variant", name, variants), None
        elif variants[name].densify:
            yield name, f"'{name}' is a twin itself", None
        elif not set(formats(variants, name)) & set(BUILDABLE):
            yield name, f"'{name}' has no file of {', '.join(BUILDABLE)} to refill", None
        elif taken and not (taken.densify and taken.parent == name):
            yield name, f"its twin would be called {name}{SUFFIX}, as another variant is", None


def _names(variants: Mapping[str, Variant], asked: tuple[str, ...]) -> list[str]:
    known = [name for name in variants if has_zeros(variants, name)]
    return known if asked == ALL else list(asked)
