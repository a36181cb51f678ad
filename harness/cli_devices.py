"""The commands `edgeproof devices`: the lab's boards, looked at and made ready."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import completion
from harness.cli_shared import (
    EXIT_DEVICE,
    EXIT_PASS,
    INVENTORY,
    STUDY,
    found_inventory,
    inventory_option,
    json_option,
    path_type,
    table,
)
from harness.devices import DEFAULT_PROFILE, Device, choose, load_inventory
from harness.errors import DeviceError, InputError

if TYPE_CHECKING:
    from harness.connections.ssh_hostkey import ShownKey


@click.group()
def devices() -> None:
    """The lab's devices: list, add, check, provision, clean."""


def device_options(command: Callable[..., None]) -> Callable[..., None]:
    """Arguments of the commands that visit devices."""
    names = click.argument("names", nargs=-1, shell_complete=completion.devices)
    return names(inventory_option(command))


@devices.command("list")
@inventory_option
@json_option
def list_devices(inventory: Path | None, as_json: bool) -> None:
    """List the inventory.

    \b
    edgeproof devices list --inventory lab.yaml
    """
    from harness import check

    known = load_inventory(inventory or found_inventory(Path()))
    rows = [check.entry(device) for device in known.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        table(["device", "profile", "address", "kind of board"], rows)


@devices.command("add")
@click.argument("name")
@click.argument("address", metavar="[USER@]HOST[:PORT]")
@inventory_option
@click.option(
    "--profile",
    shell_complete=completion.profiles,
    help="The kind of board. Default: the one that fits what it says.",
)
@click.option("--identity-file", type=path_type, help="The private key. Default: as ssh has it.")
@click.option(
    "--fingerprint", help="The host key's, read on the board itself. Default: you are asked."
)
def add_device(
    name: str,
    address: str,
    inventory: Path | None,
    profile: str | None,
    identity_file: Path | None,
    fingerprint: str | None,
) -> None:
    """Look at a live board and write its entry into the inventory.

    \b
    edgeproof devices add pi5 pi@pi5.lab
    edgeproof devices add nuc bench@nuc.lab:2222 --identity-file ~/.ssh/lab
    """
    from harness import newcomer

    where = inventory or found_inventory(Path()) or Path(INVENTORY)
    keys = {"identity_file": str(identity_file.resolve())} if identity_file else {}
    device = newcomer.device_at(name, address, profile=profile or DEFAULT_PROFILE, **keys)
    newcomer.check(device, where)
    key = newcomer.unchecked_key(device)
    if key:
        _confirm(key, fingerprint)
        newcomer.trust(key)
    facts = newcomer.look(device)
    kind, why = (profile, "as asked") if profile else newcomer.fitting(facts)
    device = newcomer.device_at(name, address, profile=kind, **keys)
    newcomer.write(device, where)
    click.echo(f"{name}: {facts['cpu_model'] or facts['machine']}, {facts['system']}")
    click.echo(f"profile: {kind} ({why})")
    study = STUDY if Path(STUDY).exists() else f"{STUDY}, once `edgeproof init MODEL` wrote it"
    lab = f" --inventory {inventory}" if inventory else ""
    click.echo(f"wrote {where}; next: edgeproof run --device {name}{lab} {study}")


def _confirm(key: ShownKey, fingerprint: str | None) -> None:
    """Have the host key checked; only a person at the board can tell it from someone in between."""
    from harness.connections.ssh_hostkey import OWN_KEYS

    if fingerprint:
        if fingerprint not in key.fingerprint.split():
            raise DeviceError(
                f"shows another host key: {key.fingerprint}, not {fingerprint}",
                next_step="look at the fingerprint on the board again; someone may be in between",
            )
        return
    click.echo(f"host key: {key.fingerprint}", err=True)
    click.echo(f"on the board itself: {OWN_KEYS}", err=True)
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to compare the fingerprint",
            next_step=f"compare it on the board, then give --fingerprint "
            f"{key.fingerprint.split()[-1]}",
        )
    if not click.confirm("Is it the same?", err=True):
        raise DeviceError(
            "its host key is not trusted, so nothing was written",
            next_step="look at the fingerprint on the board itself, and add it again",
        )


@devices.command("check")
@device_options
@json_option
def check_devices(names: Sequence[str], inventory: Path | None, as_json: bool) -> None:
    """Connect to devices (default: all) and say whether they are ready.

    \b
    edgeproof devices check pi5 --inventory lab.yaml
    """
    from harness import check

    rows = check.side_by_side(check.check, _chosen(names, inventory))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        table(["device", "ready", "details"], rows)
    sys.exit(EXIT_PASS if all(row["ready"] == "yes" for row in rows) else EXIT_DEVICE)


@devices.command("provision")
@device_options
@click.option("--runtime", "runtimes", multiple=True, help="Only this runtime; repeatable.")
def provision_devices(
    names: Sequence[str], inventory: Path | None, runtimes: Sequence[str]
) -> None:
    """Bring the agent and the runtimes to devices ahead of a run.

    \b
    edgeproof devices provision pi5 --runtime litert
    """
    from harness import check

    chosen = _chosen(names, inventory)
    rows = check.side_by_side(lambda device: check.provision(device, runtimes), chosen)
    table(["device", "ready", "details"], rows)
    sys.exit(EXIT_PASS if all(row["ready"] == "yes" for row in rows) else EXIT_DEVICE)


@devices.command("clean")
@device_options
def clean_devices(names: Sequence[str], inventory: Path | None) -> None:
    """Remove everything edgeproof has put on devices (default: all).

    \b
    edgeproof devices clean pi5 --inventory lab.yaml
    """
    from harness import check

    rows = check.side_by_side(check.clean, _chosen(names, inventory))
    table(["device", "ready", "details"], rows)
    sys.exit(EXIT_PASS if all(row["ready"] == "yes" for row in rows) else EXIT_DEVICE)


def _chosen(names: Sequence[str], inventory: Path | None) -> list[Device]:
    known = load_inventory(inventory or found_inventory(Path()))
    return choose(known, names or list(known))
