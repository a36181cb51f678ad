"""The built variants of a study: parents first, each file pruned, converted, quantised, checked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import artifact
from harness.artifact import Artifact
from harness.errors import InputError
from harness.study import Study
from harness.variant import suffix
from harness.variants import half, manifest, samples
from harness.variants.convert import convert
from harness.variants.densify import densify
from harness.variants.files import place
from harness.variants.manifest import Manifest, ParityCheck
from harness.variants.network import Feeds
from harness.variants.networks import open_network
from harness.variants.outputs import outputs
from harness.variants.parity import Kind, check
from harness.variants.prune import Pruned, opened, prune, size, widened
from harness.variants.quantize import quantize
from harness.variants.recipe import Prune, Quantize
from harness.variants.tasks import Task, check_fresh, tasks
from harness.variants.zeros import quantised

__all__ = ["Task", "build", "check_fresh", "tasks"]
PARITY_SAMPLES = 32


def build(
    study: Study, names: Sequence[str], say: Callable[[str], None], force: bool = False
) -> Iterator[Manifest]:
    """Build what is missing or stale, parents first; yields the manifest of every file.

    A file that cannot be built stops none but those made from it; the InputError comes at the end.
    """
    failures: dict[tuple[str, str], str | InputError] = {}
    for task in tasks(study, names):
        if (task.variant.parent, task.source_format) in failures:
            failures[task.name, task.format] = f"not tried, for want of {task.variant.parent}"
            continue
        try:
            yield _up_to_date(task, say, force)
        except InputError as error:
            failures[task.name, task.format] = error
    if failures:
        raise _together(failures)


def _up_to_date(task: Task, say: Callable[[str], None], force: bool) -> Manifest:
    reason = "asked to" if force else task.stale()
    if reason is None:
        return manifest.read(task.target)
    say(f"{task.name} ({task.format}): {reason}")
    return _built(task)


def _together(failures: Mapping[tuple[str, str], str | InputError]) -> InputError:
    """Return the one error there is, or one that tells of all."""
    if len(failures) == 1:
        (only,) = failures.values()
        if isinstance(only, InputError):
            return only
    told = [f"  {name} ({format}): {_line(why)}" for (name, format), why in failures.items()]
    return InputError(
        "\n".join([f"{len(told)} files could not be built", *told]),
        next_step="put these right and build again; what has been built stays",
    )


def _line(why: str | InputError) -> str:
    return why if isinstance(why, str) else str(why).replace("\n  next: ", "; next: ")


@dataclass
class _Work:
    """A file on its way: where it is now, and what was done and checked so far."""

    path: Path
    format: str
    scratch: Path
    feeds: Feeds  # for the parity checks
    real: bool  # whether these are samples, no random values
    pruned: Pruned | None = None
    widened: bool = False
    checks: list[ParityCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def go_on(self, target: Path, format: str, kind: Kind, step: str, place: str) -> None:
        """Take up the file that a step has made, once it is seen to compute the same."""
        before = outputs(self.path, self.format, self.feeds)
        found = check(before, outputs(target, format, self.feeds), kind, place)
        self.checks.append(ParityCheck.of(step, found, self.real))
        self.path, self.format = target, format


def _built(task: Task) -> Manifest:
    source = artifact.inspect(task.source, task.source_format)
    with tempfile.TemporaryDirectory(prefix="edgeproof-build-") as scratch:
        work = _Work(task.source, task.source_format, Path(scratch), *_parity_samples(task))
        for step in (_prune, _open, _convert, _quantise, _densify, _store):
            step(task, work)
        before = work.pruned.before if work.pruned else _size(task, work)
        parts = artifact.inspect(work.path, task.format).files
        place(parts, task.target, work.pruned.mask if work.pruned else None)
        made = _manifest(task, work, source, before)
        manifest.write(made, task.target)
        return made


def _prune(task: Task, work: _Work) -> None:
    ask = task.variant.prune
    if ask is None:
        return
    if mask := task.given_mask:
        ask = ask.model_copy(update={"mask": str(task.study.folder / mask.file)})
    source, target = work.path, work.scratch / f"pruned{suffix(work.format)}"
    calibration = _feeds(task, ask) if ask.needs_samples else None
    done = work.pruned = prune(source, work.format, target, ask, calibration, work.feeds)
    work.path, work.widened = target, done.widened
    work.notes += done.notes
    work.checks += [ParityCheck.of(step, found, work.real) for step, found in done.parity.items()]


def _open(task: Task, work: _Work) -> None:
    """Of a variant to which nothing else is done: the parent as all that are pruned see it."""
    ask = task.variant
    if ask.prune or ask.quantize or ask.densify or work.format != task.format:
        return
    target = work.scratch / f"plain{suffix(work.format)}"
    again, parity = opened(work.path, work.format, target, work.feeds)
    work.checks.append(ParityCheck.of("opening", parity, work.real))
    work.path, work.widened = again, widened(work.path, again)


def _convert(task: Task, work: _Work) -> None:
    if work.format == task.format:
        return
    target = work.scratch / f"converted{suffix(task.format)}"
    work.notes += convert(work.path, work.format, task.format, target)
    kind: Kind = "integer" if quantised(work.path, work.format) else "exact"
    work.go_on(target, task.format, kind, f"{work.format} to {task.format}", task.place)


def _quantise(task: Task, work: _Work) -> None:
    ask = task.variant.quantize
    if ask is None:
        return
    target = work.scratch / f"{ask.to}{suffix(task.format)}"
    if ask.to == "fp16":
        work.notes += half.halve(work.path, task.format, target)
    else:
        work.notes += quantize(work.path, task.format, target, ask, _feeds(task, ask))
    kind: Kind = "half" if ask.to == "fp16" else "integer"
    work.go_on(target, task.format, kind, ask.to, task.place)


def _store(task: Task, work: _Work) -> None:
    """Store the weights sparsely where the recipe says so, and only where that is safe."""
    ask = task.variant.prune
    if ask is None or ask.store == "dense":
        return
    from harness.variants import sparse_tflite  # needs ai-edge-litert, other formats do not

    target = work.scratch / f"sparse{suffix(task.format)}"
    work.notes += sparse_tflite.write(work.path, target, task.place)
    work.go_on(target, task.format, "exact", "sparse tensors", task.place)


def _densify(task: Task, work: _Work) -> None:
    """Parity means nothing here: the twin computes something else, by the same graph."""
    if not task.variant.densify:
        return
    target = work.scratch / f"twin{suffix(task.format)}"
    work.notes += densify(work.path, task.format, target, work.feeds)
    work.path = target


def _manifest(task: Task, work: _Work, source: Artifact, before: manifest.Size | None) -> Manifest:
    made = artifact.inspect(task.target, task.format)
    pruned, mask = work.pruned, manifest.mask_of(task.target)
    return Manifest(
        study=task.study.name,
        variant=task.name,
        format=task.format,
        file=task.target.name,
        sha256=made.sha256,
        parts=dict(made.parts),
        bytes=made.bytes,
        parent=manifest.Parent(
            variant=task.variant.parent or "",
            format=task.source_format,
            file=task.source.name,
            sha256=source.sha256,
        ),
        prune=task.variant.prune,
        quantize=task.variant.quantize,
        densify=task.variant.densify,
        sparsity=pruned.sparsity if pruned else None,
        zeros=made.sparsity,
        before=before,
        after=pruned.after if pruned else before,
        epochs=0,
        seed=None,
        calibration=task.samples,
        widened=work.widened,
        parity=tuple(work.checks),
        mask=manifest.Mask(file=mask.name, sha256=manifest.sha256_of(mask)) if pruned else None,
        given_mask=task.given_mask,
        tools=manifest.tools(),
        notes=tuple(work.notes),
    )


def _size(task: Task, work: _Work) -> manifest.Size | None:
    """Parameters and MACs of a file that is converted or quantised only: those of its source."""
    if task.variant.densify:
        return None  # its parent's, which may be quantised
    try:
        return size(open_network(task.source, task.source_format))
    except InputError as error:
        work.notes.append(f"parameters and MACs are not known: {task.source.name} {error.what}")
        return None


def _feeds(task: Task, step: Prune | Quantize) -> Feeds:
    calibration = task.calibration(step)
    if calibration is None:
        raise InputError(
            "needs calibration samples",
            where=f"{task.study.name}: {task.name}",
            next_step="give the study `calibration: {file: FILE.npz, inputs: KEY, samples: 100}`",
        )
    path = task.study.folder / calibration.file
    return samples.load(path, calibration.keys, calibration.samples, task.preprocess)


def _parity_samples(task: Task) -> tuple[Feeds, bool]:
    """Return samples for the parity checks, and whether they are real ones."""
    given = task.calibration(task.variant.quantize) or task.calibration(task.variant.prune)
    if given:
        count = min(given.samples, PARITY_SAMPLES)
        path = task.study.folder / given.file
        return samples.load(path, given.keys, count, task.preprocess), True
    dataset = task.study.dataset
    if dataset:
        path = task.study.folder / dataset.file
        asked = (path, dataset.keys, PARITY_SAMPLES, task.preprocess)
        return samples.load(*asked, or_fewer=True), True
    shapes = task.variant.shapes
    return samples.random(task.source, task.source_format, shapes), False
