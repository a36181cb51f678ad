"""What a runtime prints while it works: some give the reason of a refusal nowhere else."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from typing import Iterator, List

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def overheard() -> Iterator[List[str]]:
    """Take in what is printed meanwhile: lines, once it is over. The log has them as well."""
    lines: List[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said = file.read()
            os.write(2, said)
            text = COLOURS.sub("", said.decode("utf-8", "replace"))
            lines += [line.strip() for line in text.splitlines() if line.strip()]
