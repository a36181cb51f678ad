"""The commands that read stored runs: `edgeproof report`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from harness.cli_shared import path_type, store_option, write

FORMATS = ("csv", "html", "json", "md")


@click.command()
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
    write(output, text)
    click.echo(f"report: {output}", err=True)


def _form_of(output: Path) -> str:
    suffix = output.suffix.lstrip(".")
    if suffix not in FORMATS:
        raise click.UsageError(f"--format is needed: {output.name} has none of its suffixes")
    return suffix
