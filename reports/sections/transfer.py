"""How the gain of one recipe moves over networks, devices and runtimes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reports.layout import Column, Document, Row, Section, Table
from reports.text import clean, counted, number, percent, with_interval

ORDER = 59
# What a ratio is of, and which way is faster.
METRICS = {
    "latency_p50_ratio": "Ratios are of p50 to that of each network's own baseline: below 1 is "
    "faster.",
    "throughput_ratio": "Ratios are of throughput to that of each network's own baseline: above 1 "
    "is faster.",
}
ALONE = "Each recipe was measured on one network and device."
# Columns that are there only if they tell places apart.
DIMENSIONS = ("device", "precision")


def section(document: Document) -> Section:
    entries = document["transfer"]
    if not entries:
        return Section("Transfer", [ALONE], detail=True)
    found = dict.fromkeys(place["metric"] for entry in entries for place in entry["places"])
    several = len({place["device"] for entry in entries for place in entry["places"]}) > 1
    points = [(clean(entry["recipe"]), _told(entry, several)) for entry in entries]
    words = [METRICS[metric] for metric in found]
    return Section("Transfer", words, points, tables=[_table(entries)], detail=True)


def _told(entry: Row, several: bool) -> str:
    """In how many places a recipe makes faster, and between which ratios; `several`: devices."""
    places = entry["places"]
    known = sorted((p for p in places if p["ratio"] is not None), key=lambda p: float(p["ratio"]))
    if not known:
        return "compared nowhere."
    findings = Counter(place["finding"] for place in known)
    words = ", ".join(f"{word} in {count}" for word, count in findings.most_common())
    told = f"{words} of {counted(len(places), 'place')}"
    if len(known) == 1:
        return f"{told}."
    least, most = known[0], known[-1]
    return (
        f"{told}; the ratio runs from {number(least['ratio'])} ({_where(least, several)}) to "
        f"{number(most['ratio'])} ({_where(most, several)}), "
        f"{number(entry['spread'])} times as much."
    )


def _where(place: Row, several: bool) -> str:
    device = f" on {place['device']}" if several else ""
    return clean(f"{place['network']}{device} in {place['runtime']}")


def _table(entries: list[Row]) -> Table:
    rows = [(entry["recipe"], place) for entry in entries for place in entry["places"]]
    rows.sort(key=lambda row: [row[1][key] for key in ("network", "device", "runtime")])
    rows.sort(key=lambda row: [entry["recipe"] for entry in entries].index(row[0]))
    varying = [key for key in DIMENSIONS if len({place[key] for _, place in rows}) > 1]
    columns = [
        Column("recipe"),
        Column("network"),
        *(Column(key) for key in varying),
        Column("runtime"),
        Column("ratio", "number"),
        Column("finding", "word"),
        Column("top-1 drop", "number"),
        Column("note"),
    ]
    body = [_row(recipe, place, varying) for recipe, place in rows]
    caption = "The gain of each recipe by network, device and runtime, with 95% intervals"
    return Table(caption, columns, body).filled()


def _row(recipe: str, place: Row, varying: Sequence[str]) -> list[str]:
    reasons = (place["reason"], place["top1_drop_reason"])
    drop = place["top1_drop"]
    return [
        clean(recipe),
        clean(place["network"]),
        *(clean(place[key]) for key in varying),
        clean(place["runtime"]),
        with_interval(place["ratio"], place["ci"]),
        place["finding"] or "",
        "" if drop is None else percent(drop, place["top1_drop_ci"]),
        clean("; ".join(dict.fromkeys(reason for reason in reasons if reason))),
    ]
