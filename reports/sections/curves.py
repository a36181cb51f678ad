"""Curves against sparsity, where they hold, and which variant to ship."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from reports.charts import curve_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.lines import covering, invisible
from reports.names import LONGEST_LABEL
from reports.text import clean, mebibytes, number, percent

ORDER = 58
TITLE = "Curves and recommendation"
# What else a place is called by, where it differs within the run.
DIMENSIONS = ("device", "precision", "baseline")
# Which setting stands for all, where there are several.
SETTING = {
    "scenario": "the scenario {}",
    "batch": "the smallest batch size",
    "threads": "the fewest threads",
}
SIZES = ("file_bytes", "compressed_bytes")
# What is drawn of a point.
MEASURES = {
    "top1": "top-1, %",
    "p50_ms": "p50, ms",
    "peak_rss_mib": "peak memory, MiB",
    "file_bytes": "file",
    "compressed_bytes": "compressed file",
}
Point = Mapping[str, Any]
Values = dict[str, dict[tuple[str, float], float]]  # place -> (panel, share) -> value


def section(document: Document) -> Section:
    curves = document["curves"]
    words = [
        *_no_curves(curves),
        *_no_targets(document),
        *_setting(document),
        *_held(document, curves),
    ]
    return Section(
        TITLE,
        words,
        points=list(_recommended(document)),
        tables=[_table(curves)] if curves else [],
        charts=list(_charts(curves)),
        detail=True,
    )


def _no_curves(curves: Sequence[Row]) -> Iterator[str]:
    if not curves:
        yield "There is no curve to draw: no two results have a known share that was taken away."


def _no_targets(document: Document) -> Iterator[str]:
    if not document["targets"]:
        yield (
            "No variant is recommended: the study sets no targets. Add, for example, "
            "targets: [{metric: accuracy_top1_drop, max: 0.01}, {metric: compressed_mib, max: 25}]."
        )
        return
    told = ", ".join(clean(target) for target in document["targets"])
    yield (
        f"Targets: {told}. Recommended is what is proven to be within all of them: of these the "
        "fastest, and of those not told apart in time the smallest."
    )


def _setting(document: Document) -> Iterator[str]:
    """What one setting stands for all, where there are several."""
    shown = [*document["curves"], *document["recommendations"]]
    several = [key for key in SETTING if len({row[key] for row in document["results"]}) > 1]
    if shown and several:
        scenarios = dict.fromkeys(clean(row["scenario"]) for row in shown)
        told = " and ".join(SETTING[key].format(", ".join(scenarios)) for key in several)
        yield f"Curves and recommendations are of {told}."


def _held(document: Document, curves: Sequence[Row]) -> Iterator[str]:
    """Up to where accuracy holds: a sentence for the places in which a kind does alike."""
    if not any(point["accuracy"] for curve in curves for point in curve["points"]):
        if curves and document["targets"]:
            yield "No target is about accuracy, so nothing says how far it holds."
        return
    places = defaultdict(list)
    for curve in curves:
        places[curve["kind"], _holding(curve)].append(_place(curves, curve))
    for (kind, told), where in places.items():
        every = sum(curve["kind"] == kind for curve in curves)
        named = f"all {every} places" if len(where) == every > 2 else ", ".join(where)
        if told:
            yield f"{clean(kind)} in {clean(named, 4 * LONGEST_LABEL)}: {told}."


def _holding(curve: Row) -> str:
    """What is proven of a curve's accuracy, from its dense end on."""
    until, missed, undecided = (curve[k] for k in ("holds_until", "misses_at", "undecided_at"))
    parts = []
    if until:
        parts.append(f"holds up to {percent(until)}")
    if undecided:
        parts.append(f"is not decided at {', '.join(map(percent, undecided))}")
    if missed is not None:
        least = "" if until or undecided else ", the least that was taken away"
        parts.append(f"misses its target at {percent(missed)}{least if missed else ''}")
    elif until and not undecided:
        parts.append("misses its target nowhere")
    return f"accuracy {' and '.join(parts)}" if parts else ""


def _recommended(document: Document) -> Iterator[tuple[str, str]]:
    for row in document["recommendations"]:
        place = _place(document["recommendations"], row)
        yield clean(place, LONGEST_LABEL), clean(told(row), 1000)


