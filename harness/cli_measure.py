"""The commands that measure: `edgeproof run` and `edgeproof gate`."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness import completion
from harness.cli_shared import (
    EXIT_BUG,
    EXIT_DEVICE,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    EXIT_STOPPED,
    STUDY,
    Screen,
    form_of,
    found_inventory,
    inventory_option,
    path_type,
    progress_option,
    rendered,
    store_option,
    write,
)
from harness.devices import choose, load_inventory
from harness.errors import EdgeproofError, InputError, StoppedError
from harness.fields import MAX_BUDGET_S, seconds
from harness.study import Study, load_study

if TYPE_CHECKING:
    from harness.devices import Device
    from harness.inputs import Inputs
    from harness.store import Store
    from reports.layout import Document

# To `git bisect run`: this commit cannot be tested; stop, for none can.
BISECT_SKIP, BISECT_STOP = 125, 255


# How a device ended -> what goes before the command that measures the rest.
_TO_GO_ON = {
    "stopped": "stopped; next",
    "failed": "a device failed; once it is well, what it owes is measured by",
}


class Duration(click.ParamType[float]):
    """90s, 10m, 1h30m or seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read a duration."""
        try:
            return seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def measure_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `run` and `gate` share."""
    options = (
        click.argument("study", type=path_type, default=Path(STUDY)),
        inventory_option,
        click.option(
            "--device",
            "names",
            multiple=True,
            shell_complete=completion.devices,
            help="Only this device; repeatable.",
        ),
        store_option,
        click.option(
            "--budget",
            type=Duration(),
            help="Board time for each device, as 10m or 90s; the sets of robustness have it again.",
        ),
        click.option(
            "--resume",
            metavar="RUN",
            shell_complete=completion.runs,
            help="Go on with a run; nothing is measured again.",
        ),
        progress_option,
        click.option(
            "-q", "--quiet", is_flag=True, help="Show no progress and print no table; errors only."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead."),
        click.option(
            "-o",
            "--output",
            "outputs",
            type=path_type,
            multiple=True,
            help="Write the report here as well, in the form of the suffix: .html, .md, .json, "
            ".csv, .parquet, .xml (JUnit); repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@measure_options
@click.option(
    "--profile",
    is_flag=True,
    help="Time each layer by the runtime's own profiler, before the launches.",
)
def run(study: Path, profile: bool, **options: Any) -> None:
    """Measure a study on its devices, then report.

    STUDY is a file, by default study.yaml.

    Ctrl-C ends it after the launch in progress; a second one leaves the devices at work. Either way
    --resume goes on.

    \b
    edgeproof run
    edgeproof run examples/digits/study.yaml
    edgeproof run study.yaml --inventory lab.yaml --device pi5 --budget 20m
    edgeproof run study.yaml --profile -o report.html
    edgeproof run study.yaml --resume kws-20261121-101500-3f2a
    """
    from harness.store import Store

    wanted = _within(_loaded(study), options["budget"])
    *_, code = _measured(wanted, study, Store(options["url"]), options, profile=profile)
    sys.exit(code)


@click.command()
@measure_options
@click.option(
    "--against",
    metavar="RELEASE",
    shell_complete=completion.releases,
    help="Compare with what was released, measured again beside the rest: a release by its name, "
    "last-release, RUN, RUN:VARIANT, a model file, or the sha256 of one in the store.",
)
@click.option(
    "--release",
    "called",
    metavar="NAME[:VARIANT]",
    help="Give what passes a name, for --against; every later gate tells the drift since then.",
)
@click.option(
    "--on-inconclusive",
    "policy",
    type=click.Choice(["report", "fail", "warn", "extend"]),
    default="report",
    show_default=True,
    help="Of gates that could not be decided. report: exit code 3. fail: 1. warn: 0. extend: "
    "measure until decided, with the launches of `thorough` and no budget but --budget.",
)
@click.option(
    "--annotations", is_flag=True, help="Print GitHub's annotations of gates that do not pass."
)
@click.option(
    "--bisect",
    is_flag=True,
    help="Exit codes for `git bisect run`: 0 good, 1 bad, 125 not decided, 255 no device.",
)
def gate(study: Path, bisect: bool, **options: Any) -> None:
    """Run a study; the exit code says if its gates hold.

    0 pass, 1 fail, 3 inconclusive; 2 bad input, 4 a device failed.

    The model files of a study that passes are kept in the store, for --against.

    \b
    edgeproof gate release.yaml --budget 10m && ./publish
    edgeproof gate release.yaml --release 1.4
    edgeproof gate release.yaml --against last-release -o junit.xml -o summary.md
    git bisect run edgeproof gate release.yaml --bisect
    """
    if not bisect:
        sys.exit(_gated(study, options))
    try:
        code = _gated(study, options)
    except EdgeproofError as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except Exception:
        traceback.print_exc()
        code = EXIT_BUG
    sys.exit(_for_bisect(code))


def _gated(study: Path, options: Mapping[str, Any]) -> int:
    from harness import release_files, releases
    from harness.store import Store
    from reports import annotations

    policy, store = options["policy"], Store(options["url"])
    wanted = _loaded(study)
    if not wanted.gates:
        raise InputError(
            "has no gates, so there is nothing to judge",
            where=str(study),
            next_step="add `gates:`, or use edgeproof run",
        )
    if policy == "extend":
        wanted = wanted.with_effort("thorough").with_budget(MAX_BUDGET_S)
    wanted = _within(wanted, options["budget"])
    called = releases.planned(wanted, options["called"], store) if options["called"] else None
    if options["against"]:
        wanted = release_files.against(wanted, options["against"], store)
    wanted = wanted.with_compare(("variants",))  # no gate asks about runtimes
    inputs, found, code = _measured(wanted, study, store, options, policy == "warn")
    if options["annotations"]:
        told = annotations.github(found, advisory=policy == "warn")
        click.echo(told, nl=False, err=options["as_json"])
    if found["overall"] == "pass" and not code:
        for file in release_files.keep(inputs, store):
            click.echo(f"note: too large to be kept in the store: {file}", err=True)
        if called:
            releases.call(store, store.load(found["run"]), *called)
            click.echo(f"released: {called[1]} as {called[0]}", err=True)
    for line in annotations.drifted(found, str(study)):
        click.echo(line, err=True)
    click.echo(f"gate: {annotations.answer(found)}", err=True)
    codes = {
        "pass": EXIT_PASS,
        "fail": EXIT_FAILED,
        "inconclusive": {"fail": EXIT_FAILED, "warn": EXIT_PASS}.get(policy, EXIT_INCONCLUSIVE),
    }
    return code or codes[found["overall"]]


def _for_bisect(code: int) -> int:
    """What `git bisect run` is told; a study or file that cannot be used is this commit's own."""
    if code in (EXIT_PASS, EXIT_FAILED):
        return code
    return BISECT_STOP if code in (EXIT_DEVICE, EXIT_STOPPED, EXIT_BUG) else BISECT_SKIP


def _loaded(path: Path) -> Study:
    if path == Path(STUDY) and not path.exists():
        raise InputError(
            f"there is no {STUDY} in this folder", next_step="edgeproof init MODEL, or name a study"
        )
    return load_study(path)


def _within(study: Study, budget: float | None) -> Study:
    return study.with_budget(budget) if budget else study


def _measured(
    wanted: Study,
    study: Path,
    store: Store,
    options: Mapping[str, Any],
    advisory: bool = False,
    profile: bool = False,
) -> tuple[Inputs, Document, int]:
    """Measure a study, or the rest of it; returns its files, its report and an exit code."""
    from harness import controller, foresight, progress, releases
    from harness.devices import prices
    from reports import document

    forms = {path: form_of(path) for path in options["outputs"]}
    inputs, devices, run_id = _prepared(wanted, study, store, options)
    budget = inputs.study.measure.budget
    for line in foresight.before(store.load(run_id), budget):
        click.echo(f"note: {line}", err=True)
    mode = "none" if options["quiet"] else options["mode"]
    try:
        with progress.display(mode, budget) as show:
            outcomes = controller.execute(run_id, inputs, devices, store, show, profile)
    except KeyboardInterrupt:
        what = "interrupted; the devices go on with what they were asked to measure"
        raise StoppedError(what, where=run_id, next_step=_go_on(run_id)) from None
    measured = releases.with_release(store, store.load(run_id))
    report = document.build(measured, prices(measured))
    _tell(report, options["as_json"], options["quiet"])
    for ended, told in _TO_GO_ON.items():
        if ended in outcomes:
            click.echo(f"{told}: {_go_on(run_id)}", err=True)
    for path, form in forms.items():
        write(path, rendered(report, form, **({"advisory": advisory} if form == "junit" else {})))
    return inputs, report, _exit_code(outcomes)


def _prepared(
    wanted: Study, study: Path, store: Store, options: Mapping[str, Any]
) -> tuple[Inputs, list[Device], str]:
    """A study's files and devices, and its run: a new one, or the one to go on with."""
    from harness import controller
    from harness.inputs import look_into
    from harness.variants import build, verify

    run_id = store.resolve(options["resume"]) if options["resume"] else None
    known = (store.inventory(run_id) if run_id else None) or found_inventory(study.parent)
    inventory = options["inventory"] or known
    begun = store.load(run_id) if run_id else None
    if begun:
        wanted = wanted.with_compare(controller.compare_of(begun))
    its_own = [device.name for device in begun.devices] if begun else wanted.devices
    devices = choose(load_inventory(inventory), options["names"] or its_own)
    build.check_fresh(wanted)
    verify.check_given(wanted)
    inputs = look_into(wanted)
    if begun and run_id:
        controller.check_same(inputs, begun, store.dataset(run_id))
        controller.check_devices(devices, begun)
    else:
        run_id = controller.create(inputs, devices, store, inventory)
    return inputs, devices, run_id


def _go_on(run: str) -> str:
    """The command that measures the rest, as it was typed."""
    context = click.get_current_context()
    given = [str(context.info_name), str(context.params["study"]), "--resume", run]
    for option in context.command.params:
        if isinstance(option, click.Option) and option.name not in (None, "resume"):
            given += _typed(context, option)
    return "edgeproof " + shlex.join(given)


def _typed(context: click.Context, option: click.Option) -> Iterator[str]:
    """An option with its value, if it was given; without a store's password."""
    from harness.database import shown

    name = str(option.name)
    if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return
    value = context.params[name]
    for each in value if option.multiple else [value]:
        yield option.opts[-1]
        if not option.is_flag:
            yield shown(each) if name == "url" else str(each)


def _exit_code(outcomes: set[str]) -> int:
    if "failed" in outcomes:
        return EXIT_DEVICE
    return EXIT_STOPPED if "stopped" in outcomes else EXIT_PASS


def _tell(report: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Print the result, and leave the page beside the store."""
    from harness.database import data_folder
    from reports import render

    if as_json:
        click.echo(render.json_text(report), nl=False)
    elif not quiet:
        render.terminal(report, Screen())
    page = data_folder() / "reports" / f"{report['run']}.html"
    write(page, render.html(report))
    if not quiet:
        click.echo(f"run: {report['run']}\nreport: {page}", err=as_json)
