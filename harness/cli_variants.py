"""The commands `edgeproof variants` and `edgeproof models`: model files, made and checked."""

from __future__ import annotations

import filecmp
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from harness.cli_shared import (
    EXIT_FAILED,
    EXIT_PASS,
    json_option,
    path_type,
    store_option,
    table,
)
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.variants.verify import Told

BUILT_COLUMNS = ["variant", "format", "taken away", "params", "MACs", "size", "sha256"]
STUDY_SUFFIXES = (".yaml", ".yml")


@click.group()
def variants() -> None:
    """Variants: build, show, verify, list, restore.

    \b
    edgeproof variants build study.yaml
    edgeproof variants show study.yaml
    """


@variants.command("build")
@click.argument("study", type=path_type)
@click.option("--variant", "names", multiple=True, help="Only this one and what it is made from.")
@click.option("--force", is_flag=True, help="Build also what is there already as asked.")
@store_option
@json_option
def build_variants(
    study: Path, names: Sequence[str], force: bool, url: str | None, as_json: bool
) -> None:
    """Make the variants that STUDY describes with `from:`, and keep them in the store.

    One that cannot be made stops none but those made from it.

    \b
    edgeproof variants build study.yaml
    edgeproof variants build study.yaml --variant pruned-70
    """
    from harness.library import Library
    from harness.store import Store
    from harness.study import load_study
    from harness.variants import build, manifest, verify

    wanted = load_study(study, built=False)
    tasks = build.tasks(wanted, names)
    if not tasks:
        raise InputError(
            "has no variant to build",
            where=str(study),
            next_step="give a variant `from: DENSE` and `prune:` or `quantize:`",
        )
    library = Library(Store(url))
    made, failure = [], None
    try:
        for done in build.build(wanted, names, lambda line: click.echo(line, err=True), force):
            parent = done.parent
            library.keep(wanted.model_path(parent.variant, parent.format), parent.format)
            library.keep(wanted.model_path(done.variant, done.format), done.format)
            made.append(done)
    except InputError as error:
        failure = error
    for given in verify.told(wanted):
        if not given.built:  # made elsewhere, with a manifest
            library.keep(given.file, given.format)
    if as_json:
        click.echo(json.dumps([manifest.document(one) for one in made], indent=1))
    elif made:
        table(BUILT_COLUMNS, [_summary(one) for one in made], whole=["variant", "sha256"])
        _tell_kernels(made)
    if failure:
        raise failure


@variants.command("show")
@click.argument("path", type=path_type)
@json_option
def show_variants(path: Path, as_json: bool) -> None:
    """Show how a model file, or the variants of a study, were made.

    \b
    edgeproof variants show study.yaml
    edgeproof variants show variants/kws/pruned-70/pruned-70.onnx
    """
    from harness.variants import manifest

    found = [manifest.read(one.file) for one in _files(path)]
    if as_json or path.suffix.lower() not in STUDY_SUFFIXES:
        documents = [manifest.document(one) for one in found]
        whole = documents if path.suffix.lower() in STUDY_SUFFIXES else documents[0]
        click.echo(json.dumps(whole, indent=1))
    else:
        table(BUILT_COLUMNS, [_summary(one) for one in found], whole=["variant", "sha256"])
        _tell_kernels(found)


@variants.command("verify")
@click.argument("paths", type=path_type, nargs=-1, required=True)
@json_option
def verify_variants(paths: Sequence[Path], as_json: bool) -> None:
    """Compute again what manifests say: identity, zeros, masks, sizes.

    The exit code is 1 if any file differs, is damaged or missing, or was made by another recipe
    than its study has now.

    \b
    edgeproof variants verify study.yaml
    edgeproof variants verify variants/kws/*/*.onnx
    """
    rows = []
    for one in (one for path in paths for one in _files(path, built=False)):
        differs = _differences(one)
        verified = "no" if differs else "yes"
        rows.append({"file": str(one.file), "verified": verified, "differs": differs})
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        table(["file", "verified", "differs"], rows)
    sys.exit(EXIT_FAILED if any(row["differs"] for row in rows) else EXIT_PASS)


