"""The commands that read stored runs: `edgeproof report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from harness.cli_shared import FORMS, form_of, path_type, rendered, store_option, write


@click.command()
@click.argument("run", default="latest")
@store_option
@click.option("--format", "form", type=click.Choice(list(FORMS.values())), help="Default: a table.")
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
    form = form or (form_of(output) if output else None)
    if form is None:
        render.terminal(found, Console())
        return
    content = rendered(found, form)
    if output is None:
        sys.stdout.flush()
        click.echo(content, nl=False)
        return
    write(output, content)
    click.echo(f"report: {output}", err=True)
