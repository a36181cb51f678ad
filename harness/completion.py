"""What the shell completes after Tab: runs, studies, devices and variants that are really there.

A shell that asks must never see an error: where nothing can be read, nothing is offered. Nor is a
name that the shell would take for more than a word.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from harness.store import Store

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offer(known: Callable[[click.Context], Iterable[str]]) -> Offer:
    """Turn a way to know names into what click asks for."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            names = dict.fromkeys(known(context))
        except Exception:
            return []
        plain = [name for name in names if shlex.quote(name) == name]
        return [CompletionItem(name) for name in plain if name.startswith(typed)]

    return complete


def _store(context: click.Context) -> Store:
    from harness import database
    from harness.store import Store

    url = context.params.get("url") or database.default_url()
    if not database.is_there(url):
        raise FileNotFoundError(url)  # opened, it would be made
    return Store(url)


def _planned(context: click.Context) -> list[Any]:
    from harness import past

    return past.everything(_store(context))


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

    store = _store(context)
    studies = {each.study for each in _planned(context)}
    known = [each.name for study in studies for each in releases.of_study(store, study)]
    return [releases.LAST, *known, *_runs(context)]


devices, runs, past, variants, profiles, releases = map(
    _offer, (_devices, _runs, _past, _variants, _profiles, _releases)
)
