"""Makes evaluations out of nothing for the tests of the reports: real softmax, boxes and masks."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import wire
from tests.unit.run_builder import RunBuilder, cell

Floats = NDArray[np.float64]
CORRUPTIONS = ("noise", "blur", "contrast", "occlusion", "missing-channels", "input-quantisation")
SEVERITIES = (1, 2, 3, 4, 5)


def packed(array: Any) -> wire.Packed:
    """An array as it is on the wire."""
    values = np.asarray(array, "<f4")
    data = base64.b64encode(zlib.compress(values.tobytes())).decode()
    return {"shape": list(values.shape), "data": data}


def probabilities(
    labels: Sequence[int],
    rng: np.random.Generator,
    *,
    margin: float = 3.0,
    classes: int = 12,
    sharpness: float = 1.0,
) -> Floats:
    """Softmax of noisy logits; `margin` is what the label is ahead, `sharpness` is too sure."""
    logits = rng.standard_normal((len(labels), classes))
    logits[np.arange(len(labels)), labels] += margin
    shifted = sharpness * (logits - logits.max(axis=1, keepdims=True))
    powers = np.exp(shifted)
    found: Floats = powers / powers.sum(axis=1, keepdims=True)
    return found


def scored(
    chances: Floats,
    labels: Sequence[int] | None,
    name: str = "clean",
    kind: str = "clean",
    severity: int = 0,
    **changes: Any,
) -> wire.Scored:
    """One set as the agent reports it, from the probabilities [samples, classes]."""
    at = np.arange(len(chances))
    label = np.full(len(chances), np.nan) if labels is None else chances[at, labels]
    logs = np.log(np.maximum(chances, 1e-300))
    five = [chances.argmax(1), chances.max(1), label, (chances**2).sum(1), -(chances * logs).sum(1)]
    whole: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "severity": severity,
        "samples": len(chances),
        "reason": None,
        "seconds": 1.0,
        "classes": packed(np.stack(five, axis=1)),
        "positive": packed(chances[:, 1]) if chances.shape[1] == 2 else None,
        "boxes": None,
        "pixels": None,
    } | changes
    return whole  # type: ignore[return-value]


def unscored(name: str, kind: str, severity: int = 0, **changes: Any) -> wire.Scored:
    """A set without class probabilities."""
    empty = scored(np.ones((1, 1)), None, name, kind, severity)
    whole: dict[str, Any] = {**empty, "classes": None, "samples": 0, **changes}
    return whole  # type: ignore[return-value]


def best_five(chances: Floats) -> list[list[int]]:
    """The best classes of each sample as the agent reports them."""
    order: list[list[int]] = np.argsort(-chances, axis=1, kind="stable")[:, :5].tolist()
    return order


def add_classifier(
    made: RunBuilder,
    of: wire.Cell,
    *,
    margin: float,
    sharpness: float = 1.0,
    robust: float = 1.0,
    samples: int | None = None,
    tried: Sequence[tuple[str, int]] = (),
    strange: Sequence[str] = (),
    seed: int = 5,
) -> None:
    """An evaluation of a classifier; each severity takes from its margin, less if it is robust.

    The noise of the logits is the same for all classifiers of a seed, as it is of the samples.
    """
    labels = made.labels or []
    first = labels[: samples or len(labels)]
    classes = max(labels) + 1
    chances = probabilities(
        labels, np.random.default_rng(seed), margin=margin, sharpness=sharpness, classes=classes
    )
    sets = [scored(chances, labels)]
    for at, (name, severity) in enumerate(tried):
        ahead = margin - 0.5 * severity / robust
        rng = np.random.default_rng(seed + at // 5)
        corrupted = probabilities(first, rng, margin=ahead, sharpness=sharpness, classes=classes)
        sets.append(scored(corrupted, first, name, "corruption", severity))
    for name in strange:
        rng = np.random.default_rng(seed + 99)
        nowhere = probabilities([0] * 150, rng, margin=0.0, sharpness=sharpness, classes=classes)
        sets.append(scored(nowhere, None, name, "ood"))
    made.add_evaluation(
        of, 1.0, top=best_five(chances), sets=sets, scores="logits", inputs_sha256="ab" * 32
    )


def robust_study(samples: int = 400, classes: int = 12, launches: int = 2) -> RunBuilder:
    """Three variants in two runtimes, under six corruptions at five severities, and a stranger."""
    made = RunBuilder(launches=launches, labels=[at % classes for at in range(samples)])
    made.study["baseline"] = "dense"
    tried = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    variants = {
        "dense": {"margin": 4.2},
        "int8": {"margin": 4.1, "sharpness": 1.6},
        "pruned-70": {"margin": 3.4, "robust": 0.8},
    }
    for runtime in ("onnxruntime", "openvino"):
        for variant, how in variants.items():
            of = cell(variant, runtime)
            made.add_cell(of)
            add_classifier(made, of, **how, tried=tried, strange=["faces"])  # type: ignore[arg-type]
        made.add_group(runtime, {cell(variant, runtime)["id"]: 2.0 for variant in variants})
    for variant in variants:
        made.add_artifact(variant, 1_000_000)
    return made


def two_classes(samples: int = 400) -> RunBuilder:
    """A dense and a smaller model of two classes."""
    made = RunBuilder(launches=2, labels=[at % 2 for at in range(samples)])
    for variant, margin in {"dense": 2.0, "small": 1.5}.items():
        made.add_cell(cell(variant))
        made.add_artifact(variant, 1000)
        add_classifier(made, cell(variant), margin=margin)
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("small")["id"]: 1.0})
    return made


def boxes(
    truths: Sequence[Sequence[Sequence[float]]],
    rng: np.random.Generator,
    *,
    found: float,
    near: float,
) -> list[list[list[float]]]:
    """What a detector finds: a share of the truths, each off by some pixels, and false boxes."""
    told = []
    for sample in truths:
        mine = []
        for cls, *corners in sample:
            if rng.random() < found:
                moved = np.asarray(corners) + near * rng.standard_normal(4)
                mine.append([cls, float(rng.uniform(0.3, 1)), *moved.tolist()])
        for _ in range(rng.poisson(1.5)):
            x, y, side = rng.uniform(0, 80), rng.uniform(0, 80), rng.uniform(5, 20)
            score = float(rng.uniform(0, 0.6))
            mine.append([float(rng.integers(0, 3)), score, x, y, x + side, y + side])
        told.append(sorted(mine, key=lambda box: -box[1]))
    return told


def true_boxes(samples: int, rng: np.random.Generator) -> list[list[list[float]]]:
    """One to three boxes a sample, of three classes."""
    made = []
    for _ in range(samples):
        corners = rng.uniform(0, 70, (int(rng.integers(1, 4)), 2))
        made.append(
            [[float(rng.integers(0, 3)), x, y, x + 25, y + 25] for x, y in corners.tolist()]
        )
    return made


def detectors(samples: int = 120) -> RunBuilder:
    """A dense and a smaller detector."""
    rng = np.random.default_rng(3)
    made = RunBuilder(launches=2, labels=None, boxes=true_boxes(samples, rng))
    for variant, found in {"dense": 0.9, "small": 0.75}.items():
        made.add_cell(cell(variant))
        made.add_artifact(variant, 1000)
        told = boxes(made.boxes or [], np.random.default_rng(4), found=found, near=1.5)
        clean = unscored("clean", "clean", samples=samples, boxes=told)
        noisy = unscored("noise", "corruption", 3, samples=samples, boxes=told)
        made.add_evaluation(cell(variant), 1.0, top=None, sets=[clean, noisy])
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("small")["id"]: 1.0})
    return made


def segmenters(samples: int = 120) -> RunBuilder:
    """A dense and a smaller segmentation."""
    made = RunBuilder(launches=2, labels=None)
    for variant, share in {"dense": 0.9, "small": 0.8}.items():
        rng = np.random.default_rng(4)
        right = rng.binomial(200, share, (samples, 3))
        pixels = [
            [[cls, int(hit), int(200 - hit) // 2, int(200 - hit)] for cls, hit in enumerate(sample)]
            for sample in right
        ]
        made.add_cell(cell(variant))
        made.add_artifact(variant, 1000)
        clean = unscored("clean", "clean", samples=samples, pixels=pixels)
        made.add_evaluation(cell(variant), 1.0, top=None, sets=[clean])
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("small")["id"]: 1.0})
    return made
