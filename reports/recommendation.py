"""Which variant to ship on which device and runtime: within the targets, fastest, then smallest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reports.comparison import of_times
from reports.curves import PLACE, settings, share_of, worst
from reports.estimate import Interval
from reports.families import baseline_of
from reports.findings import lead
from reports.gates import Limit, Outcome, Ratios
from reports.targets import judge_row
from reports.text import alike, mebibytes

Row = Mapping[str, Any]
Judged = dict[str, tuple[Outcome, str]]  # limit -> verdict and why
NOT_COMPARED = "no interval of its time to the baseline's"


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
    judge = partial(_judged, study, rows, limits, ratios)
    return [
        _recommendation(
            key, [_candidate(study, artifacts, row, judge(row), ratios) for row in found]
        )
        for key, found in families.items()
    ]


def _candidate(
    study: Row, artifacts: Mapping[str, Row], row: Row, judged: Judged, ratios: Ratios
) -> dict[str, Any]:
    lost = row["status"] != "ok"
    return {
        "variant": row["variant"],
        "outcome": "fail" if lost else worst([outcome for outcome, _ in judged.values()]),
        "missed": [name for name, (outcome, _) in judged.items() if outcome == "fail"],
        "open": [
            f"{name} ({reason})"
            for name, (outcome, reason) in judged.items()
            if outcome == "inconclusive"
        ],
        "share": share_of(row, artifacts),
        "times": None if lost else _times(row, ratios, baseline_of(study, row["variant"])),
        "compressed_bytes": row["compressed_bytes"],
        "no_result": f"{row['status']}: {row['reason']}" if lost else None,
    }


def _judged(
    study: Row, rows: Sequence[Row], limits: Sequence[Limit], ratios: Ratios, row: Row
) -> Judged:
    """Each limit's verdict on a variant, from the scenarios that it asks; empty without result."""
    if row["status"] != "ok":
        return {}
    same = ("variant", *PLACE, "batch", "threads")
    mine = [other for other in rows if all(other[key] == row[key] for key in same)]
    found: Judged = {}
    for limit in limits:
        told = [judge_row(o, limit, ratios, study) for o in mine if limit.asks(o["scenario"])]
        missing: tuple[Outcome, str] = ("inconclusive", "no scenario that was measured has it")
        outcome = worst([each for each, _ in told]) if told else missing[0]
        found[str(limit)] = next((each for each in told if each[0] == outcome), missing)
    return found


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
    chosen = min(alike_ones, key=lambda one: (_size(one), float(one["times"][0])))
    return chosen, [one for one in alike_ones if one is not chosen]


def _size(one: Mapping[str, Any]) -> float:
    """A file of unknown size is never the smallest."""
    return math.inf if one["compressed_bytes"] is None else float(one["compressed_bytes"])


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    ends: Interval = (max(one[1], other[1]), min(one[2], other[2]))
    return ends[0] <= ends[1]


def _reason(
    chosen: Mapping[str, Any] | None,
    rivals: Sequence[Mapping[str, Any]],
    proven: bool,
    found: Sequence[Mapping[str, Any]],
) -> str:
    lost = {str(one["variant"]): reason for one in found if (reason := _excluded(one))}
    if chosen is None:
        told = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
        return f"no variant is proven to be within the targets ({told})"
    words = [_speed(chosen)]
    if chosen["compressed_bytes"] is not None:
        words.append(f"{mebibytes(chosen['compressed_bytes'])} compressed")
    if rivals:
        names = ", ".join(str(one["variant"]) for one in rivals)
        words.append(f"the smallest of those not told apart in time ({names})")
    if not proven:
        words.append(f"provisional, for not proven: {'; '.join(chosen['open'])}")
    missed = [str(one["variant"]) for one in found if one["missed"]]
    if missed:
        words.append(f"beyond a target: {', '.join(missed)}")
    others = [(reason, name) for name, reason in lost.items() if name not in missed]
    for reason in dict.fromkeys(reason for reason, _ in others):
        words.append(f"{', '.join(name for why, name in others if why == reason)}: {reason}")
    return "; ".join(words)


def _excluded(one: Mapping[str, Any]) -> str | None:
    """Why a variant cannot be chosen; null if it can."""
    if one["no_result"] or one["missed"]:
        return str(one["no_result"] or ", ".join(one["missed"]))
    return None if one["times"] else NOT_COMPARED


def _speed(chosen: Mapping[str, Any]) -> str:
    value, low, high = chosen["times"]
    if low == value == high == 1:
        return "it is the baseline"
    text, *ends = alike(value, (low, high))
    return f"{text}x [{', '.join(ends)}] of the baseline's time"
