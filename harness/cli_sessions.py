"""The commands that hold stored runs against each other: `edgeproof compare`, `history`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import completion
from harness.cli_shared import PAGE_FORMS, path_type, show, store_option
from harness.documents import nearest, unknown
from harness.errors import InputError

if TYPE_CHECKING:
    from reports.run import Run


def form_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a page that is made of several runs."""
    options = (
        click.option("--anchor", metavar="VARIANT", help="The pinned variant. Default: baseline."),
        click.option("--format", "form", type=click.Choice(PAGE_FORMS), help="Default: tables."),
        click.option("-o", "--output", type=path_type, help="Write to this file instead."),
        store_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("first", shell_complete=completion.runs)
@click.argument("second", shell_complete=completion.runs)
@form_options
def compare(
    first: str,
    second: str,
    url: str | None,
    anchor: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """What changed from one stored run to another.

    From FIRST to SECOND, cell by cell, with what differs around them first.

    Exit code 0 when they can be compared, 2 when they cannot: other board, governor, kernel,
    runtime, heat. What is exactly known of both is shown all the same.

    \b
    edgeproof compare kws-20261114-101500-3f2a latest
    edgeproof compare kws-20261114-101500-3f2a latest --anchor reference
    edgeproof compare kws-20261114-101500-3f2a latest --format html -o changes.html
    """
    from harness.store import Store
    from reports.sessions import compare_page, compared

    store = Store(url)
    ids = store.resolve(first), store.resolve(second)
    if ids[0] == ids[1]:
        raise InputError(
            "the same run twice", where=ids[0], next_step=f"edgeproof compare OTHER_RUN {ids[0]}"
        )
    runs = store.load(ids[0]), store.load(ids[1])
    _check_variant(anchor, *runs)
    found = compared.build(*runs, anchor)
    show(found, compare_page.title(found), compare_page.sections(found), form, output)
    if not found["comparable"]:
        raise InputError(
            f"their times cannot be compared: {found['refusal']}",
            where=" and ".join(ids),
            next_step=found["next_step"],
        )


@click.command()
@click.argument("name", metavar="[STUDY|RUN]", required=False, shell_complete=completion.past)
@click.option(
    "--variant",
    shell_complete=completion.variants,
    help="The variant to follow. Default: an overview of all.",
)
@click.option(
    "--device", help="The device to follow it on. Default: all of an overview, or the only one."
)
@click.option("--metric", default="latency_p50_ms", show_default=True, help="As gates name it.")
@form_options
def history(
    name: str | None,
    variant: str | None,
    device: str | None,
    metric: str,
    url: str | None,
    anchor: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """A metric over the stored runs of a study.

    Of one variant on one device as a ratio to an anchor, or at one glance of all that a study, or
    without a name the whole lab, has measured. The anchor is a file that every run measured beside
    it, by default the study's baseline: what moves both is the surroundings. Changes of level are
    nominated, with what differed around them and the command that measures both sides again in
    turns.

    \b
    edgeproof history
    edgeproof history kws --device pi5
    edgeproof history kws --variant slim-int8 --device pi5
    edgeproof history latest --variant slim-int8 --metric latency_p95_ms --anchor reference
    edgeproof history kws --variant slim-int8 --format html -o history.html
    """
    from harness import past
    from harness.store import LATEST, Store
    from reports.sessions import history_page, overview_page

    store = Store(url)
    past.check_metric(metric)
    if variant is None:
        found = past.overview(store, name, device, metric, anchor)
        show(found, overview_page.title(found), overview_page.sections(found), form, output)
    else:
        found = past.of_variant(store, name or LATEST, variant, device, metric, anchor)
        show(found, history_page.title(found), history_page.sections(found), form, output)


def _check_variant(name: str | None, *runs: Run) -> None:
    """Refuse a variant that one of the runs does not have."""
    for run in runs:
        known = list(run.study.get("variants") or {})
        if name is not None and name not in known:
            meant = f"give --anchor {nearest(name, known) or min(known, default='VARIANT')}"
            raise InputError(unknown("variant", name, known), where=run.id, next_step=meant)
