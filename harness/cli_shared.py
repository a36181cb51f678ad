"""What the commands share: arguments, tables, the way to a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import InputError

EXIT_PASS, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_DEVICE = 0, 1, 3, 4
# As the shell has it for SIGINT, and as sysexits.h has it for a fault in the program itself: an
# uncaught exception would end with 1, which says that a gate failed.
EXIT_STOPPED, EXIT_BUG = 130, 70
INVENTORY = "inventory.yaml"
# How a file ends -> the form of the report that it takes; reports.render takes long to import.
FORMS = {
    ".csv": "csv",
    ".html": "html",
    ".json": "json",
    ".md": "md",
    ".parquet": "parquet",
    ".xml": "junit",
}

path_type = click.Path(exists=False, path_type=Path)
store_option = click.option(
    "--store", "url", metavar="URL", help="Database of results. Default: SQLite in the data folder."
)
inventory_option = click.option(
    "--inventory",
    type=path_type,
    help=f"The lab's devices. Default: {INVENTORY} beside the study or in this folder, if any.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def table(
    columns: Sequence[str], rows: Sequence[dict[str, str]], whole: Sequence[str] = ()
) -> None:
    """Print rows under the columns that they have; those that are `whole` are never folded."""
    shown = Table()
    for column in columns:
        shown.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        shown.add_row(*(escape(row[column]) for column in columns))
    Console().print(shown)


def found_inventory(folder: Path) -> Path | None:
    """The inventory beside a study, or in this folder."""
    candidates = [folder / INVENTORY, Path(INVENTORY)]
    return next((path for path in candidates if path.is_file()), None)


def form_of(output: Path) -> str:
    """The form of the report that a file's name asks for."""
    form = FORMS.get(output.suffix.lower())
    if form is None:
        raise click.UsageError(f"{output.name} ends in none of {', '.join(FORMS)}: give --format")
    return form


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
