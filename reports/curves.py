"""Curves: what variants are and cost against the share taken away, and where a curve holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.families import baseline_of
from reports.places import PLACE, one_each
from reports.targets import Measured, worst

Row = Mapping[str, Any]
# A trained network has a stray zero here and there, and rounding to integers makes more.
FEWEST_ZEROS = 0.05
INTEGERS = frozenset({"int8", "uint8"})
QUANTISED = frozenset({"int8", "fp16"})  # as a study names them


def curves(found: Measured) -> list[dict[str, Any]]:
    """One curve for each place and kind of pruning, with the baseline as its dense end.

    A curve has at least two points. `holds_until` is the share up to which every point is proven
    to meet all targets about accuracy, `misses_at` the share of the first that is proven to miss
    one; null without such a point. `undecided_at` lists the shares below it at which neither is.
    """
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in one_each(found.rows):
        if row["status"] != "ok":
            continue
        baseline = found.baseline(row)
        for kind, share in _places(found, row, baseline):
            key = (*(row[name] for name in PLACE), row["scenario"], baseline, kind)
            lines.setdefault(key, []).append(_point(found, row, share))
    return [
        _curve(key, sorted(points, key=lambda point: float(point["share"])))
        for key, points in _with_dense_end(lines).items()
        if len(points) > 1
    ]


def kind_of(study: Row, variant: str) -> str:
    """What was done to a variant, without how much of it: "channels", "magnitude + int8".

    What was done to those that it was made from counts too, up to its baseline.
    """
    if variant == baseline_of(study, variant):
        return ""
    found = (study.get("variants") or {}).get(variant, {})
    before = kind_of(study, found["from"]) if found.get("from") else ""
    prune, quantise = found.get("prune"), found.get("quantize")
    steps = [before, _pruning(prune) if prune else "", quantise["to"] if quantise else ""]
    return " + ".join(filter(None, steps))


def _trained(made: Row) -> str:
    """What was done in training to a file that was made elsewhere, if it took something away."""
    training = made.get("training")
    return str(training["method"]) if training and made["sparsity"] else ""


def _pruning(prune: Row) -> str:
    pattern = prune.get("pattern", "unstructured")
    words = [prune["method"], "" if pattern == "unstructured" else pattern]
    return " ".join([*filter(None, words), *(["calibrated"] if prune.get("calibrate") else [])])


def _places(found: Measured, row: Row, baseline: str) -> list[tuple[str, float]]:
    """The curves that a row is a point of, and where; a baseline is the dense end of all."""
    if row["variant"] == baseline:
        return [("", 0.0)]
    kind = kind_of(found.study, row["variant"])
    if kind in QUANTISED and not found.taken(row):
        return [(f"+ {kind}", 0.0)]
    share = found.share(row)
    kind = kind or _trained(found.manifest(row["artifact"]))
    if share is None or (not kind and not _stores_zeros(row, share)):
        return []
    return [(kind or "as given", share)]


def _stores_zeros(row: Row, share: float) -> bool:
    """Whether zeros are what was done to a file that was made elsewhere."""
    return share >= FEWEST_ZEROS and row["precision_executed"] not in INTEGERS


def _with_dense_end(
    lines: Mapping[tuple[Any, ...], list[dict[str, Any]]],
) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Give every curve its dense end: the baseline, or its quantised form for quantised ones."""
    found = {}
    for (*place, kind), points in lines.items():
        if not kind or kind.startswith("+ "):
            continue
        quantised = [f"+ {step}" for step in kind.split(" + ") if step in QUANTISED]
        end = lines.get((*place, quantised[0] if quantised else ""), [])
        found[(*place, kind)] = [*end, *points]
    return found


def _point(found: Measured, row: Row, share: float) -> dict[str, Any]:
    judged = found.judged(row)
    accuracy = [outcome for name, (outcome, _) in judged.items() if name.startswith("accuracy_")]
    return {
        "variant": row["variant"],
        "share": share,
        "cell": row["cell"],
        "top1": row["accuracy"]["top1"],
        "p50_ms": row["latency_ms"]["p50"],
        "file_bytes": row["file_bytes"],
        "compressed_bytes": row["compressed_bytes"],
        "peak_rss_mib": row["peak_rss_mib"],
        "accuracy": worst(accuracy) if accuracy else None,
    }


def _curve(key: tuple[Any, ...], points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    device, runtime, precision, scenario, baseline, kind = key
    shares = {
        outcome: [point["share"] for point in points if point["accuracy"] == outcome]
        for outcome in ("pass", "inconclusive", "fail")
    }
    missed = min(shares["fail"], default=math.inf)
    unproven = min([*shares["inconclusive"], missed])
    return {
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "scenario": scenario,
        "baseline": baseline,
        "kind": kind,
        "points": list(points),
        "holds_until": max((share for share in shares["pass"] if share < unproven), default=None),
        "misses_at": missed if shares["fail"] else None,
        "undecided_at": [share for share in shares["inconclusive"] if share < missed],
    }
