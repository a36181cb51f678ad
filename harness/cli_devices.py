"""The commands `edgeproof devices`: the lab's boards, looked at and made ready."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from harness.cli_shared import (
    EXIT_DEVICE,
    EXIT_PASS,
    found_inventory,
    inventory_option,
    json_option,
    table,
)
from harness.devices import Device, choose, load_inventory


@click.group()
def devices() -> None:
    """The lab's devices: list, check, provision, clean."""


def device_options(command: Callable[..., None]) -> Callable[..., None]:
    """Arguments of the commands that visit devices."""
    return click.argument("names", nargs=-1)(inventory_option(command))


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


@devices.command("check")
@device_options
@json_option
def check_devices(names: Sequence[str], inventory: Path | None, as_json: bool) -> None:
    """Connect to devices (default: all) and say whether they are ready.

    \b
    edgeproof devices check pi5 --inventory lab.yaml
    """
    from harness import check

    rows = [check.check(device) for device in _chosen(names, inventory)]
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

    rows = [check.provision(device, runtimes) for device in _chosen(names, inventory)]
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

    rows = [check.clean(device) for device in _chosen(names, inventory)]
    table(["device", "ready", "details"], rows)
    sys.exit(EXIT_PASS if all(row["ready"] == "yes" for row in rows) else EXIT_DEVICE)


def _chosen(names: Sequence[str], inventory: Path | None) -> list[Device]:
    known = load_inventory(inventory or found_inventory(Path()))
    return choose(known, names or list(known))
