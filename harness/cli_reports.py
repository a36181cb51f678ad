"""The commands that read stored runs: `edgeproof report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness import completion
from harness.cli_shared import FORMS, Screen, form_of, path_type, rendered, store_option, write


@click.command()
@click.argument("run", default="latest", shell_complete=completion.runs)
@store_option
@click.option("--format", "form", type=click.Choice(list(FORMS.values())), help="Default: a table.")
@click.option("-o", "--output", type=path_type, help="Write to this file instead.")
@click.option("--pictures", is_flag=True, help="Of Markdown: draw the charts, in files beside it.")
def report(
    run: str, url: str | None, form: str | None, output: Path | None, pictures: bool
) -> None:
    """Show a stored RUN again: its id, or `latest`.

    \b
    edgeproof report
    edgeproof report latest --format html -o report.html
    edgeproof report latest -o report.md --pictures
    edgeproof report kws-20261121-101500-3f2a --format json | jq .comparisons
    """
    from harness.devices import prices
    from harness.releases import with_release
    from harness.store import Store
    from reports import document, render

    store = Store(url)
    stored = with_release(store, store.load(store.resolve(run)))
    found = document.build(stored, prices(stored))
    form = form or (form_of(output) if output else None)
    if form is None:
        render.terminal(found, Screen())
        return
    if pictures and (output is None or form != "md"):
        raise click.UsageError("--pictures goes with Markdown in a file: -o report.md --pictures")
    options = {"pictures": _drawn(found, output)} if pictures and output else {}
    content = rendered(found, form, **options)
    if output is None:
        sys.stdout.flush()
        click.echo(content, nl=False)
        return
    write(output, content)
    click.echo(f"report: {output}", err=True)


def _drawn(found: dict[str, Any], output: Path) -> str:
    """Draw the charts in a folder beside the report; returns its name."""
    from reports import render

    folder = output.with_name(f"{output.stem}_files")
    for name, content in render.charts(found).items():
        write(folder / name, content)
    return folder.name
