"""How the host reaches a device: one small interface, one module per kind of connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """A command that ended on the device: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


class Connection(Protocol):
    """A session with one device.

    Every method raises ConnectionLostError when the link breaks and DeviceError when the device
    refuses; a command that merely fails is a Completed with its status.
    """

    def run(self, command: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a command (an argument list, quoted for the remote shell) to its end."""

    def stream(
        self, command: Sequence[str], *, silence: float
    ) -> AbstractContextManager[Iterator[str]]:
        """Run a command and yield its lines of output as they come.

        Raises ConnectionLostError when nothing arrives for `silence` seconds. Leaving the context
        ends the command.
        """

    def put(self, local: Path, remote: str) -> None:
        """Copy a file to an absolute path on the device: durable and complete, or an error."""

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the device."""

    def close(self) -> None:
        """End the session."""
