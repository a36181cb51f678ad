"""The built variants of a study: parents first, each file pruned, converted, quantised, checked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import artifact, family
from harness.artifact import Artifact
from harness.dataset import Recipe
from harness.documents import unknown
from harness.errors import InputError
from harness.study import Study
from harness.variant import Variant, suffix
from harness.variants import half, manifest, samples
from harness.variants.convert import convert
from harness.variants.densify import densify
from harness.variants.manifest import Manifest, ParityCheck
from harness.variants.network import Feeds
from harness.variants.networks import open_network
from harness.variants.outputs import outputs
from harness.variants.parity import check
from harness.variants.prune import Pruned, opened, prune, size, widened
from harness.variants.quantize import quantize
from harness.variants.recipe import Calibration, Prune, Quantize

PARITY_SAMPLES = 32


@dataclass(frozen=True)
class Task:
    """One file of one variant that is to be built."""

    study: Study
    name: str
    format: str

    @property
    def variant(self) -> Variant:
        """Return the variant that the file is of."""
        return self.study.variants[self.name]

    @property
    def target(self) -> Path:
        """Return where the file goes."""
        return self.study.model_path(self.name, self.format)

    @property
    def source_format(self) -> str:
        """Return the parent's format that the file is made from."""
        return family.source_format(self.study.variants, self.name, self.format) or self.format

    @property
    def source(self) -> Path:
        """Return the parent's file."""
        return self.study.model_path(self.variant.parent or "", self.source_format)

    def calibration(self, step: Prune | Quantize | None) -> Calibration | None:
        """Return the samples that a step is calibrated with: its own, or the study's."""
        return (step.calibration if step else None) or self.study.calibration

    @property
    def place(self) -> str:
        """Return what messages call the file."""
        return f"{self.study.name}: {self.name} ({self.format})"

    def stale(self) -> str | None:
        """Say why the file must be built (again); null when it is what the study asks for."""
        if not self.target.is_file():
            return "it has not been built"
        try:
            made = manifest.read(self.target)
        except InputError as error:
            return f"its manifest cannot be used: it {error.what}"
        return self._other_recipe(made) or self._other_files(made)

    def _other_recipe(self, made: Manifest) -> str | None:
        ask = self.variant
        asked = (self.name, ask.parent, ask.prune, ask.quantize, ask.densify)
        done = (made.variant, made.parent.variant, made.prune, made.quantize, made.densify)
        if done != asked:
            return "the study's recipe has changed"
        if made.calibration != _calibration(self):
            return "the calibration samples have changed"
        if made.given_mask != _given_mask(self):
            return "the mask that it is pruned by has changed"
        return None

    def _other_files(self, made: Manifest) -> str | None:
        if made.parent.sha256 != artifact.inspect(self.source, self.source_format).sha256:
            return f"{self.variant.parent} has changed"
        parts = {self.target.with_suffix(end): sha256 for end, sha256 in made.parts.items()}
        if made.mask:
            parts[self.target.with_name(made.mask.file)] = made.mask.sha256
        for path, sha256 in parts.items():
            if not path.is_file() or manifest.sha256_of(path) != sha256:
                return f"{path.name} was changed or removed after it had been built"
        return None


def tasks(study: Study, names: Sequence[str] = ()) -> list[Task]:
    """List the files to build for these variants (default: all) and what they are made from."""
    for name in names:
        if name not in study.variants:
            raise InputError(
                unknown("variant", name, study.variants),
                where=study.name,
                next_step="name a variant of the study",
            )
    ordered: dict[str, None] = {}
    for name in names or study.variants:
        ordered.update(dict.fromkeys(reversed(family.lineage(study.variants, name))))
    return [
        Task(study, name, format)
        for name in ordered
        if study.variants[name].built
        for format in study.variants[name].model
    ]


def check_fresh(study: Study) -> None:
    """Refuse to measure files that are not what the study says; raises InputError."""
    for task in tasks(study):
        reason = task.stale()
        if reason:
            raise InputError(
                f"cannot be measured as it is: {reason}",
                where=str(task.target),
                next_step="edgeproof variants build STUDY",
            )


