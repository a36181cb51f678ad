"""Lets the host follow a job: the journal from an offset on, and a sign of life in between."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import List

from agents import supervisor
from agents.journal import NAME

POLL_S = 0.2
SIGN_OF_LIFE_S = 1.0


def main(arguments: List[str]) -> None:
    """Print journal lines: `follow FOLDER OFFSET`; ends with the job or with its supervisor.

    A line {"kind":"alive"} or {"kind":"gone"} is not of the journal and does not count in offsets.
    """
    folder, offset = arguments[0], int(arguments[1])
    quiet_since = time.monotonic()
    while True:
        alive = supervisor.is_alive(folder)  # before reading: its last words come before its end
        lines = whole_lines(os.path.join(folder, NAME), offset)
        if lines:
            offset += len(lines)
            quiet_since = time.monotonic()
            say(lines)
        if not alive:
            say(json.dumps({"kind": "gone", "log": last_words(folder)}).encode() + b"\n")
            return
        if time.monotonic() - quiet_since >= SIGN_OF_LIFE_S:
            quiet_since = time.monotonic()
            say(b'{"kind":"alive"}\n')
        time.sleep(POLL_S)


def whole_lines(path: str, offset: int) -> bytes:
    """Read what was added since an offset, up to the last line that is complete."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def last_words(folder: str) -> str:
    """What the supervisor printed: empty unless it crashed."""
    try:
        with open(os.path.join(folder, "supervisor.log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-1500:].strip()
    except FileNotFoundError:
        return ""


def say(data: bytes) -> None:
    """Send bytes to the host now."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
