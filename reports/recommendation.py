"""Which variant to ship on which device and runtime: within the targets, fastest, then smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.comparison import of_times
from reports.curves import PLACE, settings, share_of, worst
from reports.estimate import Interval
from reports.families import baseline_of
from reports.findings import lead
from reports.gates import Limit, Ratios
from reports.targets import judge_row
from reports.text import alike, mebibytes

Row = Mapping[str, Any]


def recommendations(
    study: Row,
    artifacts: Mapping[str, Row],
    rows: Sequence[Row],
    limits: Sequence[Limit],
    ratios: Ratios,
) -> list[dict[str, Any]]:
    """One recommendation for each device, runtime, precision and family.

    Only variants that are proven to be within every target are recommended. Where none is, the best
    of those that may be is named as provisional, with what is not proven.
    """
    if not limits:
        return []
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in settings(rows):
        if row["artifact"]:
            key = (*(row[name] for name in PLACE), baseline_of(study, row["variant"]))
            families.setdefault(key, []).append(row)
    return [
        _recommendation(key, [_candidate(study, artifacts, row, limits, ratios) for row in found])
        for key, found in families.items()
    ]


def _candidate(
    study: Row, artifacts: Mapping[str, Row], row: Row, limits: Sequence[Limit], ratios: Ratios
) -> dict[str, Any]:
    if row["status"] != "ok":
        return {"variant": row["variant"], "outcome": "fail", "missed": [row["reason"]]}
    judged = {
        str(limit): judge_row(row, limit, ratios, study)
        for limit in limits
        if limit.asks(row["scenario"])
    }
    return {
        "variant": row["variant"],
        "outcome": worst([outcome for outcome, _ in judged.values()]),
        "missed": [name for name, (outcome, _) in judged.items() if outcome == "fail"],
        "open": [
            f"{name} ({reason})"
            for name, (outcome, reason) in judged.items()
            if outcome == "inconclusive"
        ],
        "share": share_of(row, artifacts),
        "times": _times(row, ratios, baseline_of(study, row["variant"])),
        "compressed_bytes": row["compressed_bytes"],
    }


def _times(row: Row, ratios: Ratios, baseline: str) -> list[float] | None:
    """The time over the baseline's: value, low, high; null where they were not compared."""
    if row["variant"] == baseline:
        return [1.0, 1.0, 1.0]
    metric = lead(row["scenario"])
    found = ratios.get((row["device"], row["cell"], metric))
    if found is None or found["ci"] is None:
        return None
    interval = of_times((found["ci"][0], found["ci"][1]), metric)
    value = found["ratio"] if metric == "latency_p50_ratio" else 1 / found["ratio"]
    return [value, *(interval or (value, value))]


def _recommendation(key: tuple[Any, ...], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    device, runtime, precision, baseline = key
    for outcome in ("pass", "inconclusive"):
        able = [one for one in found if one["outcome"] == outcome and one["times"]]
        if able:
            break
    chosen, rivals = _choose(able) if able else (None, [])
    proven = bool(chosen) and outcome == "pass"
    return {
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "baseline": baseline,
        "variant": chosen["variant"] if chosen else None,
        "proven": proven,
        "share": chosen["share"] if chosen else None,
        "as_fast": [one["variant"] for one in rivals],
        "reason": _reason(chosen, rivals, proven, found),
        "candidates": list(found),
    }


def _choose(able: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fastest, or the smallest of those that are not told apart from it."""
    fastest = min(able, key=lambda one: float(one["times"][0]))
    alike_ones = [one for one in able if _overlap(one["times"], fastest["times"])]
    chosen = min(alike_ones, key=lambda one: (one["compressed_bytes"] or 0, one["times"][0]))
    return chosen, [one for one in alike_ones if one is not chosen]


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    ends: Interval = (max(one[1], other[1]), min(one[2], other[2]))
    return ends[0] <= ends[1]


def _reason(
    chosen: Mapping[str, Any] | None,
    rivals: Sequence[Mapping[str, Any]],
    proven: bool,
    found: Sequence[Mapping[str, Any]],
) -> str:
    missed = {one["variant"]: one["missed"] for one in found if one["missed"]}
    if chosen is None:
        lost = "; ".join(f"{name}: {', '.join(map(str, why))}" for name, why in missed.items())
        return f"no variant is within the targets ({lost or 'none was compared'})"
    value, low, high = chosen["times"]
    text, *ends = alike(value, (low, high))
    words = [f"{text}x [{', '.join(ends)}] of the baseline's time"]
    if chosen["compressed_bytes"] is not None:
        words.append(f"{mebibytes(chosen['compressed_bytes'])} compressed")
    if rivals:
        names = ", ".join(str(one["variant"]) for one in rivals)
        words.append(f"the smallest of those not told apart in time ({names})")
    if not proven:
        words.append(f"provisional, for not proven: {'; '.join(chosen['open'])}")
    if missed:
        words.append(f"beyond a target: {', '.join(missed)}")
    return "; ".join(words)
