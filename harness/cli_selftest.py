"""The command that tests the tester: `edgeproof selftest`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import completion
from harness.cli_measure import Duration
from harness.cli_shared import (
    EXIT_DEVICE,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    EXIT_STOPPED,
    found_inventory,
    inventory_option,
    json_option,
    progress_option,
    store_option,
    table,
)
from harness.devices import choose, load_inventory
from harness.errors import DeviceError
from harness.fields import MAX_BUDGET_S

if TYPE_CHECKING:
    from harness.devices import Device
    from harness.progress import Display
    from harness.store import Store
    from reports.run import Selftest


@click.command()
@click.option(
    "--device",
    "name",
    required=True,
    shell_complete=completion.devices,
    help="The device, by its name in the inventory.",
)
@inventory_option
@store_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Gates, half of them on identical models. Default: what 10 minutes, or the budget, hold.",
)
@click.option("--budget", type=Duration(), help="Board time for all of it, as 10m or 90s.")
@click.option(
    "--runtime", default="onnxruntime", show_default=True, help="One that reads ONNX files."
)
@progress_option
@json_option
def selftest(
    name: str,
    inventory: Path | None,
    url: str | None,
    trials: int | None,
    budget: float | None,
    runtime: str,
    mode: str,
    as_json: bool,
) -> None:
    """Test the gates on a device: how often are they wrong?

    Gates are decided on identical models and on slower ones. The rates are kept, and every later
    report of the device shows them. What was finished counts, also after Ctrl-C.

    Exit codes: 0 no error above the promised 1% is proven; 1 one is; 3 no gate on identical models
    was decided; 4 the device failed.

    \b
    edgeproof selftest --device pi5
    edgeproof selftest --device nuc-1 --inventory lab.yaml --trials 100
    edgeproof selftest --device local --budget 5m --runtime openvino --json
    """
    from harness import progress
    from harness.selftest.bench import check_runtime
    from harness.store import Store

    [device] = choose(load_inventory(inventory or found_inventory(Path())), [name])
    check_runtime(runtime)
    store = Store(url)
    with progress.display(mode, budget or MAX_BUDGET_S) as show:
        found, code = _conducted(device, runtime, trials, budget, store, show)
    if found is None:
        click.echo("no gate was decided, so nothing is kept", err=True)
        sys.exit(code or EXIT_INCONCLUSIVE)
    _tell(found, as_json)
    sys.exit(code or _verdict(found))


def _conducted(
    device: Device,
    runtime: str,
    trials: int | None,
    budget: float | None,
    store: Store,
    show: Display,
) -> tuple[Selftest | None, int]:
    """Test a device and store what is known after each gate; returns it and an exit code."""
    from harness.selftest.bench import Bench, EndedError
    from harness.selftest.conduct import USUAL_S, conduct
    from harness.selftest.overall import Overall

    overall, found, code = Overall(show, device.name), None, EXIT_PASS
    with tempfile.TemporaryDirectory(prefix="edgeproof-selftest-") as folder:
        bench = Bench(device, runtime, Path(folder), overall, budget or MAX_BUDGET_S)
        try:
            for found in conduct(bench, trials, budget or USUAL_S, overall, _say):
                store.keep_selftest(found)
        except EndedError as ended:
            _say(str(ended))
            code = EXIT_STOPPED if ended.by_hand else EXIT_PASS
        except KeyboardInterrupt:
            _say("interrupted; the gate in progress on the device ends by itself")
            code = EXIT_STOPPED
        except DeviceError as error:
            click.echo(f"error: {error}", err=True)
            code = EXIT_DEVICE
    return found, code


def _say(line: str) -> None:
    click.echo(line, err=True)


def _verdict(found: Selftest) -> int:
    """The exit code of what was found."""
    from reports.selftest import SAME, breaks_promise, summary

    row = summary(found)
    if breaks_promise(row):
        return EXIT_FAILED
    [same] = [kind for kind in row["kinds"] if kind["kind"] == SAME]
    return EXIT_PASS if same["pass"] + same["fail"] else EXIT_INCONCLUSIVE


def _tell(found: Selftest, as_json: bool) -> None:
    from dataclasses import asdict

    from reports.document import plain
    from reports.sections import trust
    from reports.selftest import sentences, summary, tested_how

    row = summary(found)
    if as_json:
        raw = {"schema": "edgeproof.selftest/1", **row, "facts": found.device.facts}
        raw |= {"models": [*map(asdict, found.models)], "trials": [*map(asdict, found.trials)]}
        click.echo(json.dumps(plain(raw), indent=2, allow_nan=False))
        return
    shown = trust.table(row)
    heads = [column.name for column in shown.columns]
    table(heads, [dict(zip(heads, cells, strict=True)) for cells in shown.rows])
    click.echo(f"On {found.device.name}, {tested_how(row)}:")
    for sentence in sentences(row):
        click.echo(sentence)
    click.echo(f"kept: {found.id}; every later report of {found.device.name} shows it", err=True)
