"""The commands of the first minutes: `edgeproof init` and `edgeproof schema`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli_shared import path_type, write
from harness.errors import InputError

SCHEMAS = ("study", "inventory", "profile")


@click.command()
@click.argument("models", type=path_type, nargs=-1, required=True)
@click.option(
    "-o", "--output", type=path_type, default=Path("study.yaml"), show_default=True, help="File."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=["local"],
    show_default=True,
    help="A device of the inventory; repeatable.",
)
def init(models: Sequence[Path], output: Path, devices: Sequence[str]) -> None:
    """Write a commented study for the model files MODELS, the baseline's first.

    \b
    edgeproof init net.onnx
    edgeproof init dense.onnx dense.tflite int8.tflite --device pi5 -o kws.yaml
    """
    from harness.proposal import propose
    from harness.study import load_study

    if output.exists():
        raise InputError(
            "is there already",
            where=str(output),
            next_step="give another file with -o, or move it away",
        )
    write(output, propose(models, output, devices))
    load_study(output)
    click.echo(f"wrote {output}; next: edgeproof run {output}")


@click.command()
@click.argument("kind", type=click.Choice(SCHEMAS))
def schema(kind: str) -> None:
    """Print the JSON Schema of a study, an inventory or a device profile, for editors.

    \b
    edgeproof schema study > study.schema.json
    # and as the first line of study.yaml:
    # yaml-language-server: $schema=study.schema.json
    """
    from harness.schemas import of

    click.echo(json.dumps(of(kind), indent=2))
