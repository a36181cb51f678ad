"""Families of variants: which dense network a variant stems from and is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Study = Mapping[str, Any]


def baseline_of(study: Study, variant: str) -> str:
    """The variant that another is compared with.

    It is the study's baseline, but for a family that does not stem from the same network: such a
    family is compared with its own root, the variant that the others were made from.
    """
    root, main = root_of(study, variant), str(study.get("baseline", ""))
    if root == root_of(study, main) or not _has_children(study, root):
        return main
    return root


def is_origin(study: Study, variant: str) -> bool:
    """Whether the study's baseline stems from a variant, and something else is to be judged.

    So does a release from the baseline whose place it takes in `gate --against`.
    """
    variants, main = study.get("variants") or {}, str(study.get("baseline", ""))
    before: list[str] = []
    at: str | None = main
    while (at := (variants.get(at) or {}).get("from")) and at not in before:
        before.append(at)
    others = [name for name in variants if name not in (main, *before) and not is_twin(study, name)]
    return variant in before and bool(others)


def is_twin(study: Study, variant: str) -> bool:
    """Whether a variant is a densified twin: a control, of interest only beside its parent.

    It is no candidate: it has no answers, no gates and no place among the results.
    """
    return bool((study.get("variants") or {}).get(variant, {}).get("densify"))


def twin_of(study: Study, variant: str) -> str | None:
    """The densified twin of a variant, if the study has one."""
    variants = study.get("variants") or {}
    twins = [name for name in variants if variants[name].get("from") == variant]
    return next((name for name in twins if is_twin(study, name)), None)


def root_of(study: Study, variant: str) -> str:
    """The variant at the head of the chain of `from`."""
    variants = study.get("variants") or {}
    seen = {variant}
    while parent := (variants.get(variant) or {}).get("from"):
        if parent in seen:
            break
        seen.add(parent)
        variant = parent
    return variant


def baselines(study: Study) -> list[str]:
    """The variants that others are compared with, the study's own baseline first."""
    names = study.get("variants") or {}
    return list(
        dict.fromkeys([str(study.get("baseline", "")), *(baseline_of(study, n) for n in names)])
    )


def recipe_of(study: Study, variant: str) -> str | None:
    """The name of the recipe that a variant shares with those of other networks, if it does."""
    recipe: str | None = (study.get("variants") or {}).get(variant, {}).get("recipe")
    return recipe


def members(study: Study, baseline: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that are compared with a baseline, itself first."""
    mine = [name for name in names if baseline_of(study, name) == baseline and name != baseline]
    return [baseline, *mine] if baseline in names else mine


def _has_children(study: Study, name: str) -> bool:
    variants = (study.get("variants") or {}).values()
    return any(item.get("from") == name and not item.get("densify") for item in variants)
