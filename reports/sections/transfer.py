"""How the gain of one recipe moves over networks, devices and runtimes."""

from __future__ import annotations

from collections.abc import Iterator

from reports.layout import Column, Document, Row, Section, Table
from reports.text import clean, number, percent, with_interval

ORDER = 59


def section(document: Document) -> Section:
    entries = document["transfer"]
    if not entries:
        return Section("Transfer", ["Each recipe was measured on one network and device."])
    words = [
        "Ratios to each network's own dense variant: below 1 is faster; of throughput, above 1.",
        *_spreads(entries),
    ]
    return Section("Transfer", words, tables=[_table(entries)], detail=True)


def _spreads(entries: list[Row]) -> Iterator[str]:
    for entry in entries:
        if entry["spread"] is not None:
            spread = number(entry["spread"])
            yield f"{clean(entry['recipe'])}: the largest ratio is {spread} times the smallest."


def _table(entries: list[Row]) -> Table:
    columns = [
        Column("recipe"),
        Column("network"),
        Column("device"),
        Column("runtime"),
        Column("precision", detail=True),
        Column("ratio", "number"),
        Column("top-1 drop", "number"),
        Column("note"),
    ]
    body = [_row(entry, place) for entry in entries for place in entry["places"]]
    caption = "The gain of each recipe by network, device and runtime, with 95% intervals"
    return Table(caption, columns, body).filled()


def _row(entry: Row, place: Row) -> list[str]:
    return [
        clean(entry["recipe"]),
        clean(place["network"]),
        clean(place["device"]),
        clean(place["runtime"]),
        clean(place["precision"]),
        with_interval(place["ratio"], place["ci"]),
        percent(place["top1_drop"]) if place["top1_drop"] is not None else "",
        clean(place["reason"] or ""),
    ]