@variants.command("list")
@store_option
@json_option
def list_artifacts(url: str | None, as_json: bool) -> None:
    """List the model files that the store keeps.

    \b
    edgeproof variants list
    """
    from harness.library import Library
    from harness.store import Store

    rows: list[dict[str, Any]] = [
        {
            "sha256": item.sha256,
            "file": item.file,
            "since": item.since,
            "made from": (item.manifest or {}).get("parent", {}).get("variant", ""),
        }
        for item in Library(Store(url)).list()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        shown = [{**row, "sha256": row["sha256"][:12]} for row in rows]
        table(["sha256", "file", "made from", "since"], shown)


@variants.command("restore")
@click.argument("sha256")
@click.option("-o", "--output", type=path_type, default=Path(), help="Folder. Default: this one.")
@store_option
def restore_artifact(sha256: str, output: Path, url: str | None) -> None:
    """Write a kept model file again, with its manifest and mask: to roll a release back.

    \b
    edgeproof variants restore 3f2a9c41d07b -o release/
    """
    from harness.library import Library
    from harness.store import Store

    click.echo(str(Library(Store(url)).restore(sha256, output)))


def _differences(one: Told) -> str:
    """Say what is wrong with a file; one that cannot be read must not hide the others."""
    if not one.file.is_file():
        return "it is missing"
    try:
        return "; ".join(one.wrong())
    except InputError as error:
        return f"{error.where}: {error.what}"


def _files(path: Path, built: bool = True) -> list[Told]:
    """Return the files of a study that have a manifest, or the one model file."""
    from harness.study import load_study
    from harness.variant import SUFFIXES
    from harness.variants.verify import Told, told

    if path.suffix.lower() in STUDY_SUFFIXES:
        found = told(load_study(path, built))
        if not found:
            raise InputError(
                "has no variant with a manifest",
                where=str(path),
                next_step="give a variant `from: DENSE` and `prune:` or `quantize:`, and build it",
            )
        return found
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            "is no study and no model file",
            where=str(path),
            next_step=f"give a study.yaml, or a file that ends in {', '.join(SUFFIXES)}",
        )
    if not path.is_file():
        raise InputError("no such model file", where=str(path), next_step="correct the path")
    return [Told(path, SUFFIXES[path.suffix.lower()], built=False, parents={})]


def _summary(made: Any) -> dict[str, str]:
    reached = made.sparsity
    return {
        "variant": made.variant,
        "format": made.format,
        "taken away": f"{reached.reached:.1%} of {reached.unit}" if reached else "-",
        "params": _change(made, "parameters"),
        "MACs": _change(made, "macs"),
        "size": f"{made.bytes / 1024:,.0f} KiB",
        "sha256": made.sha256[:8],
    }


def _tell_kernels(found: Sequence[Any]) -> None:
    """Say of what is stored sparsely whether a runtime can compute sparsely."""
    for made in found:
        for note in made.notes:
            if note.startswith("sparse kernels:"):
                click.echo(f"{made.variant} ({made.format}): {note}")


def _change(made: Any, key: str) -> str:
    before, after = (getattr(size, key, None) for size in (made.before, made.after))
    if before is None or after is None:
        return "-"
    return _short(after) if before == after else f"{_short(after)} ({after / before:.0%})"


def _short(count: int) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return str(count)


@click.group()
def models() -> None:
    """Reference networks, before a model is there.

    Their weights are seeded: to size hardware by.
    """


@models.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the reference networks.

    \b
    edgeproof models list
    """
    from harness import reference

    found = [reference.describe(name) for name in reference.names()]
    if as_json:
        click.echo(json.dumps([vars(one) for one in found], indent=1, default=list))
        return
    rows = [
        {
            "name": one.name,
            "input": " x ".join(map(str, one.input)),
            "parameters": _short(one.parameters),
            "MACs": _short(one.macs),
            "after": one.source,
        }
        for one in found
    ]
    table(["name", "input", "parameters", "MACs", "after"], rows)


@models.command("build")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["onnx", "tflite"]),
    multiple=True,
    help="Default: both.",
)
@click.option("-o", "--output", type=path_type, default=Path(), help="Folder. Default: this one.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def build_models(names: Sequence[str], formats: Sequence[str], output: Path, seed: int) -> None:
    """Write reference networks NAMES as model files.

    \b
    edgeproof models build resnet18 mobilenet-v2 -o models/
    """
    from harness import reference
    from harness.variant import suffix

    wanted = [form for form in reference.FORMATS if form in formats or not formats]
    files = [(reference.describe(name).name, format) for name in names for format in wanted]
    for name, format in files:
        path = output / f"{name}{suffix(format)}"
        _build_model(name, format, path, seed)
        click.echo(str(path))


def _build_model(name: str, format: Literal["onnx", "tflite"], path: Path, seed: int) -> None:
    """Write a network; a file of the same name may be a trained one, so it must be the same."""
    from harness import reference

    if not path.exists():
        reference.build(name, format, path, seed)
        return
    with tempfile.TemporaryDirectory(prefix="edgeproof-model-") as scratch:
        made = Path(scratch) / path.name
        reference.build(name, format, made, seed)
        if not filecmp.cmp(made, path, shallow=False):
            raise InputError(
                "is there already, with other content",
                where=str(path),
                next_step="give another folder with -o, or move the file away",
            )
