"""What the numbers say in plain words: for each variant on each device, does it pay off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from reports.families import baseline_of
from reports.gates import WAITING
from reports.text import alike, number

Row = Mapping[str, Any]
Pays = Literal["yes", "no", "partly", "undecided"]
_HEADLINES: Mapping[Pays, str] = {
    "yes": "pays off in speed",
    "no": "does not pay off in speed",
    "partly": "pays off in speed only in part",
    "undecided": "is undecided in speed",
}
MOST_REASONS = 2
_SIZE_DIFFERENCE = 0.005  # less than half a percent of the file is no saving


def findings(
    study: Row, rows: Sequence[Row], compared: Sequence[Row], judged: Sequence[Row]
) -> list[dict[str, Any]]:
    """One finding for each variant that has a baseline other than itself on each device."""
    pairs = dict.fromkeys((row["device"], row["variant"]) for row in rows)
    found = [
        _finding(device, variant, baseline_of(study, variant), rows, compared)
        | {"gates_broken": _broken(device, variant, judged)}
        for device, variant in pairs
        if baseline_of(study, variant) != variant
    ]
    return [finding | {"text": words(finding)} for finding in found]


def words(finding: Row) -> str:
    """The finding as one sentence, without its subject."""
    parts = [
        _speed_words(finding["pays_off"], finding["speeds"]),
        *(f"but slower at p95 in {runtime}" for runtime in finding["slower_tails"]),
        *_lost_words(finding["without_result"]),
        *(_size_words(size) for size in finding["compressed_ratio"]),
        _drop_words(finding["top1_drop"]),
    ]
    if finding["gates_broken"]:
        parts.append(f"breaks {', '.join(finding['gates_broken'])}")
    return "; ".join(parts) + "."


def _finding(
    device: str, variant: str, baseline: str, rows: Sequence[Row], compared: Sequence[Row]
) -> dict[str, Any]:
    here = [row for row in rows if row["device"] == device]
    mine = [row for row in here if row["variant"] == variant]
    ratios = [
        row
        for row in compared
        if row["kind"] == "variant" and (row["device"], row["candidate"]) == (device, variant)
    ]
    speeds = [_speed(row) for row in ratios if row["metric"] == lead(row["scenario"])]
    return {
        "device": device,
        "variant": variant,
        "pays_off": _pays([speed["finding"] for speed in speeds]),
        "speeds": speeds,
        "slower_tails": _slower_tails(ratios),
        "without_result": _without_result(mine, ratios),
        "compressed_ratio": _sizes(mine, [row for row in here if row["variant"] == baseline]),
        "top1_drop": _drops(mine),
    }


def lead(scenario: str) -> str:
    """The ratio that stands for speed: of p50, or of throughput where no time is one user's."""
    return "latency_p50_ratio" if scenario in WAITING else "throughput_ratio"


def _slower_tails(ratios: Sequence[Row]) -> list[str]:
    """The runtimes in which p95 is slower though p50 is not."""
    slower = {
        metric: {r["runtime"] for r in ratios if (r["metric"], r["finding"]) == (metric, "slower")}
        for metric in ("latency_p50_ratio", "latency_p95_ratio")
    }
    return sorted(slower["latency_p95_ratio"] - slower["latency_p50_ratio"])


def _without_result(mine: Sequence[Row], ratios: Sequence[Row]) -> list[dict[str, str]]:
    """The runtimes in which nothing was compared because the variant has no result there."""
    compared = {row["runtime"] for row in ratios}
    lost = {
        row["runtime"]: row["reason"]
        for row in reversed(mine)
        if row["status"] != "ok" and row["runtime"] not in compared
    }
    return [{"runtime": runtime, "reason": lost[runtime]} for runtime in sorted(lost)]


def _speed(row: Row) -> dict[str, Any]:
    keys = ("runtime", "precision", "batch", "threads", "scenario", "metric", "ratio", "ci")
    return {key: row[key] for key in (*keys, "finding", "reason")}


def _pays(found: Sequence[str]) -> Pays:
    """yes: faster wherever it was decided; partly: faster in one place and not in another."""
    decided = set(found) - {"undecided"}
    if not decided:
        return "undecided"
    if decided == {"faster"}:
        return "yes"
    return "partly" if "faster" in decided else "no"


