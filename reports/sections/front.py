"""The Pareto front of each device: what none beats in time, accuracy and memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from reports.layout import Chart, Column, Document, Row, Section, Spec, Table
from reports.names import LONGEST_LABEL, Names
from reports.selection.wanted import ENERGY, PRICE, badness
from reports.selection.words import BEHIND, ON, chance, drawn, with_ends
from reports.text import clean, counted, number

ORDER = 59
TITLE = "Pareto front"
MOST_DRAWN = 4
SEEN = 1.1  # the largest over the smallest from which marks differ in size
NO_FRONT = "No two cells of a device with a time ran alike, so there is no front."
# How a metric reads, and its unit.
_METRICS = {
    "latency_p50_ms": ("p50", "ms"),
    "accuracy_top1": ("top-1", "%"),
    "accuracy_map50": ("mAP@0.5", "%"),
    "accuracy_miou": ("mIoU", "%"),
    "accuracy_auc": ("AUC", "%"),
    "peak_rss_mib": ("peak memory", "MiB"),
    ENERGY: ("energy", "mJ"),
    PRICE: ("price", "USD"),
}


def section(document: Document) -> Section:
    fronts = document["fronts"]
    if not fronts:
        return Section(TITLE, [NO_FRONT], detail=True)
    names = Names(document)
    return Section(
        TITLE,
        [*_meaning(fronts), *_no_axis(fronts)],
        points=[*_on_it(fronts), *_recommended(document)],
        tables=[_table(names, front, _where(fronts, front)) for front in fronts],
        charts=list(_charts(fronts)),
        detail=True,
    )


def _meaning(fronts: Sequence[Row]) -> Iterator[str]:
    axes = dict.fromkeys(_named(axis) for front in fronts for axis in front["axes"])
    yield (
        f"On the front is what no other beats in {', '.join(axes)} without losing in another of "
        "them. P(front) is how often it is there when every value is drawn anew from its launches, "
        "and accuracy from its samples, each variant by itself; near ties share it. The front asks "
        "for no target. Times are by the clock around the call, so that runtimes can be told apart."
    )


def _no_axis(fronts: Sequence[Row]) -> Iterator[str]:
    """What is no axis, and why; a price where it is known."""
    reasons = {
        f"{_named(metric)} ({clean(reason)})": None
        for front in fronts
        for metric, reason in front["no_axis"].items()
    }
    prices = {_price(front): None for front in fronts}
    yield f"No axis: {'; '.join(reasons)}. {' '.join(prices)}"


def _price(front: Row) -> str:
    price, device = front["price_usd"], clean(front["device"])
    if price["value"] is None:
        return f"{device}: {clean(price['reason'])}."
    told = f"{number(price['value'])} USD for the {clean(price['of'])}, {clean(price['as_of'])}"
    return f"{device}: {told}."


def _named(metric: str) -> str:
    return _METRICS[metric][0]


def _heading(metric: str) -> str:
    return ", ".join(_METRICS[metric])


def _where(fronts: Sequence[Row], front: Row) -> str:
    """Device, batch size and threads: what of them differs between the fronts."""
    told = {"device": "{}", "batch": "batch {}", "threads": "threads {}", "scenario": "{}"}
    varying = [key for key in told if len({other[key] for other in fronts}) > 1]
    return ", ".join(clean(told[key].format(front[key])) for key in varying)


def _on_it(fronts: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for front in fronts[:MOST_DRAWN]:
        ahead = [point for point in front["points"] if point["on_front"]]
        told = [f"{_name(point, front)} ({_chance(point)})" for point in ahead]
        count = counted(len(front["points"]), "cell")
        yield _where(fronts, front), f"On the front, of {count}: {', '.join(told) or 'none'}."
    if len(fronts) > MOST_DRAWN:
        yield "", "The tables have all fronts; the first are told and drawn."


def _chance(point: Row) -> str:
    return "P not known" if point["p_front"] is None else f"P {chance(point['p_front'])}"


def _name(point: Row, front: Row) -> str:
    """Variant and runtime, and the precision where a front has several."""
    several = len({other["precision_requested"] for other in front["points"]}) > 1
    precision = f" ({point['precision_requested']})" if several else ""
    return clean(f"{point['variant']} in {point['runtime']}{precision}", 2 * LONGEST_LABEL)


def _recommended(document: Document) -> Iterator[tuple[str, str]]:
    """Where what is recommended has lower values than another variant of its runtime."""
    same = ("runtime", "precision_requested")
    shipped = {
        (row["device"], row["variant"], row["runtime"], row["precision"])
        for row in document["recommendations"]
    }
    for front in document["fronts"]:
        for point in front["points"]:
            key = (front["device"], point["variant"], *(point[each] for each in same))
            if key not in shipped:
                continue
            mine = [o for o in front["points"] if all(o[each] == point[each] for each in same)]
            ahead = [other for other in mine if _beats(other, point, front["axes"])]
            if ahead:
                yield (
                    _where(document["fronts"], front),
                    f"{_name(point, front)} is recommended though {_name(ahead[0], front)} has "
                    "the better values: a recommendation heeds the targets, what is told apart in "
                    "time, and the size of the file.",
                )


def _beats(one: Row, other: Row, axes: Sequence[str]) -> bool:
    """Whether one has no worse value on any axis and a better one on some."""
    if one["on_front"] is None or other["on_front"] is None:
        return False
    values = [
        [float(badness(a, each["values"][a]["value"])) for a in axes] for each in (one, other)
    ]
    return values[0] != values[1] and all(a <= b for a, b in zip(*values, strict=True))


def _table(names: Names, front: Row, where: str) -> Table:
    without = ("device", "batch", "threads", "scenario")
    metrics = list(front["points"][0]["values"])
    columns = [
        *names.columns(without),
        Column("front", "word"),
        Column("P(front)", "number"),
        *(Column(_heading(metric), "number") for metric in metrics),
        Column("note"),
    ]
    rows = sorted(front["points"], key=lambda point: (not point["on_front"], -_often(point)))
    body = [
        [
            *names.values(point, without),
            {True: "yes", False: "no"}.get(point["on_front"], ""),
            chance(point["p_front"]),
            *(_value(point, metric) for metric in metrics),
            clean(point["reason"] or "", 300),
        ]
        for point in rows
    ]
    caption = f"{f'{where}: ' if where else ''}what is on the front first, with 95% intervals"
    return Table(caption, columns, body, detail=True).filled()


def _often(point: Row) -> float:
    return float(point["p_front"] or 0.0)


def _value(point: Row, metric: str) -> str:
    told = point["values"][metric]
    return "" if told["value"] is None else with_ends(metric, told["value"], told["ci"])


def _charts(fronts: Sequence[Row]) -> Iterator[Chart]:
    """Time against accuracy, with memory as the size; without accuracy against memory."""
    for axes in dict.fromkeys(tuple(front["axes"]) for front in fronts):
        drawn = [front for front in fronts if tuple(front["axes"]) == axes and _drawable(front)]
        points = [(front, point) for front in drawn[:MOST_DRAWN] for point in _placed(front)]
        if not points:
            continue
        sized = len(axes) > 2 and _varies(
            [point["values"][axes[2]]["value"] for _, point in points]
        )
        shown = axes if sized else axes[:2]
        size = f"; larger: more {_named(axes[2])}" if sized else ""
        caption = (
            f"{_named(axes[1])} against {_named(axes[0])}, with 95% intervals; filled: on the "
            f"front{size}"
        )
        marks = [_mark(point, shown, _where(fronts, front)) for front, point in points]
        yield Chart(caption, partial(_drawn, shown, marks))


def _placed(front: Row) -> list[Row]:
    return [point for point in front["points"] if point["on_front"] is not None]


def _drawable(front: Row) -> bool:
    return len(front["axes"]) > 1 and len(_placed(front)) > 1


def _varies(values: Sequence[float]) -> bool:
    """Whether a size would show more than noise."""
    return max(values) > SEEN * min(values)


def _drawn(axes: Sequence[str], marks: Sequence[Row]) -> Spec:
    from reports.selection.chart import front_chart  # altair takes a second to import

    across, up, *size = map(_heading, axes)
    return front_chart(marks, across, up, size=size[0] if size else None)


def _mark(point: Row, axes: Sequence[str], panel: str) -> Row:
    values = point["values"]
    sizes = {"size": values[axes[2]]["value"]} if len(axes) > 2 else {}
    return {
        **drawn("x", axes[0], values[axes[0]]),
        **drawn("y", axes[1], values[axes[1]]),
        **sizes,
        "kind": clean(point["variant"], LONGEST_LABEL),
        "place": clean(point["runtime"], LONGEST_LABEL),
        "panel": panel,
        "front": ON if point["on_front"] else BEHIND,
    }
