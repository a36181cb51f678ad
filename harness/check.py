"""Visits to devices outside a run: are they ready, bring runtimes, clean up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from agents import backends
from harness import deploy
from harness import provision as runtimes
from harness.connections import Connection
from harness.controller import connect
from harness.deploy import Site
from harness.devices import Device
from harness.errors import DeviceError, EdgeproofError, ProvisionError

Row = dict[str, str]
BUSY = 3


def entry(device: Device) -> Row:
    """Describe a device of the inventory."""
    address = device.host or "this machine"
    return {
        "device": device.name,
        "profile": device.profile,
        "address": f"{device.user}@{address}" if device.user else address,
        "kind of board": device.details().title,
    }


def check(device: Device) -> Row:
    """Connect, bring the agent, read the facts."""
    return _visit(device, lambda site: _summary(site.facts()))


def provision(device: Device, names: Sequence[str]) -> Row:
    """Bring runtimes (all, unless some are named); one without wheels is told, not an error."""
    return _visit(device, lambda site: "; ".join(_bring(site, names or backends.names())))


def clean(device: Device) -> Row:
    """Remove edgeproof's folder, unless a job is at work in it."""
    return _visit(device, _remove, deploy.bare_site)


def side_by_side(visit: Callable[[Device], Row], devices: Sequence[Device]) -> list[Row]:
    """Visit devices at the same time; the rows are in the order of the devices."""
    with ThreadPoolExecutor(max_workers=max(1, len(devices))) as pool:
        return list(pool.map(visit, devices))


def _visit(
    device: Device,
    action: Callable[[Site], str],
    open_site: Callable[[Device, Connection], Site] = deploy.open_site,
) -> Row:
    try:
        with closing(connect(device)) as connection:
            details = action(open_site(device, connection))
    except EdgeproofError as error:
        return {"device": device.name, "ready": "no", "details": str(error)}
    return {"device": device.name, "ready": "yes", "details": details}


def _summary(facts: dict[str, object]) -> str:
    memory, disk = int(str(facts["memory_kib"])) >> 10, int(str(facts["disk_free_bytes"])) / 2**30
    return (
        f"{facts['cpu_model'] or facts['machine']}, {facts['cpus']} CPUs, {memory} MiB, "
        f"{disk:.1f} GiB free, {facts['system']}, Python {facts['python']}"
    )


def _bring(site: Site, names: Sequence[str]) -> list[str]:
    goal = runtimes.target(site.facts())
    told = []
    for name in names:
        requires = runtimes.requirements(name, site.device.details())
        try:
            if requires is None:
                told.append(f"{name}: the board's own")
            else:
                built = runtimes.archive(name, requires, goal)
                deploy.install(site, built)
                told.append(f"{name}: {', '.join(built.packages[:8])}")
        except ProvisionError as error:
            told.append(f"{name}: {error.what}")
    return told


def _remove(site: Site) -> str:
    """Take the device's lock first: a job at work must not lose its files."""
    # Only what edgeproof put there: the folder may be one that the user keeps other things in.
    script = (
        'LC_ALL=C ls -d "$2" >/dev/null && cd "$2" || exit; '
        'flock -n -E "$1" lock rm -rf blobs jobs runtimes lock || exit; '
        'rmdir "$2" 2>/dev/null || true'
    )
    command = ["sh", "-c", script, "sh", str(BUSY), site.root]
    done = site.connection.run(command, timeout=120.0)
    if done.status == BUSY:
        raise DeviceError(
            "a run is at work there",
            where=site.device.name,
            next_step="wait for it, or stop it with Ctrl-C where it was started",
        )
    if done.status != 0 and "No such file" in done.stderr:
        return f"nothing to remove: there is no {site.root}"
    if done.status != 0:
        raise deploy.failed(site.device, command, done)
    return f"removed {site.root}"