def _speed_words(pays: Pays, speeds: Sequence[Row]) -> str:
    if not speeds:
        return "was not compared with the baseline"
    several = len({speed["scenario"] for speed in speeds}) > 1
    places: dict[str, list[Row]] = {}
    for speed in speeds:
        place = f"{speed['runtime']} {speed['scenario']}" if several else speed["runtime"]
        places.setdefault(place, []).append(speed)
    told = [_in_place(place, found) for place, found in places.items()]
    return f"{_HEADLINES[pays]}: {', '.join(told)}"


def _in_place(place: str, speeds: Sequence[Row]) -> str:
    """One phrase a place: its word, and the ratio or the range of ratios behind it."""
    found = " or ".join(dict.fromkeys(speed["finding"] for speed in speeds))
    ratios = sorted(speed["ratio"] for speed in speeds if speed["ratio"] is not None)
    if not ratios:
        return f"{found} in {place} ({speeds[0]['reason']})"
    of = "of the time" if speeds[0]["metric"] == "latency_p50_ratio" else "times the throughput"
    if len(speeds) == 1 and speeds[0]["ci"]:
        ratio, low, high = alike(ratios[0], speeds[0]["ci"])
        return f"{found} in {place} ({ratio} {of}, {low} to {high})"
    span = " to ".join(dict.fromkeys([number(ratios[0]), number(ratios[-1])]))
    return f"{found} in {place} ({span} {of})"


def _lost_words(lost: Sequence[Mapping[str, str]]) -> list[str]:
    """Where it has no result and why; of many the reasons are in the list of failures."""
    if len(lost) <= MOST_REASONS:
        return [f"no result in {one['runtime']} ({one['reason']})" for one in lost]
    return [f"no result in {', '.join(one['runtime'] for one in lost)}"]


def _sizes(mine: Sequence[Row], theirs: Sequence[Row]) -> list[dict[str, Any]]:
    """Compressed size over the baseline's, for each file format that both have."""
    sizes = {row["format"]: row["compressed_bytes"] for row in mine if row["compressed_bytes"]}
    base = {row["format"]: row["compressed_bytes"] for row in theirs if row["compressed_bytes"]}
    return [{"format": name, "ratio": sizes[name] / base[name]} for name in sizes if name in base]


def _size_words(size: Row) -> str:
    if abs(size["ratio"] - 1) < _SIZE_DIFFERENCE:
        return f"the same compressed size ({size['format']})"
    return f"{size['ratio']:.2f} of the compressed size ({size['format']})"


def _drops(mine: Sequence[Row]) -> list[dict[str, Any]]:
    """The top-1 drop in each runtime and precision where it is known."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in mine:
        key = (row["runtime"], row["precision_requested"])
        drop, ends = row["accuracy"]["top1_drop"], row["accuracy"]["ci"]["top1_drop"]
        if drop is not None and key not in found:
            found[key] = {"runtime": key[0], "precision": key[1], "drop": drop, "ci": ends}
    return list(found.values())


def _drop_words(drops: Sequence[Row]) -> str:
    """The worst drop stands for all; its interval says how sure it is."""
    if not drops:
        return "its accuracy against the baseline is not known"
    worst = max(drops, key=lambda item: float(item["drop"]))
    low, high = (100 * end for end in worst["ci"])
    span = f"95% {-high:+.1f} to {-low:+.1f}"
    if worst["drop"] == 0:
        return f"top-1 accuracy unchanged ({span} points)"
    word = "down" if worst["drop"] > 0 else "up"
    sure = "" if low > 0 or high < 0 else ", may be chance"
    where = f" in {worst['runtime']}, its worst" if len(drops) > 1 else ""
    return f"top-1 accuracy {word} {abs(100 * worst['drop']):.1f} points{where} ({span}{sure})"


def _broken(device: str, variant: str, judged: Sequence[Row]) -> list[str]:
    """The gates that this variant fails on this device."""
    failed = [row for row in judged if row["verdict"] == "fail"]
    mine = [row for row in failed if (row["device"], row["variant"]) == (device, variant)]
    return list(dict.fromkeys(row["gate"] for row in mine))