def told(row: Row) -> str:
    """A recommendation as a sentence."""
    if row["variant"] is None:
        return f"ship none: {row['reason']}."
    # The baseline has a stray zero here and there.
    away = "" if row["variant"] == row["baseline"] else percent(row["share"] or 0.0)
    share = "" if away in ("", percent(0.0)) else f" ({away} taken away)"
    lead = "ship" if row["proven"] else "perhaps"
    return f"{lead} {row['variant']}{share}: {row['reason']}."


def _place(rows: Sequence[Row], row: Row) -> str:
    """The runtime, and whatever else differs between the rows."""
    varying = [key for key in DIMENSIONS if len({other[key] for other in rows}) > 1]
    return " · ".join([row["runtime"], *(row[key] for key in varying)])


def _table(curves: Sequence[Row]) -> Table:
    columns = [
        Column("curve"),
        Column("in"),
        Column("variant"),
        Column("taken away", "number"),
        Column("accuracy target", "word"),
        Column("top-1", "number"),
        Column("p50 ms", "number"),
        Column("file", "number"),
        Column("compressed", "number"),
        Column("peak MiB", "number"),
    ]
    body = [
        [clean(curve["kind"], LONGEST_LABEL), clean(_place(curves, curve)), *_values(point)]
        for curve in curves
        for point in curve["points"]
    ]
    caption = (
        "The points of the curves, each from its dense end on; the share taken away is of the "
        "weights of the layers that were pruned, or of channels"
    )
    return Table(caption, columns, body).filled()


def _values(point: Row) -> list[str]:
    return [
        clean(point["variant"]),
        percent(point["share"]),
        point["accuracy"] or "",
        percent(point["top1"]),
        number(point["p50_ms"]),
        mebibytes(point["file_bytes"]),
        mebibytes(point["compressed_bytes"]),
        number(point["peak_rss_mib"]),
    ]


def _charts(curves: Sequence[Row]) -> Iterator[Chart]:
    """One for each measure: a panel a kind of pruning, a line a place."""
    for key, title in MEASURES.items():
        values = _drawn(curves, key)
        if len({share for line in values.values() for _, share in line}) > 1:
            title, factor = _scaled(key, title, values)
            points = _points(curves, key, values, factor)
            caption = f"{title} against the share taken away{_shaded(points)}"
            yield Chart(caption, partial(curve_chart, points, title))


def _drawn(curves: Sequence[Row], key: str) -> Values:
    found: Values = defaultdict(dict)
    for curve in curves:
        place = clean(_place(curves, curve), LONGEST_LABEL)
        for point in curve["points"]:
            if point[key] is not None:
                found[place][clean(curve["kind"], LONGEST_LABEL), point["share"]] = point[key]
    return found


def _scaled(key: str, title: str, values: Values) -> tuple[str, float]:
    """A title with its unit, and what values are to be multiplied by."""
    if key not in SIZES:
        return title, 100.0 if key == "top1" else 1.0
    largest = max(size for line in values.values() for size in line.values())
    return (f"{title}, MiB", 2.0**-20) if largest >= 2**20 else (f"{title}, KiB", 2.0**-10)


def _points(curves: Sequence[Row], key: str, values: Values, factor: float) -> list[Point]:
    """What the chart is made of; places whose lines would cover each other share one."""
    alike = covering(values, invisible(v for line in values.values() for v in line.values()))
    lines = {", ".join(names): values[place] for place, names in alike.items()}
    if key in SIZES and len(lines) == 1:  # the same files everywhere: one panel shows every kind
        return [
            _point(place, kind, share, factor * value, 0.0)
            for place, line in lines.items()
            for (kind, share), value in line.items()
        ]
    holds = _regions(curves)
    return [
        _point(kind, place, share, factor * value, holds[kind])
        for place, line in lines.items()
        for (kind, share), value in line.items()
    ]


def _point(panel: str, line: str, share: float, value: float, holds: float) -> Point:
    return {"place": panel, "kind": line, "share": share, "value": value, "holds": holds}


def _regions(curves: Sequence[Row]) -> Mapping[str, float]:
    """Of each panel the share up to which accuracy is proven to hold in every place; 0: none."""
    found: dict[str, float] = {}
    for curve in curves:
        panel, until = clean(curve["kind"], LONGEST_LABEL), curve["holds_until"] or 0.0
        found[panel] = min(until, found.get(panel, until))
    return found


def _shaded(points: Sequence[Point]) -> str:
    held = any(point["holds"] > 0 for point in points)
    return "; shaded: accuracy is proven to meet its targets" if held else ""
