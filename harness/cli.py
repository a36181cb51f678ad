"""The commands of edgeproof: arguments in, exit codes out, nothing decided here.

Statistics, SSH and the database take a second to import, so commands import what they need.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.cli_shared import (
    EXIT_DEVICE,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    json_option,
    path_type,
    store_option,
    table,
)
from harness.cli_variants import models, variants
from harness.devices import Device, choose, load_inventory
from harness.errors import EdgeproofError, InputError
from harness.fields import seconds
from harness.study import Compare, load_study

# As the shell has it for SIGINT, and as sysexits.h has it for a fault in the program itself: an
# uncaught exception would end with 1, which says that a gate failed.
EXIT_STOPPED, EXIT_BUG = 130, 70
FORMATS = ("csv", "html", "json", "md")
INVENTORY = "inventory.yaml"

inventory_option = click.option(
    "--inventory",
    type=path_type,
    help=f"The lab's devices. Default: {INVENTORY} beside the study or in this folder, if any.",
)


class Duration(click.ParamType[float]):
    """90s, 10m, 1h30m or seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read a duration."""
        try:
            return seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeproof")
def cli() -> None:
    """Prove on the board itself whether a pruned or quantised network pays off.

    \b
    edgeproof variants build study.yaml   prune and quantise as the study says
    edgeproof run study.yaml              measure a study, report, store
    edgeproof report latest --format md   the last run again, in another form
    edgeproof devices check pi5           is this board ready?
    """


cli.add_command(variants)
cli.add_command(models)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `run` and `gate` share."""
    for option in (
        click.argument("study", type=path_type),
        inventory_option,
        click.option("--device", "names", multiple=True, help="Only this device; repeatable."),
        store_option,
        click.option(
            "--budget",
            type=Duration(),
            help="Board time for each device, as 10m or 90s; the sets of robustness have it again.",
        ),
        click.option(
            "--resume", metavar="RUN", help="Go on with a run; nothing is measured again."
        ),
        click.option(
            "--progress",
            "mode",
            type=click.Choice(["auto", "plain", "none"]),
            default="auto",
            show_default=True,
            help="How to show progress on standard error.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead."),
    ):
        command = option(command)
    return command


@cli.command()
@run_options
@click.option(
    "--profile",
    is_flag=True,
    help="Time each layer by the runtime's own profiler, before the launches.",
)
def run(**options: Any) -> None:
    """Measure the variants of STUDY on its devices, then report.

    \b
    edgeproof run examples/digits/study.yaml
    edgeproof run study.yaml --inventory lab.yaml --device pi5 --budget 20m
    edgeproof run study.yaml --profile
    edgeproof run study.yaml --resume kws-20261121-101500-3f2a
    """
    _, code = _measured(**options)
    sys.exit(code)


@cli.command()
@run_options
def gate(**options: Any) -> None:
    """Run STUDY, then answer with an exit code: 0 pass, 1 fail, 3 inconclusive.

    \b
    edgeproof gate release.yaml --budget 10m && ./publish
    """
    from reports import gates

    if not load_study(options["study"]).gates:
        raise InputError(
            "has no gates, so there is nothing to judge",
            where=str(options["study"]),
            next_step="add `gates:`, or use edgeproof run",
        )
    report, code = _measured(**options, compare=("variants",))  # no gate asks about runtimes
    verdict = gates.overall(report["verdicts"])
    click.echo(f"gate: {verdict}", err=True)
    codes = {"pass": EXIT_PASS, "fail": EXIT_FAILED, "inconclusive": EXIT_INCONCLUSIVE}
    sys.exit(code or codes[verdict])


