"""Releases by name: what `gate --release` called so, and how far what came after has drifted.

A name is never moved to other files: a baseline that follows each new version hides every small
step. The table stands beside the runs, and an edgeproof that does not know it reads the same store.
"""

from __future__ import annotations

import re
from dataclasses import replace

import sqlalchemy as sa

from harness.documents import unknown
from harness.errors import InputError
from harness.store import LATEST, Store, now, runs
from harness.study import Study
from reports.run import Release, Run

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


def of_study(store: Store, study: str) -> list[Release]:
    """The releases of a study, the oldest first."""
    if not sa.inspect(store.engine).has_table(releases.name):
        return []
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


def with_release(store: Store, run: Run) -> Run:
    """The run with the last release of its study before it, and the runs since, for its report."""
    name = str(run.study.get("name"))
    known = [each for each in of_study(store, name) if each.run != run.id]
    earlier = _before(store, run.id, name) if known else []
    last = next((each for each in reversed(known) if each.run in earlier), None)
    if last is None:
        return run
    since = earlier[earlier.index(last.run) + 1 :][-MOST_GATES:]
    return replace(run, release=last, since=[store.load(each) for each in since])


def _before(store: Store, run: str, study: str) -> list[str]:
    """The runs of a study before one of them, the oldest first."""
    mine = sa.select(runs.c.id).where(runs.c.study["name"].as_string() == study)
    with store.engine.connect() as link:
        ids = list(link.execute(mine.order_by(runs.c.started, runs.c.id)).scalars())
    return ids[: ids.index(run)]
