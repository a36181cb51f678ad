"""The last of what a command complained about, for the error that reports its failure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.connections.lines import as_text

KEPT_BYTES = 8192


class Tail:
    """Keeps the end of a stream, however long the stream is."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        self._data = (self._data + data)[-KEPT_BYTES:]

    def failure(self, command: Sequence[str], status: int) -> str:
        """One sentence: the command, how it ended and its last words."""
        ended = "was killed" if status == -1 else f"ended with status {status}"
        words = as_text(self._data).strip()
        return f"`{shlex.join(command)}` {ended}" + (f": {words}" if words else "")
