"""The commands of the first minutes: `edgeproof init` and `edgeproof schema`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from harness import completion
from harness.cli_shared import STUDY, found_inventory, path_type, write
from harness.devices import LOCAL, load_inventory
from harness.errors import InputError

SCHEMAS = ("study", "inventory", "profile", "report")


@click.command()
@click.argument("models", type=path_type, nargs=-1, required=True)
@click.option(
    "-o", "--output", type=path_type, default=Path(STUDY), show_default=True, help="File."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    shell_complete=completion.devices,
    help="A device of the inventory; repeatable. Default: all of it, or local without one.",
)
def init(models: Sequence[Path], output: Path, devices: Sequence[str]) -> None:
    """Write a commented study for model files.

    MODELS are the variants; the first is the baseline, which the others are compared with.

    \b
    edgeproof init net.onnx
    edgeproof init dense.onnx dense.tflite int8.tflite --device pi5 -o kws.yaml
    """
    from harness.proposal import propose
    from harness.study import load_study

    lab = [name for name in load_inventory(found_inventory(output.parent)) if name != LOCAL]
    text = propose(models, output, devices or lab or [LOCAL])
    if output.exists():
        raise InputError(
            "is there already",
            where=str(output),
            next_step="give another file with -o, or move it away",
        )
    write(output, text)
    load_study(output)
    missing = [name for name in devices if name not in {LOCAL, *lab}]
    steps = [f"edgeproof devices add {name} USER@HOST" for name in missing]
    here = not (devices or lab)
    how = " for this machine (a board: edgeproof devices add NAME USER@HOST)" if here else ""
    click.echo(f"wrote {output}{how}; next: {', then '.join(steps or [f'edgeproof run {output}'])}")


@click.command()
@click.argument("kind", type=click.Choice(SCHEMAS))
def schema(kind: str) -> None:
    """Print a JSON Schema of a file or of a report.

    Editors check YAML by it, programs the JSON of a report.

    \b
    edgeproof schema study > study.schema.json
    # and as the first line of study.yaml:
    # yaml-language-server: $schema=study.schema.json
    """
    from harness.schemas import of

    click.echo(json.dumps(of(kind), indent=2))
