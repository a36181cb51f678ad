"""The command that chooses among what was measured: `edgeproof select`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from harness.cli_shared import path_type, store_option, write

FORMS = ("html", "json", "md")
PAIR = "NAME=NUMBER"


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--requirements", type=path_type, help="Constraints, objective and prices in YAML.")
@click.option("--max", "most", multiple=True, metavar=PAIR, help="A metric's upper limit.")
@click.option("--min", "least", multiple=True, metavar=PAIR, help="A metric's lower limit.")
@click.option(
    "--objective",
    multiple=True,
    metavar="METRIC[=WEIGHT]",
    help="What to be best by; repeatable. Default: latency_p95_ms.",
)
@click.option("--price", multiple=True, metavar=PAIR, help="USD of a device or profile.")
@click.option("--watts", multiple=True, metavar=PAIR, help="Power of a device or profile.")
@click.option("--delta", type=float, help="As good as the best within this share. Default: 0.05.")
@store_option
@click.option("--format", "form", type=click.Choice(["table", *FORMS]), help="Default: tables.")
@click.option("-o", "--output", type=path_type, help="Write to this file instead.")
def select(
    runs: Sequence[str],
    requirements: Path | None,
    most: Sequence[str],
    least: Sequence[str],
    objective: Sequence[str],
    price: Sequence[str],
    watts: Sequence[str],
    delta: float | None,
    url: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Choose hardware, runtime and variant among what each RUN measured (default: latest).

    Several runs of one study are sessions; devices of one profile are boards of one kind. An
    option here goes before the same in the file.

    \b
    edgeproof select --max latency_p95_ms=33 --max peak_rss_mib=350
    edgeproof select latest --requirements needs.yaml
    edgeproof select RUN1 RUN2 RUN3 --max price_usd=150 --price pi5=80 --price orin=249
    edgeproof select --objective latency_p95_ms=2 --objective price_usd=1 -o choice.html
    """
    from harness.selecting import select as selected
    from harness.selection_file import Requirements, from_options, load_requirements
    from harness.store import Store
    from reports import forms, render
    from reports.selection import page

    options = {"max": most, "min": least, "objective": objective, "price": price, "watts": watts}
    asked = load_requirements(requirements) if requirements else Requirements()
    asked = asked.with_options(from_options(options, delta))
    form = form or (_form_of(output) if output else "table")
    found = selected(Store(url), runs or ("latest",), asked)
    if form == "table":
        forms.to_terminal(page.sections(found), Console())
        return
    sections, title, data = page.sections(found), page.title(found), render.json_text(found)
    made = {
        "html": lambda: forms.to_html(sections, title, {"selection.json": data}),
        "json": lambda: data,
        "md": lambda: forms.to_markdown(sections, title),
    }[form]()
    if output is None:
        click.echo(made, nl=False)
        return
    write(output, made)
    click.echo(f"selection: {output}", err=True)


def _form_of(output: Path) -> str:
    suffix = output.suffix.lstrip(".")
    if suffix not in FORMS:
        raise click.UsageError(f"{output.name} ends in none of .{', .'.join(FORMS)}: give --format")
    return suffix
