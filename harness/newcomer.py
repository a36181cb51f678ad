"""`edgeproof devices add`: a live board looked at, the profile that fits, its inventory entry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness import deploy, documents
from harness.connections.ssh_hostkey import ShownKey, UnknownHostKeyError
from harness.controller import connect
from harness.devices import (
    DEFAULT_PROFILE,
    LOCAL,
    Device,
    load_inventory,
    load_profile,
    profile_kinds,
)
from harness.errors import InputError

SSH_PORT = 22


def device_at(name: str, address: str, **keys: Any) -> Device:
    """A device by the address that ssh takes: HOST, USER@HOST or USER@HOST:PORT."""
    user, _, place = address.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or place.count(":") > 1:  # none, or an IPv6 address
        host, port = place, ""
    found: dict[str, Any] = {"name": name, "host": host, **keys}
    if user:
        found["user"] = user
    if port:
        found["port"] = int(port) if port.isdecimal() else port
    try:
        return Device.model_validate(found)
    except ValidationError as error:
        [first, *_] = error.errors()
        raise InputError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            where=f"{name} {address}",
            next_step="edgeproof devices add NAME USER@HOST:PORT",
        ) from None


def unchecked_key(device: Device) -> ShownKey | None:
    """The host key that a board shows, if no known_hosts file tells of it; raises DeviceError."""
    try:
        connect(device).close()
    except UnknownHostKeyError as error:
        return error.shown
    return None


def trust(key: ShownKey) -> None:
    """Remember a host key that somebody has checked."""
    key.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with key.file.open("a", encoding="utf-8") as known:
        known.write(key.line + "\n")


def look(device: Device) -> dict[str, Any]:
    """Bring the agent to a board and ask it what it is; raises DeviceError."""
    with closing(connect(device)) as connection:
        return deploy.open_site(device, connection).facts()


def fitting(facts: Mapping[str, Any]) -> tuple[str, str]:
    """The profile of a board by its facts, and why: its device tree, else its processor."""
    profiles = [load_profile(kind) for kind in profile_kinds()]
    trees = (facts["board"] or "").replace("\0", " ").split()
    for profile in profiles:
        if profile.compatible in trees:
            return profile.kind, f"its device tree says {profile.compatible}"
    model = facts["cpu_model"] or ""
    for profile in profiles:
        chip = (profile.cpu.soc or "").split(" ")[-1]
        if chip and chip in model.split():
            return profile.kind, f"its processor is {model}"
    return DEFAULT_PROFILE, f"no profile tells of {model or facts['machine']}"


def entry(device: Device) -> dict[str, Any]:
    """What the inventory says of a device: what is not as usual."""
    said = device.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    if said.get("port") == SSH_PORT:
        del said["port"]
    return {"profile": device.profile} | said


def check(device: Device, inventory: Path) -> None:
    """Refuse what can be known to be wrong before the board is looked at."""
    name, key = device.name, device.identity_file
    if name == LOCAL:
        raise InputError(
            f"{LOCAL} is this machine, and needs no entry", next_step="give the board another name"
        )
    if name in load_inventory(inventory if inventory.exists() else None):
        raise InputError(
            f"{name} is there already",
            where=str(inventory),
            next_step=f"edgeproof devices check {name} --inventory {inventory}, or give another "
            "name",
        )
    if key and not key.is_file():
        raise InputError("no such file", where=f"--identity-file {key}", next_step="ls ~/.ssh")


def write(device: Device, inventory: Path) -> None:
    """Add a device to an inventory, whose comments and order stay; makes the file if need be.

    Raises InputError when the file is written in a way that takes no further line.
    """
    line = f"{device.name}: {documents.flow(entry(device))}"
    text = _with_line(inventory, line) if inventory.exists() else f"devices:\n  {line}\n"
    draft = inventory.with_name(f".{inventory.name}.new")
    inventory.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(text, encoding="utf-8")
    try:
        if device.name not in load_inventory(draft):
            raise InputError("has no place for another entry", where=str(inventory))
        draft.replace(inventory)
    finally:
        draft.unlink(missing_ok=True)


def _with_line(inventory: Path, line: str) -> str:
    """The text of an inventory with a line at the end of its devices."""
    node = documents.read(inventory).node
    mappings = [value for key, value in node.value if key.value == "devices"] if node else []
    if not mappings or not isinstance(mappings[0], yaml.MappingNode) or mappings[0].flow_style:
        raise InputError(
            "is not written as a block of devices, an entry a line",
            where=str(inventory),
            next_step=f"add this entry by hand: {line}",
        )
    [devices] = mappings[:1]
    lines = inventory.read_text(encoding="utf-8").splitlines()
    last = devices.value[-1][1].end_mark
    at = last.line + (1 if last.column else 0)
    indent = " " * devices.value[0][0].start_mark.column
    return "\n".join([*lines[:at], indent + line, *lines[at:]]) + "\n"