def build(
    study: Study, names: Sequence[str], say: Callable[[str], None], force: bool = False
) -> Iterator[Manifest]:
    """Build what is missing or stale, parents first; yields the manifest of every file."""
    for task in tasks(study, names):
        reason = "asked to" if force else task.stale()
        if reason is None:
            yield manifest.read(task.target)
            continue
        say(f"{task.name} ({task.format}): {reason}")
        yield _built(task)


@dataclass
class _Work:
    """A file on its way: where it is now, and what was done and checked so far."""

    path: Path
    format: str
    pruned: Pruned | None = None
    widened: bool = False
    checks: list[ParityCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _built(task: Task) -> Manifest:
    source = artifact.inspect(task.source, task.source_format)
    with tempfile.TemporaryDirectory(prefix="edgeproof-build-") as scratch:
        feeds, real = _parity_samples(task)
        work = _Work(task.source, task.source_format)
        _prune(task, work, Path(scratch), feeds, real)
        _open(task, work, Path(scratch), feeds, real)
        _convert(task, work, Path(scratch), feeds, real)
        _quantise(task, work, Path(scratch), feeds, real)
        _densify(task, work, Path(scratch), feeds)
        _store(task, work, Path(scratch), feeds, real)
        _place(task, work)
        made = _manifest(task, work, source)
        manifest.write(made, task.target)
        return made


def _prune(task: Task, work: _Work, scratch: Path, feeds: Feeds, real: bool) -> None:
    ask = task.variant.prune
    if ask is None:
        return
    if ask.mask and _given_mask(task):
        ask = ask.model_copy(update={"mask": str(task.study.folder / ask.mask)})
    source, target = work.path, scratch / f"pruned{suffix(work.format)}"
    calibration = _feeds(task, ask) if ask.needs_samples else None
    work.pruned = prune(source, work.format, target, ask, calibration, feeds)
    work.path, work.widened = target, work.pruned.widened
    work.notes += work.pruned.notes
    work.checks += [ParityCheck.of(step, found, real) for step, found in work.pruned.parity.items()]


def _open(task: Task, work: _Work, scratch: Path, feeds: Feeds, real: bool) -> None:
    """Of a variant to which nothing else is done: the parent as all that are pruned see it."""
    ask = task.variant
    if ask.prune or ask.quantize or ask.densify or work.format != task.format:
        return
    target = scratch / f"plain{suffix(work.format)}"
    again, parity = opened(work.path, work.format, target, feeds)
    work.checks.append(ParityCheck.of("opening", parity, real))
    work.path, work.widened = again, widened(work.path, again)


def _convert(task: Task, work: _Work, scratch: Path, feeds: Feeds, real: bool) -> None:
    if work.format == task.format:
        return
    target = scratch / f"converted{suffix(task.format)}"
    work.notes += convert(work.path, work.format, task.format, target)
    found = check(
        outputs(work.path, work.format, feeds),
        outputs(target, task.format, feeds),
        "exact",
        task.place,
    )
    work.checks.append(ParityCheck.of(f"{work.format} to {task.format}", found, real))
    work.path, work.format = target, task.format


def _quantise(task: Task, work: _Work, scratch: Path, feeds: Feeds, real: bool) -> None:
    ask = task.variant.quantize
    if ask is None:
        return
    target = scratch / f"{ask.to}{suffix(task.format)}"
    if ask.to == "fp16":
        work.notes += half.halve(work.path, task.format, target)
    else:
        work.notes += quantize(work.path, task.format, target, ask, _feeds(task, ask))
    found = check(
        outputs(work.path, task.format, feeds),
        outputs(target, task.format, feeds),
        "half" if ask.to == "fp16" else "integer",
        task.place,
    )
    work.checks.append(ParityCheck.of(ask.to, found, real))
    work.path = target


def _store(task: Task, work: _Work, scratch: Path, feeds: Feeds, real: bool) -> None:
    """Store the weights sparsely where the recipe says so, and only where that is safe."""
    ask = task.variant.prune
    if ask is None or ask.store == "dense":
        return
    from harness.variants import sparse_tflite  # needs ai-edge-litert, other formats do not

    target = scratch / f"sparse{suffix(task.format)}"
    work.notes += sparse_tflite.write(work.path, target, task.place)
    found = check(
        outputs(work.path, task.format, feeds),
        outputs(target, task.format, feeds),
        "exact",
        task.place,
    )
    work.checks.append(ParityCheck.of("sparse tensors", found, real))
    work.path = target


def _densify(task: Task, work: _Work, scratch: Path, feeds: Feeds) -> None:
    """Parity means nothing here: the twin computes something else, by the same graph."""
    if not task.variant.densify:
        return
    target = scratch / f"twin{suffix(task.format)}"
    work.notes += densify(work.path, task.format, target, feeds)
    work.path = target


def _place(task: Task, work: _Work) -> None:
    """Bring the finished files, companions and mask to where the study has them."""
    task.target.parent.mkdir(parents=True, exist_ok=True)
    for old in (manifest.path_of(task.target), manifest.mask_of(task.target)):
        old.unlink(missing_ok=True)  # a manifest must never lie beside another file than its own
    for part in artifact.inspect(work.path, task.format).files:
        _copy(part, task.target.with_suffix(part.suffix))
    if work.pruned:
        _copy(work.pruned.mask, manifest.mask_of(task.target))


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that it appears whole or not at all."""
    draft = target.with_name(target.name + ".part")
    shutil.copyfile(source, draft)
    draft.replace(target)


def _manifest(task: Task, work: _Work, source: Artifact) -> Manifest:
    made = artifact.inspect(task.target, task.format)
    pruned, mask = work.pruned, manifest.mask_of(task.target)
    before = pruned.before if pruned else _size(task)
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
        calibration=_calibration(task),
        widened=work.widened,
        parity=tuple(work.checks),
        mask=manifest.Mask(file=mask.name, sha256=manifest.sha256_of(mask)) if pruned else None,
        given_mask=_given_mask(task),
        tools=manifest.tools(),
        notes=tuple(work.notes),
    )


def _size(task: Task) -> manifest.Size | None:
    """Parameters and MACs of a file that is converted or quantised only: those of its source."""
    if task.variant.densify:
        return None  # its parent's, which may be quantised
    return size(open_network(task.source, task.source_format))


def _calibration(task: Task) -> manifest.SampleSource | None:
    prune, quantise = task.variant.prune, task.variant.quantize
    steps = (
        prune if prune and prune.needs_samples else None,
        quantise if quantise and quantise.to == "int8" else None,
    )
    used = [found for step in steps if step and (found := task.calibration(step))]
    if not used:
        return None
    path = task.study.folder / used[0].file
    return manifest.SampleSource(
        file=used[0].file,
        sha256=manifest.sha256_of(path),
        samples=used[0].samples,
        inputs=used[0].keys,
        preprocess=tuple(_recipe(task) or ()),
    )


def _given_mask(task: Task) -> manifest.Mask | None:
    prune = task.variant.prune
    if prune is None or prune.mask is None:
        return None
    path = task.study.folder / prune.mask
    if not path.is_file():
        advice = f"correct `mask:` of {task.name}"
        raise InputError("no such mask", where=str(path), next_step=advice)
    return manifest.Mask(file=prune.mask, sha256=manifest.sha256_of(path))


def _feeds(task: Task, step: Prune | Quantize) -> Feeds:
    calibration = task.calibration(step)
    if calibration is None:
        raise InputError(
            "needs calibration samples",
            where=f"{task.study.name}: {task.name}",
            next_step="give the study `calibration: {file: FILE.npz, inputs: KEY, samples: 100}`",
        )
    path = task.study.folder / calibration.file
    return samples.load(path, calibration.keys, calibration.samples, _recipe(task))


def _parity_samples(task: Task) -> tuple[Feeds, bool]:
    """Return samples for the parity checks, and whether they are real ones."""
    given = task.calibration(task.variant.quantize) or task.calibration(task.variant.prune)
    if given:
        count = min(given.samples, PARITY_SAMPLES)
        path = task.study.folder / given.file
        return samples.load(path, given.keys, count, _recipe(task)), True
    dataset = task.study.dataset
    if dataset:
        path = task.study.folder / dataset.file
        return samples.load(path, dataset.keys, PARITY_SAMPLES, _recipe(task)), True
    shapes = task.variant.shapes
    return samples.random(task.source, task.source_format, shapes), False


def _recipe(task: Task) -> Recipe | None:
    dataset = task.study.dataset
    return list(dataset.preprocess) if dataset and dataset.preprocess else None
