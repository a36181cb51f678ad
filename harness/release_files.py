"""The model files of releases: kept where gates pass, found again as their successors' baseline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from harness import artifact, database, releases
from harness.errors import InputError, StoreError
from harness.inputs import Inputs
from harness.library import MOST_BYTES, SHORTEST_PREFIX, Library
from harness.store import Store, runs
from harness.study import Study
from harness.variant import SUFFIXES, Variant
from reports.families import root_of
from reports.run import ArtifactRecord, Run

NAME = "released"  # of the variant in the study
_SHA256 = re.compile(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}")


def against(study: Study, reference: str, store: Store) -> Study:
    """Return the study with a released variant as its baseline, measured beside all others.

    `reference` is a model file, the sha256 of one that the store keeps, a release by its name,
    RUN or RUN:VARIANT. All variants are then compared with it, whatever family they are of.
    """
    if NAME in study.variants:
        raise InputError(
            f"the study has a variant called {NAME} already",
            where=study.name,
            next_step=f"rename it: --against calls the old release {NAME}",
        )
    found = _released(study, reference, store)
    head = root_of(study.document(), study.baseline)
    released = found.model_copy(update={"parent": head})
    variants = {NAME: released, **study.variants}
    return study.model_copy(update={"variants": variants, "baseline": NAME})


def keep(inputs: Inputs, store: Store) -> list[str]:
    """Keep the model files of a study that passed its gates; returns those too large to keep."""
    library, large = Library(store), []
    for (variant, format), item in inputs.artifacts.items():
        if item.bytes > MOST_BYTES:
            large.append(str(item.path))
        elif not inputs.study.variants[variant].densify:
            library.keep(item.path, format)
    return large


def _released(study: Study, reference: str, store: Store) -> Variant:
    file = Path(reference)
    if file.suffix.lower() in SUFFIXES:
        if not file.is_file():
            raise InputError("no such file", where=reference, next_step="give a file, or a RUN")
        return Variant(model={SUFFIXES[file.suffix.lower()]: str(file.resolve())})
    if _SHA256.fullmatch(reference):
        kept = Library(store).find(reference)
        return Variant(model={kept.format: str(_restored(kept.sha256, store))})
    known = releases.find(store, study.name, reference)
    if known:
        return _of_run(store.load(known.run), known.variant, store)
    name, _, variant = reference.partition(":")
    run = _run(study, name, store)
    return _of_run(run, variant or _successor(study, run), store)


def _run(study: Study, name: str, store: Store) -> Run:
    try:
        return store.load(store.resolve(name))
    except StoreError as error:
        named = ", ".join(each.name for each in releases.of_study(store, study.name)) or "none"
        raise StoreError(
            f"{error.what}; releases of {study.name}: {named}",
            where=error.where,
            next_step=error.next_step,
        ) from None


def _successor(study: Study, run: Run) -> str:
    """The variant of a run that the study's only candidate follows."""
    had = {record.cell["variant"] for record in run.cells}
    candidates = [
        name
        for name, variant in study.variants.items()
        if name != study.baseline and not variant.densify
    ]
    if len(candidates) == 1 and candidates[0] in had:
        return candidates[0]
    raise InputError(
        "which of its variants was released is not plain",
        where=run.id,
        next_step=f"give RUN:VARIANT, one of {', '.join(sorted(had))}",
    )


def _of_run(run: Run, name: str, store: Store) -> Variant:
    files = {
        record.cell["format"]: record.cell["artifact"]
        for record in run.cells
        if record.cell["variant"] == name and record.cell["artifact"]
    }
    if not files:
        had = sorted({record.cell["variant"] for record in run.cells})
        raise InputError(
            f"has no file of a variant '{name}'",
            where=run.id,
            next_step=f"give RUN:VARIANT, one of {', '.join(had)}",
        )
    paths = {
        format: str(_path(run, name, format, run.artifacts[sha256], store))
        for format, sha256 in files.items()
    }
    shapes = (run.study["variants"][name].get("shapes") or {}).items()
    return Variant(model=paths, shapes={key: tuple(shape) for key, shape in shapes})


def _path(run: Run, name: str, format: str, record: ArtifactRecord, store: Store) -> Path:
    """Where the very bytes of a run's file are: where they were, or restored from the store."""
    for path in _where_it_was(run, name, format, store):
        if path.is_file() and artifact.inspect(path, format).sha256 == record.sha256:
            return path
    try:
        return _restored(record.sha256, store)
    except StoreError:
        raise InputError(
            f"{record.file} as it was (sha256 {record.sha256[:12]}) is neither there nor kept "
            "in the store",
            where=f"{run.id}:{name}",
            next_step="give its file; `edgeproof gate` keeps the files that pass",
        ) from None


def _where_it_was(run: Run, name: str, format: str, store: Store) -> Iterator[Path]:
    with store.engine.connect() as link:
        folder = link.execute(sa.select(runs.c.folder).where(runs.c.id == run.id)).scalar_one()
    file = run.study["variants"][name]["model"].get(format)
    if file:
        yield Path(folder) / file


def _restored(sha256: str, store: Store) -> Path:
    folder = database.data_folder() / NAME / sha256[:12]
    return Library(store).restore(sha256, folder)
