"""Curves against sparsity, where they hold, and which variant to ship."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reports.charts import curve_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import LONGEST_LABEL
from reports.text import clean, mebibytes, number, percent

ORDER = 58
TITLE = "Curves and recommendation"
BYTES_PER_MIB = 2**20
# What is drawn, and how it is read from a point.
MEASURES = {
    "top-1 accuracy": ("top1", 1.0),
    "p50, ms": ("p50_ms", 1.0),
    "file, MiB": ("file_bytes", 1 / BYTES_PER_MIB),
    "file compressed, MiB": ("compressed_bytes", 1 / BYTES_PER_MIB),
    "peak memory, MiB": ("peak_rss_mib", 1.0),
}


def section(document: Document) -> Section:
    curves = document["curves"]
    words = [*_no_curves(curves), *_no_targets(document), *_held(document, curves)]
    return Section(
        TITLE,
        words,
        points=list(_recommended(document)),
        tables=[_table(document, curves)] if curves else [],
        charts=_charts(document, curves),
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


def _held(document: Document, curves: Sequence[Row]) -> Iterator[str]:
    """Up to where accuracy holds, a sentence a curve."""
    for curve in curves:
        name = clean(_name(document, curve), 2 * LONGEST_LABEL)
        if curve["misses_at"] is not None and curve["holds_until"] is not None:
            yield (
                f"{name}: accuracy holds up to {percent(curve['holds_until'])} and misses its "
                f"target at {percent(curve['misses_at'])}."
            )
        elif curve["holds_until"] is not None:
            yield f"{name}: accuracy misses its target nowhere, up to {_last(curve)}."


def _last(curve: Row) -> str:
    return percent(max(point["share"] for point in curve["points"]))


def _recommended(document: Document) -> Iterator[tuple[str, str]]:
    for row in document["recommendations"]:
        yield clean(_place(document, row), LONGEST_LABEL), clean(told(row), 1000)


def told(row: Row) -> str:
    """A recommendation as a sentence."""
    if row["variant"] is None:
        return f"ship none: {row['reason']}."
    share = "" if not row["share"] else f" ({percent(row['share'])} taken away)"
    lead = "ship" if row["proven"] else "perhaps"
    return f"{lead} {row['variant']}{share}: {row['reason']}."


def _place(document: Document, row: Row) -> str:
    """The runtime, and whatever else differs within the run."""
    parts = [row["runtime"]]
    for key in ("device", "precision", "baseline"):
        if len({other[key] for other in document["recommendations"]}) > 1:
            parts.append(row[key])
    return " · ".join(parts)


def _name(document: Document, curve: Row) -> str:
    parts = [curve["kind"], curve["runtime"]]
    for key in ("device", "precision", "baseline"):
        if len({other[key] for other in document["curves"]}) > 1:
            parts.append(curve[key])
    return " · ".join(parts)


def _table(document: Document, curves: Sequence[Row]) -> Table:
    columns = [
        Column("curve"),
        Column("variant"),
        Column("taken away", "number"),
        Column("accuracy target", "word"),
        Column("top-1", "number"),
        Column("p50 ms", "number"),
        Column("file", "number"),
        Column("compressed", "number"),
        Column("peak MiB", "number"),
    ]
    body = [_row(_name(document, curve), point) for curve in curves for point in curve["points"]]
    caption = "The points of the curves; the share taken away is of weights, or of channels"
    return Table(caption, columns, body).filled()


def _row(name: str, point: Row) -> list[str]:
    return [
        clean(name, 2 * LONGEST_LABEL),
        clean(point["variant"]),
        percent(point["share"]),
        point["accuracy"] or "",
        percent(point["top1"]),
        number(point["p50_ms"]),
        mebibytes(point["file_bytes"]),
        mebibytes(point["compressed_bytes"]),
        number(point["peak_rss_mib"]),
    ]


def _charts(document: Document, curves: Sequence[Row]) -> list[Chart]:
    charts = []
    for title, (key, factor) in MEASURES.items():
        points = [
            _drawn(curve, point, factor * point[key])
            for curve in curves
            for point in curve["points"]
            if point[key] is not None
        ]
        if len({point["share"] for point in points}) > 1:
            charts.append(_chart(title, points))
    return charts


def _chart(title: str, points: list[dict[str, Any]]) -> Chart:
    caption = f"{title} against the share taken away; shaded: no accuracy target is missed"
    return Chart(caption, lambda: curve_chart(points, title))


def _drawn(curve: Row, point: Row, value: float) -> dict[str, Any]:
    places = (curve["device"], curve["runtime"], curve["baseline"])
    return {
        "place": clean(" · ".join(places), LONGEST_LABEL),
        "kind": clean(curve["kind"], LONGEST_LABEL),
        "share": point["share"],
        "value": value,
        "holds": curve["holds_until"],
    }
