"""The library: model files by content in the store, so that a release can be rolled back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness import artifact, database
from harness.errors import InputError, StoreError
from harness.store import Store, now
from harness.variants import manifest
from harness.variants.files import part_of

# SQLite and PostgreSQL hold values of up to a gigabyte.
MOST_BYTES = 512 << 20
SHORTEST_PREFIX = 6

_metadata = sa.MetaData()
kept = sa.Table(
    "artifacts",
    _metadata,
    sa.Column("sha256", sa.String, primary_key=True),
    sa.Column("format", sa.String, nullable=False),
    sa.Column("file", sa.String, nullable=False),  # its name where it was kept from
    sa.Column("since", sa.String, nullable=False),
    sa.Column("parts", sa.JSON, nullable=False),  # suffix -> sha256 in `blobs`
    sa.Column("manifest", sa.JSON(none_as_null=True)),  # null: it has none
    sa.Column("mask", sa.LargeBinary),
)
blobs = sa.Table(
    "blobs",
    _metadata,
    sa.Column("sha256", sa.String, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True)
class Kept:
    """One artifact of the library."""

    sha256: str
    format: str
    file: str
    since: str  # ISO 8601, UTC
    manifest: dict[str, Any] | None


class Library:
    """The artifacts in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        _metadata.create_all(store.engine)

    def keep(self, file: Path, format: str) -> str:
        """Store a model file, with its manifest and mask if it has them; returns its sha256.

        An artifact that is there already stays as it is. Only where it has no manifest that can be
        read, and this file has one, is all that is told of it replaced: name, date, manifest, mask.
        Raises StoreError for a file that is too large.
        """
        found = artifact.inspect(file, format)
        if found.bytes > MOST_BYTES:
            raise StoreError(
                f"{found.bytes >> 20} MiB are more than the store keeps of one file "
                f"({MOST_BYTES >> 20} MiB)",
                where=str(file),
                next_step="keep it elsewhere under its sha256",
            )
        with self.store.engine.begin() as link:
            for part in found.files:
                self._keep_blob(link, part, found.parts[part.suffix.lower()])
            row = _row(file, format, found)
            if not _holds(link, kept, found.sha256):
                link.execute(kept.insert().values(**row))
            elif row["manifest"] and not _has_manifest(link, found.sha256):
                link.execute(kept.update().where(kept.c.sha256 == found.sha256).values(**row))
        return found.sha256

    def _keep_blob(self, link: sa.Connection, part: Path, sha256: str) -> None:
        if not _holds(link, blobs, sha256):
            link.execute(blobs.insert().values(sha256=sha256, content=part.read_bytes()))

    def list(self) -> list[Kept]:
        """List all artifacts, the oldest first."""
        columns = (kept.c.sha256, kept.c.format, kept.c.file, kept.c.since, kept.c.manifest)
        with self.store.engine.connect() as link:
            rows = link.execute(sa.select(*columns).order_by(kept.c.since, kept.c.file)).all()
        return [Kept(*row) for row in rows]

    def find(self, prefix: str) -> Kept:
        """Return the artifact whose sha256 begins so; raises StoreError for none or several."""
        found = [item for item in self.list() if item.sha256.startswith(prefix.lower())]
        if len(found) == 1 and len(prefix) >= SHORTEST_PREFIX:
            return found[0]
        if found:
            many = "an artifact begins" if len(found) == 1 else f"{len(found)} artifacts begin"
            what = f"{many} with '{prefix}'; give more of the sha256"
        else:
            what = f"no artifact '{prefix}' in the store"
        raise StoreError(
            what, where=database.shown(self.store.url), next_step="edgeproof variants list"
        )

    def restore(self, prefix: str, folder: Path) -> Path:
        """Write an artifact with its manifest and mask into a folder; returns the model's path."""
        item = self.find(prefix)
        with self.store.engine.connect() as link:
            row = link.execute(sa.select(kept).where(kept.c.sha256 == item.sha256)).one()
            contents = {
                suffix: link.execute(
                    sa.select(blobs.c.content).where(blobs.c.sha256 == sha256)
                ).scalar_one()
                for suffix, sha256 in row.parts.items()
            }
        target = folder / str(row.file)
        files = {part_of(target, suffix): data for suffix, data in contents.items()}
        if row.mask is not None:
            files[manifest.mask_of(target)] = row.mask
        if row.manifest is not None:  # as it was, also of a version that wrote others
            text = json.dumps(row.manifest, indent=2) + "\n"
            files[manifest.path_of(target)] = text.encode()
        _check_intact(contents, row.parts, target)
        _write(files)
        return target


def _row(file: Path, format: str, found: artifact.Artifact) -> dict[str, Any]:
    told = manifest.beside(file)
    mask = manifest.mask_of(file)
    return {
        "sha256": found.sha256,
        "format": format,
        "file": file.name,
        "since": now(),
        "parts": dict(found.parts),
        "manifest": manifest.document(manifest.read(file)) if told else None,
        "mask": mask.read_bytes() if mask.is_file() else None,
    }


def _holds(link: sa.Connection, table: sa.Table, sha256: str) -> bool:
    found: Sequence[Any] = link.execute(
        sa.select(table.c.sha256).where(table.c.sha256 == sha256)
    ).all()
    return bool(found)


def _has_manifest(link: sa.Connection, sha256: str) -> bool:
    """Tell whether an artifact has a manifest that this version can read."""
    found = link.execute(sa.select(kept.c.manifest).where(kept.c.sha256 == sha256)).scalar_one()
    try:
        return found is not None and bool(manifest.parse(found, sha256))
    except InputError:
        return False


def _write(files: dict[Path, bytes]) -> None:
    taken = [path for path, data in files.items() if path.exists() and path.read_bytes() != data]
    if taken:
        raise InputError(
            "is there already, with other content",
            where=str(taken[0]),
            next_step="give another folder with -o, or move the file away",
        )
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _check_intact(contents: Mapping[str, bytes], parts: Mapping[str, str], target: Path) -> None:
    for suffix, data in contents.items():
        found = hashlib.sha256(data).hexdigest()
        if found != parts[suffix]:
            raise StoreError(
                f"came out of the store with sha256 {found[:12]}, not {parts[suffix][:12]}",
                where=str(target.with_suffix(suffix)),
                next_step="build it again, or take the store from a backup",
            )
