"""The command that chooses among what was measured: `edgeproof select`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness import completion
from harness.cli_shared import PAGE_FORMS, path_type, show, store_option

PAIR = "NAME=NUMBER"


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completion.runs)
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
@click.option("--format", "form", type=click.Choice(PAGE_FORMS), help="Default: tables.")
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
    """Choose hardware, runtime and variant.

    Among what each RUN measured, by default the latest.
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
    from reports.selection import page

    options = {"max": most, "min": least, "objective": objective, "price": price, "watts": watts}
    asked = load_requirements(requirements) if requirements else Requirements()
    asked = asked.with_options(from_options(options, delta))
    found = selected(Store(url), runs or ("latest",), asked)
    show(found, page.title(found), page.sections(found), form, output)
