"""The journal of a job: JSON lines that are on the disk before the next measurement begins."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping

NAME = "journal.jsonl"


class Journal:
    """An append-only file; a torn last line, left by a power cut, is cut off when it is opened."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, NAME)
        whole, self.events = read(self.path)
        self.file = open(self.path, "ab")  # noqa: SIM115 (open for the life of the job)
        self.file.truncate(whole)

    def append(self, event: Mapping[str, Any], durable: bool = True) -> None:
        """Add one event; when durable, return only once it is on the disk."""
        self.file.write(json.dumps(event, separators=(",", ":")).encode("utf-8") + b"\n")
        self.file.flush()
        if durable:
            os.fsync(self.file.fileno())


def read(path: str) -> "tuple[int, List[Dict[str, Any]]]":
    """Return the length of the whole lines in bytes, and the events they hold."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return 0, []
    whole = data.rfind(b"\n") + 1
    events = []
    position = 0
    for line in data[:whole].splitlines(keepends=True):
        try:
            events.append(json.loads(line))
        except ValueError:  # a block of the disk that was never written: what follows is lost too
            return position, events
        position += len(line)
    return whole, events