def _measured(
    study: Path,
    inventory: Path | None,
    names: Sequence[str],
    url: str | None,
    budget: float | None,
    resume: str | None,
    mode: str,
    as_json: bool,
    compare: Compare | None = None,
    profile: bool = False,
) -> tuple[dict[str, Any], int]:
    from harness import controller, foresight, progress
    from harness.inputs import look_into
    from harness.store import Store
    from harness.variants import build, verify
    from reports import document

    store = Store(url)
    wanted = load_study(study)
    if budget:
        wanted = wanted.with_budget(budget)
    run_id = store.resolve(resume) if resume else None
    known = (store.inventory(run_id) if run_id else None) or _found_inventory(study.parent)
    inventory = inventory or known
    begun = store.load(run_id) if run_id else None
    compare = controller.compare_of(begun) if begun else compare
    if compare:
        wanted = wanted.with_compare(compare)
    its_own = [device.name for device in begun.devices] if begun else wanted.devices
    devices = choose(load_inventory(inventory), names or its_own)
    build.check_fresh(wanted)
    verify.check_given(wanted)
    inputs = look_into(wanted)
    if begun and run_id:
        controller.check_same(inputs, begun, store.dataset(run_id))
        controller.check_devices(devices, begun)
    else:
        run_id = controller.create(inputs, devices, store, inventory)
    for line in foresight.before(store.load(run_id), wanted.measure.budget):
        click.echo(f"note: {line}", err=True)
    with progress.display(mode, wanted.measure.budget) as show:
        outcomes = controller.execute(run_id, inputs, devices, store, show, profile)
    report = document.build(store.load(run_id))
    _tell(report, as_json)
    return report, _exit_code(outcomes)


def _exit_code(outcomes: set[str]) -> int:
    if "failed" in outcomes:
        return EXIT_DEVICE
    return EXIT_STOPPED if "stopped" in outcomes else EXIT_PASS


def _tell(report: dict[str, Any], as_json: bool) -> None:
    """Print the result, and leave the page beside the store."""
    from harness.database import data_folder
    from reports import render

    if as_json:
        click.echo(render.json_text(report))
    else:
        render.terminal(report, Console())
    page = data_folder() / "reports" / f"{report['run']}.html"
    _write(page, render.html(report))
    click.echo(f"run: {report['run']}\nreport: {page}", err=as_json)


def _found_inventory(folder: Path) -> Path | None:
    candidates = [folder / INVENTORY, Path(INVENTORY)]
    return next((path for path in candidates if path.is_file()), None)


@cli.command()
@click.argument("run", default="latest")
@store_option
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: a table.")
@click.option("-o", "--output", type=path_type, help="Write to this file instead.")
def report(run: str, url: str | None, form: str | None, output: Path | None) -> None:
    """Show a stored RUN again: its id, or `latest`.

    \b
    edgeproof report
    edgeproof report latest --format html -o report.html
    edgeproof report kws-20261121-101500-3f2a --format json | jq .comparisons
    """
    from harness.store import Store
    from reports import document, render

    store = Store(url)
    found = document.build(store.load(store.resolve(run)))
    form = form or (_form_of(output) if output else None)
    if form is None:
        render.terminal(found, Console())
        return
    forms = {
        "html": render.html,
        "md": render.markdown,
        "json": render.json_text,
        "csv": render.csv,
    }
    text = forms[form](found)
    if output is None:
        click.echo(text)
        return
    _write(output, text)
    click.echo(f"report: {output}", err=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            next_step="edgeproof report latest -o ANOTHER_PATH",
        ) from None


def _form_of(output: Path) -> str:
    suffix = output.suffix.lstrip(".")
    if suffix not in FORMATS:
        raise click.UsageError(f"--format is needed: {output.name} has none of its suffixes")
    return suffix


@cli.group()
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

    known = load_inventory(inventory or _found_inventory(Path()))
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
    known = load_inventory(inventory or _found_inventory(Path()))
    return choose(known, names or list(known))


def main() -> None:
    """Run the command line; an error is one message and an exit code that is no verdict."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EdgeproofError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; a job on a device goes on: run STUDY --resume latest", err=True)
        sys.exit(EXIT_STOPPED)
    except Exception:
        traceback.print_exc()
        sys.exit(EXIT_BUG)
