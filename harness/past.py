"""Which stored runs a question about the past is about, and whether they can answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from harness import database
from harness.documents import unknown
from harness.errors import InputError, StoreError
from harness.store import LATEST, Store, devices, runs


@dataclass(frozen=True)
class Planned:
    """One stored run without its results: enough to know whether to read it."""

    run: str
    study: str
    variants: Mapping[str, Sequence[str]]  # device -> those it was asked to measure


def of_study(store: Store, name: str) -> list[Planned]:
    """The runs of a study, the oldest first; `name` is the study's, a run's id, or `latest`."""
    planned = _all(store)
    by_run = {each.run: each.study for each in planned}
    if name == LATEST and planned:
        name = planned[-1].study
    study = by_run.get(name, name)
    found = [each for each in planned if each.study == study]
    if not found:
        known = [*by_run.values(), *by_run]
        raise StoreError(
            unknown("run or study", name, known) if known else "the store holds no run yet",
            where=database.shown(store.url),
            next_step="edgeproof run STUDY" if not known else f"edgeproof history {known[0]} ...",
        )
    return found


def device_of(planned: Sequence[Planned], variant: str, wanted: str | None) -> str:
    """The device to follow a variant on: `wanted`, or else the only one that measured it."""
    where = planned[-1].study
    variants = {name for each in planned for names in each.variants.values() for name in names}
    if variant not in variants:
        raise InputError(unknown("variant", variant, variants), where=where)
    known = {name for each in planned for name in each.variants if variant in each.variants[name]}
    if wanted is not None and wanted not in known:
        raise InputError(unknown("device", wanted, known), where=where)
    if wanted is None and len(known) > 1:
        raise InputError(
            f"{variant} was measured on several devices: {', '.join(sorted(known))}",
            where=where,
            next_step=f"add --device {min(known)}",
        )
    return wanted or known.pop()


def with_variant(planned: Sequence[Planned], device: str, variant: str) -> list[str]:
    """The runs that asked a device to measure a variant."""
    return [each.run for each in planned if variant in each.variants.get(device, ())]


def _all(store: Store) -> list[Planned]:
    chosen = sa.select(runs.c.id, runs.c.study, devices.c.name, devices.c.cells)
    joined = chosen.join(devices, devices.c.run == runs.c.id)
    with store.engine.connect() as link:
        rows = link.execute(joined.order_by(runs.c.started, runs.c.id)).all()
    found: dict[str, Planned] = {}
    for row in rows:
        name = str(row.study.get("name"))
        known = found.setdefault(row.id, Planned(row.id, name, {}))
        variants: dict[str, Any] = {item["cell"]["variant"]: None for item in row.cells}
        found[row.id] = Planned(row.id, name, {**known.variants, row.name: list(variants)})
    return list(found.values())
