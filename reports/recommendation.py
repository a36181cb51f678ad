"""Which variant to ship on which device and runtime: within the targets, fastest, then smallest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agents import wire
from reports.comparison import THROUGHPUT, settled_times
from reports.estimate import Interval
from reports.findings import lead
from reports.places import PLACE, one_each
from reports.targets import Measured, worst
from reports.text import alike, mebibytes

Row = Mapping[str, Any]
NOT_COMPARED = "no interval of its time to the baseline's"
NO_RATIO = "the server scenario has no ratio of times: measure another one beside it"


def recommendations(found: Measured) -> list[dict[str, Any]]:
    """One recommendation for each device, runtime, precision and family.

    Only variants that are proven to be within every target are recommended. Where none is, the best
    of those that may be is named as provisional, with what is not proven.
    """
    if not found.limits:
        return []
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in one_each(found.rows):
        if row["artifact"]:
            key = (*(row[name] for name in PLACE), row["scenario"], found.baseline(row))
            families.setdefault(key, []).append(row)
    return [
        _recommendation(key, [_candidate(found, row) for row in rows])
        for key, rows in families.items()
    ]


def _candidate(found: Measured, row: Row) -> dict[str, Any]:
    lost = row["status"] != "ok"
    judged = {} if lost else found.judged(row)
    return {
        "variant": row["variant"],
        "outcome": "fail" if lost else worst([outcome for outcome, _ in judged.values()]),
        "missed": [name for name, (outcome, _) in judged.items() if outcome == "fail"],
        "open": [
            f"{name} ({reason})"
            for name, (outcome, reason) in judged.items()
            if outcome == "inconclusive"
        ],
        "share": found.share(row),
        "times": None if lost else _times(found, row),
        "compressed_bytes": row["compressed_bytes"],
        "no_result": f"{row['status']}: {row['reason']}" if lost else None,
    }


def _times(found: Measured, row: Row) -> list[float] | None:
    """The time over the baseline's: value, low, high; null where they were not compared."""
    if row["scenario"] == wire.SERVER:
        return None
    if row["variant"] == found.baseline(row):
        return [1.0, 1.0, 1.0]
    compared = found.ratios.get((row["device"], row["cell"], lead(row["scenario"])))
    interval = settled_times(compared) if compared else None
    if compared is None or interval is None:
        return None
    ratio = float(compared["ratio"])
    return [1 / ratio if compared["metric"] == THROUGHPUT else ratio, *interval]


def _recommendation(key: tuple[Any, ...], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    device, runtime, precision, scenario, baseline = key
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
        "scenario": scenario,
        "baseline": baseline,
        "variant": chosen["variant"] if chosen else None,
        "proven": proven,
        "share": chosen["share"] if chosen else None,
        "as_fast": [one["variant"] for one in rivals],
        "reason": NO_RATIO if scenario == wire.SERVER else _reason(chosen, rivals, proven, found),
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
        told = "; ".join(
            f"{', '.join(name for name in lost if lost[name] == reason)}: {reason}"
            for reason in dict.fromkeys(lost.values())
        )
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
