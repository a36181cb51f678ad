"""The commands of edgeproof: arguments in, exit codes out, nothing decided here.

Statistics, SSH and the database take a second to import, so commands import what they need.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.cli_devices import devices
from harness.cli_reports import report
from harness.cli_shared import (
    EXIT_DEVICE,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    found_inventory,
    inventory_option,
    path_type,
    store_option,
    write,
)
from harness.cli_variants import models, variants
from harness.devices import choose, load_inventory
from harness.errors import EdgeproofError, InputError
from harness.fields import seconds
from harness.study import Compare, load_study

# As the shell has it for SIGINT, and as sysexits.h has it for a fault in the program itself: an
# uncaught exception would end with 1, which says that a gate failed.
EXIT_STOPPED, EXIT_BUG = 130, 70


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


for command in (report, variants, models, devices):
    cli.add_command(command)


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
    known = (store.inventory(run_id) if run_id else None) or found_inventory(study.parent)
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
    write(page, render.html(report))
    click.echo(f"run: {report['run']}\nreport: {page}", err=as_json)


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
