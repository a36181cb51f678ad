"""The check of the key that a device shows: only one that somebody has checked is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import paramiko

from harness.connections.known_hosts import KnownKeys
from harness.connections.ssh_config import Target
from harness.errors import DeviceError

OWN_KEYS = "for k in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $k; done"


@dataclass(frozen=True)
class ShownKey:
    """The key that a device shows, and the line of a known_hosts file that would trust it."""

    fingerprint: str
    line: str
    file: Path


class UnknownHostKeyError(DeviceError):
    """A key that nobody has checked."""

    shown: ShownKey


def check_host_key(target: Target, known: KnownKeys, key: paramiko.PKey) -> None:
    """Raise unless a known_hosts file trusts this key for this target."""
    shown = (key.get_name(), key.asbytes())
    if shown in known.revoked:
        raise DeviceError(f"shows a revoked host key: {key.fingerprint}", where=str(target))
    if shown not in known.trusted:
        raise _changed(target, key) if known.trusted else _unknown(target, key)


def _changed(target: Target, key: paramiko.PKey) -> DeviceError:
    files = " or ".join(str(file) for file in target.known_hosts)
    return DeviceError(
        f"the host key changed: it shows {key.get_name()} {key.fingerprint}, not the one known "
        f"from {files}; someone may be in between, or the board was set up anew",
        where=str(target),
        next_step=f"compare the fingerprint on the board itself ({OWN_KEYS}); only if it is the "
        f"same: ssh-keygen -R '{target.known_as}' -f {target.known_hosts[0]}",
    )


def _unknown(target: Target, key: paramiko.PKey) -> DeviceError:
    file = target.known_hosts[0] if target.known_hosts else Path.home() / ".ssh" / "known_hosts"
    fingerprint = f"{key.get_name()} {key.fingerprint}"
    error = UnknownHostKeyError(
        f"the host key is unknown: {fingerprint}",
        where=str(target),
        next_step=f"compare the fingerprint on the board itself ({OWN_KEYS}); if it is the same: "
        f"{target.ssh} once, or ssh-keyscan -p {target.port} {target.host} >> {file}",
    )
    line = f"{target.known_as} {key.get_name()} {key.get_base64()}"
    error.shown = ShownKey(fingerprint, line, file)
    return error
