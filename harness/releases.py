"""Releases by name: what `gate --release` called so, and how far what came after has drifted.

A name is never moved to other files: a baseline that follows each new version hides every small
step. The table stands beside the runs, and an edgeproof that does not know it reads the same store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from harness import past
from harness.documents import unknown
from harness.errors import InputError
from harness.store import LATEST, Store, now
from harness.study import Study
from reports.run import Run
from reports.sessions.drift import drifts, told

LAST = "last-release"
MOST_GATES = 20  # that are read back: a store may hold thousands
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIKE_SHA256 = re.compile(r"[0-9a-f]{8,64}")

metadata = sa.MetaData()
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("study", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("named", sa.String, nullable=False),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("variant", sa.String, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),  # sha256 of each
)


@dataclass(frozen=True)
class Release:
    """A variant of a run under a name."""

    name: str
    named: str
    run: str
    variant: str
    files: tuple[str, ...]  # sha256


def of_study(store: Store, study: str) -> list[Release]:
    """The releases of a study, the oldest first."""
    metadata.create_all(store.engine)
    chosen = sa.select(releases).where(releases.c.study == study)
    with store.engine.connect() as link:
        rows = link.execute(chosen.order_by(releases.c.named, releases.c.name)).all()
    return [Release(row.name, row.named, row.run, row.variant, tuple(row.files)) for row in rows]


def find(store: Store, study: str, name: str) -> Release | None:
    """A release by its name, or the last one; null where a study has none of that name."""
    known = of_study(store, study)
    if name == LAST:
        if not known:
            raise InputError(
                "no release of this study has a name yet",
                where=study,
                next_step="edgeproof gate STUDY --release NAME, where it passes",
            )
        return known[-1]
    return next((each for each in known if each.name == name), None)


def planned(study: Study, spec: str, store: Store) -> tuple[str, str]:
    """The name and the variant of NAME or NAME:VARIANT; refused before anything is measured."""
    name, _, variant = spec.partition(":")
    if not _NAME.fullmatch(name) or _LIKE_SHA256.fullmatch(name) or name in (LATEST, LAST):
        raise InputError(
            f"'{name}' is no name for a release: 1 to 64 letters, digits, '.', '_' and '-', that "
            "mean nothing else",
            where="--release",
            next_step="--release 1.4.0",
        )
    if find(store, study.name, name):
        raise InputError(
            f"{name} is there already, and a release is never moved",
            where=study.name,
            next_step=f"give another name, or hold this one against it: --against {name}",
        )
    built = [each for each, item in study.variants.items() if not item.densify]
    candidates = [each for each in built if each != study.baseline] or built
    if variant and variant not in built:
        raise InputError(unknown("variant", variant, built), where=study.name)
    if not variant and len(candidates) > 1:
        raise InputError(
            "which of its variants is released is not plain",
            where=study.name,
            next_step=f"--release {name}:{candidates[0]}",
        )
    return name, variant or candidates[0]


def call(store: Store, run: Run, name: str, variant: str) -> None:
    """Give a variant of a run its name as a release."""
    metadata.create_all(store.engine)
    files = {each.cell["artifact"] for each in run.cells if each.cell["variant"] == variant}
    with store.engine.begin() as link:
        link.execute(
            releases.insert().values(
                study=run.study["name"],
                name=name,
                named=now(),
                run=run.id,
                variant=variant,
                files=sorted(filter(None, files)),
            )
        )


def drift(store: Store, run: str, file: str = "STUDY") -> Iterator[str]:
    """How far each variant of a run has drifted from the last release of its study, in words."""
    gated = past.of_study(store, run)
    known = of_study(store, gated[-1].study)
    ids = [each.run for each in gated]
    ids = ids[: ids.index(run) + 1]
    last = next((each for each in reversed(known) if each.run != run and each.run in ids), None)
    if last is None:
        return
    since = ids[ids.index(last.run) + 1 :][-MOST_GATES:]
    for each in drifts([store.load(one) for one in since], last.files):
        yield told(each, last.name, file)
