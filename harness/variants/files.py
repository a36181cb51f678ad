"""Files that appear whole or not at all, made by tools that must not write on our output."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.variants import manifest


@contextlib.contextmanager
def written(target: Path, *companions: str) -> Iterator[Path]:
    """Yield a path to write; it becomes the target when the block ends without an error.

    `companions` are suffixes of files that the writer puts beside it (.bin of an IR); they move
    first, so that a target that is there is complete. The folder of the target is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as folder:
        draft = Path(folder) / target.name
        yield draft
        for suffix in (*companions, target.suffix):
            made = draft.with_suffix(suffix)
            made.chmod(0o644)  # some tools write executable files
            made.replace(target.with_suffix(suffix))


def place(parts: Sequence[Path], target: Path, mask: Path | None) -> None:
    """Bring a finished model file, its companions and its mask to where they belong.

    What lay there before goes first: a manifest must never lie beside another file than its own.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in (manifest.path_of(target), manifest.mask_of(target)):
        old.unlink(missing_ok=True)
    for part in parts:
        _copy(part, part_of(target, part.suffix.lower()))
    if mask:
        _copy(mask, manifest.mask_of(target))


def part_of(target: Path, suffix: str) -> Path:
    """Return how a part of a model with a suffix in small letters is called beside the others."""
    return target if suffix == target.suffix.lower() else target.with_suffix(suffix)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that it appears whole or not at all."""
    draft = target.with_name(target.name + ".part")
    shutil.copyfile(source, draft)
    draft.replace(target)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what Python code prints and what progress bars draw; errors still come as exceptions.

    Our output is read by programs. It works on the whole process, so nothing else may print
    meanwhile.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
