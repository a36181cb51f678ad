"""Files that appear whole or not at all, made by tools that must not write on our output."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what Python code prints and what progress bars draw; errors still come as exceptions.

    Our output is read by programs. It works on the whole process, so nothing else may print
    meanwhile.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
