"""Which stored runs a question about the past is about, and whether they can answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from harness import database
from harness.documents import nearest, unknown
from harness.errors import InputError, StoreError
from harness.store import LATEST, Store, devices, runs
from reports.families import baseline_of, is_origin, is_twin
from reports.sessions import history
from reports.sessions import overview as overviews


@dataclass(frozen=True)
class Planned:
    """One stored run without its results: enough to know whether to read it."""

    run: str
    study: str
    variants: Mapping[str, Sequence[str]]  # device -> those it was asked to measure
    document: Mapping[str, Any]  # the study's


def of_study(store: Store, name: str) -> list[Planned]:
    """The runs of a study, the oldest first; `name` is the study's, a run's id, or `latest`."""
    planned = everything(store)
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
            next_step=f"edgeproof history {nearest(name, known) or known[0]}"
            if known
            else "edgeproof run STUDY",
        )
    return found


def device_of(planned: Sequence[Planned], variant: str, wanted: str | None) -> str:
    """The device to follow a variant on: `wanted`, or else the only one that measured it."""
    where = planned[-1].study
    variants = {name for each in planned for names in each.variants.values() for name in names}
    if variant not in variants:
        meant = nearest(variant, variants) or min(variants, default=None)
        follow = f"edgeproof history {where} --variant {meant}" if meant else "edgeproof run STUDY"
        raise InputError(unknown("variant", variant, variants), where=where, next_step=follow)
    known = {name for each in planned for name in each.variants if variant in each.variants[name]}
    if wanted is not None:
        _check("device", wanted, known, "--device", where)
    if wanted is None and len(known) > 1:
        raise InputError(
            f"{variant} was measured on several devices: {', '.join(sorted(known))}",
            where=where,
            next_step=f"add --device {min(known)}",
        )
    return wanted or known.pop()


def worth_following(planned: Sequence[Planned]) -> list[tuple[str, str]]:
    """Each device with each of its variants; a control is none, nor what is followed by others.

    The baseline is the anchor of the others: its own time is told with theirs.
    """
    found: dict[tuple[str, str], None] = {}
    for each in planned:
        study = each.document
        for device, names in each.variants.items():
            built = [name for name in names if not is_twin(study, name)]
            others = [n for n in built if n != baseline_of(study, n) and not is_origin(study, n)]
            found |= {(device, name): None for name in others or built}
    return list(found)


def with_variant(planned: Sequence[Planned], device: str, variant: str) -> list[str]:
    """The runs that asked a device to measure a variant."""
    return [each.run for each in planned if variant in each.variants.get(device, ())]


def usual_anchor(planned: Sequence[Planned], device: str) -> str | None:
    """Where `gate --against` changed the baseline in some runs: one that a device always measured.

    Null where the baseline of each run will do.
    """
    here = [each for each in planned if device in each.variants]
    baselines = dict.fromkeys(str(each.document.get("baseline")) for each in here)
    always = [b for b in baselines if all(b in each.variants[device] for each in here)]
    return always[0] if len(baselines) > 1 and always else None


def check_metric(metric: str) -> None:
    """Refuse a metric that no history follows."""
    if metric not in history.FOLLOWED:
        meant = nearest(metric, history.FOLLOWED) or "latency_p50_ms"
        told = unknown("metric", metric, history.FOLLOWED)
        raise InputError(told, where="--metric", next_step=f"give --metric {meant}")


def of_variant(
    store: Store, name: str, variant: str, device: str | None, metric: str, anchor: str | None
) -> dict[str, Any]:
    """The document of one variant's history on one device; `name` as `of_study` takes it."""
    planned = of_study(store, name)
    where = device_of(planned, variant, device)
    if anchor is not None:
        device_of(planned, anchor, where)
    ids = with_variant(planned, where, variant)
    question = history.Question(variant, where, metric, anchor or usual_anchor(planned, where))
    found = history.build(map(store.load, ids), question)
    if not found["series"]:
        raise InputError(
            f"no run measured {metric} of {variant} on {where}: it is of other scenarios",
            where=planned[-1].study,
            next_step=f"edgeproof history {name} --variant {variant} --metric latency_p50_ms",
        )
    return found


def overview(
    store: Store, name: str | None, device: str | None, metric: str, anchor: str | None
) -> dict[str, Any]:
    """The document of all that a study (null: every study) followed, on one device or on all."""
    chosen = (of_study(store, name) if name else everything(store)) or of_study(store, LATEST)
    if device is not None:
        known = {where for each in chosen for where in each.variants}
        _check("device", device, known, "--device")
    if anchor is not None:
        built = {name for each in chosen for names in each.variants.values() for name in names}
        _check("variant", anchor, built, "--anchor")
    studies: dict[str, list[Planned]] = {}
    for each in chosen:
        studies.setdefault(each.study, []).append(each)
    histories = {}
    for study, planned in studies.items():
        asked = [
            history.Question(variant, where, metric, anchor or usual_anchor(planned, where))
            for where, variant in worth_following(planned)
            if device in (None, where)
        ]
        if asked:
            histories[study] = history.follow((store.load(one.run) for one in planned), asked)
    return overviews.build(histories, metric)


def _check(kind: str, name: str, known: set[str], option: str, where: str | None = None) -> None:
    """Refuse a name that no run has."""
    if name not in known:
        meant = nearest(name, known) or min(known, default=kind.upper())
        advice = f"give {option} {meant}"
        raise InputError(unknown(kind, name, known), where=where, next_step=advice)


def everything(store: Store) -> list[Planned]:
    """All runs of a store, the oldest first."""
    chosen = sa.select(runs.c.id, runs.c.study, devices.c.name, devices.c.cells)
    joined = chosen.join(devices, devices.c.run == runs.c.id)
    with store.engine.connect() as link:
        rows = link.execute(joined.order_by(runs.c.started, runs.c.id)).all()
    found: dict[str, Planned] = {}
    for row in rows:
        name = str(row.study.get("name"))
        known = found.setdefault(row.id, Planned(row.id, name, {}, row.study))
        variants: dict[str, Any] = {item["cell"]["variant"]: None for item in row.cells}
        here = {**known.variants, row.name: list(variants)}
        found[row.id] = replace(known, variants=here)
    return list(found.values())
