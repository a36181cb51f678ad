"""What the shell completes after Tab: runs, studies, devices and variants that are really there.

A shell that asks must never see an error: where nothing can be read, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offer(known: Callable[[click.Context], Iterable[str]]) -> Offer:
    """Turn a way to know names into what click asks for."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            names = dict.fromkeys(known(context))
        except Exception:
            return []
        return [CompletionItem(name) for name in names if name.startswith(typed)]

    return complete


def _planned(context: click.Context) -> list[Any]:
    from harness import past
    from harness.store import Store

    return past.everything(Store(context.params.get("url")))


def _runs(context: click.Context) -> Iterable[str]:
    return ["latest", *(each.run for each in reversed(_planned(context)))]


def _past(context: click.Context) -> Iterable[str]:
    return [*(each.study for each in _planned(context)), *_runs(context)]


def _variants(context: click.Context) -> Iterable[str]:
    return [
        name for each in _planned(context) for names in each.variants.values() for name in names
    ]


def _devices(context: click.Context) -> Iterable[str]:
    from harness.cli_shared import found_inventory
    from harness.devices import load_inventory

    study = context.params.get("study") or Path()
    known = load_inventory(context.params.get("inventory") or found_inventory(study.parent))
    return [name for name in known if name not in (context.params.get("names") or ())]


def _profiles(_: click.Context) -> Iterable[str]:
    from harness.devices import profile_kinds

    return profile_kinds()


def _releases(context: click.Context) -> Iterable[str]:
    from harness import releases
    from harness.store import Store

    store = Store(context.params.get("url"))
    studies = {each.study for each in _planned(context)}
    known = [each.name for study in studies for each in releases.of_study(store, study)]
    return [releases.LAST, *known, *_runs(context)]


devices, runs, past, variants, profiles, releases = map(
    _offer, (_devices, _runs, _past, _variants, _profiles, _releases)
)
