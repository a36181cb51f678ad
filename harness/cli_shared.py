"""What the commands share: arguments, tables, the way to a store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import InputError

if TYPE_CHECKING:
    from reports.forms import Sections

EXIT_PASS, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_DEVICE = 0, 1, 3, 4
# As the shell has it for SIGINT, and as sysexits.h has it for a fault in the program itself: an
# uncaught exception would end with 1, which says that a gate failed.
EXIT_STOPPED, EXIT_BUG = 130, 70
EXIT_PIPE = 141  # as the shell has it for SIGPIPE: nobody reads what is printed
INVENTORY, STUDY = "inventory.yaml", "study.yaml"
# How a file ends -> the form of the report that it takes; reports.render takes long to import.
FORMS = {
    ".csv": "csv",
    ".html": "html",
    ".json": "json",
    ".md": "md",
    ".parquet": "parquet",
    ".xml": "junit",
}

# Those of a page that is made of several runs.
PAGE_FORMS = ("html", "json", "md")

path_type = click.Path(exists=False, path_type=Path)
store_option = click.option(
    "--store", "url", metavar="URL", help="Database of results. Default: SQLite in the data folder."
)
inventory_option = click.option(
    "--inventory",
    type=path_type,
    help=f"The lab's devices. Default: {INVENTORY} beside the study or in this folder, if any.",
)
progress_option = click.option(
    "--progress",
    "mode",
    type=click.Choice(["auto", "plain", "none"]),
    default="auto",
    show_default=True,
    help="How to show progress on standard error.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Screen(Console):
    """Standard output."""

    def on_broken_pipe(self) -> None:
        """Let whoever called know; rich would exit with 1, which says that a gate failed."""
        raise BrokenPipeError


def table(
    columns: Sequence[str], rows: Sequence[dict[str, str]], whole: Sequence[str] = ()
) -> None:
    """Print rows under the columns that they have; those that are `whole` are never folded."""
    shown = Table()
    for column in columns:
        shown.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        shown.add_row(*(escape(row[column]) for column in columns))
    Screen().print(shown)


def found_inventory(folder: Path) -> Path | None:
    """The inventory beside a study, or in this folder."""
    candidates = [folder / INVENTORY, Path(INVENTORY)]
    return next((path for path in candidates if path.is_file()), None)


def form_of(output: Path, forms: Collection[str] = tuple(FORMS.values())) -> str:
    """The form, one of `forms`, that a file's name asks for."""
    suffixes = [suffix for suffix, form in FORMS.items() if form in forms]
    if output.suffix.lower() not in suffixes:
        known = ", ".join(suffixes)
        raise click.UsageError(f"{output.name} ends in none of {known}: give --format")
    return FORMS[output.suffix.lower()]


def show(
    document: dict[str, Any],
    title: str,
    sections: Sections,
    form: str | None,
    output: Path | None,
) -> None:
    """Show what was made of several runs: as tables, or in a form, printed or in a file."""
    from reports import forms, render

    form = form or (form_of(output, PAGE_FORMS) if output else None)
    if form is None:
        forms.to_terminal(sections, Screen())
        return
    name = document["schema"].removeprefix("edgeproof.").partition("/")[0]
    data = render.json_text(document)
    made = {
        "html": lambda: forms.to_html(sections, title, {f"{name}.json": data}),
        "json": lambda: data,
        "md": lambda: forms.to_markdown(sections, title),
    }[form]()
    if output is None:
        click.echo(made, nl=False)
        return
    write(output, made)
    click.echo(f"{name}: {output}", err=True)


def rendered(document: dict[str, Any], form: str, **options: Any) -> str | bytes:
    """A report in a form; says what to install for one that needs more."""
    from reports import render

    try:
        return render.FORMS[form](document, **options)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the form {form} needs the package {error.name}",
            next_step=f"pip install 'edgeproof[{form}]'",
        ) from None


def write(path: Path, content: str | bytes) -> None:
    """Write a file, and its folder where there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            next_step="edgeproof report latest -o ANOTHER_PATH",
        ) from None
