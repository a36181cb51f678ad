"""What the commands share: arguments, tables, the way to a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import InputError

EXIT_PASS, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_DEVICE = 0, 1, 3, 4
INVENTORY = "inventory.yaml"

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


def write(path: Path, text: str) -> None:
    """Write a text, and its folder where there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            next_step="edgeproof report latest -o ANOTHER_PATH",
        ) from None
