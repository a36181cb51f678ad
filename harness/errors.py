"""The tree of errors: each says what went wrong, where, and the next command."""

from __future__ import annotations

from typing import Literal

from reports.text import printable


class EdgeproofError(Exception):
    """Base of every error shown to a user without a traceback.

    `what` is one sentence, `where` names a file, key, device or cell, `next_step` is what to do.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, next_step: str | None = None):
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  next: {self.next_step}" if self.next_step else ""
        return printable(f"{place}{self.what}{advice}")


class InputError(EdgeproofError):
    """A study, inventory, profile, model or dataset that cannot be used."""


class StoreError(EdgeproofError):
    """The store cannot be read or written, or holds no such run."""


class StoppedError(EdgeproofError):
    """Someone pressed Ctrl-C; as the shell has it for SIGINT, 130."""

    exit_code = 130


class DeviceError(EdgeproofError):
    """A device that cannot be used: unreachable, refused, too old, full."""

    exit_code = 4


class ConnectionLostError(DeviceError):
    """The link to a device broke; the job there goes on, so a reconnect can follow it again."""


class ProvisionError(DeviceError):
    """A runtime that cannot be brought onto a device; only its cells are affected.

    `status` is theirs: unsupported when there is no such runtime for the device, failed when it
    could not be fetched or pushed this time.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        next_step: str | None = None,
        status: Literal["unsupported", "failed"] = "unsupported",
    ):
        super().__init__(what, where=where, next_step=next_step)
        self.status: Literal["unsupported", "failed"] = status
