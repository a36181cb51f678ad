"""The sections that list all candidates: values, probabilities, front, constraints."""

from __future__ import annotations

from collections.abc import Iterator

from reports.layout import Chart, Column, Row, Section, Spec, Table
from reports.selection.wanted import MOST_AXES, SURE
from reports.selection.words import (
    BEHIND,
    LONGEST,
    ON,
    Document,
    chance,
    drawn,
    feasible,
    heading,
    named,
    rank,
    with_ends,
)
from reports.text import NOTHING, clean, counted, percent

MOST_SHOWN = 40  # candidates in the main table; the JSON has all
MOST_DRAWN = 60


def candidates(document: Document) -> Section | None:
    rows = sorted(document["candidates"], key=rank)
    if not rows:
        return None
    shown = rows[:MOST_SHOWN]
    rest = f"; {len(rows) - len(shown)} more in the JSON" if len(rows) > len(shown) else ""
    metrics = list(shown[0]["values"])
    columns = [
        Column("candidate"),
        Column("feasible", "word"),
        Column("P(feasible)", "number"),
        Column(f"P(within {100 * document['delta']:g}%)", "number"),
        Column("regret", "number"),
        Column("P(best)", "number", detail=True),
        Column("P(front)", "number", detail=True),
        *(
            Column(heading(metric), "number", detail=metric not in document["objective"])
            for metric in metrics
        ),
        Column("misses"),
        Column("units", detail=True),
    ]
    body = [_told(document, row, metrics) for row in shown]
    caption = (
        f"The best first; on the Pareto front: *; misses: the constraints that it surely breaks, "
        f"and with ? those of which that is not known{rest}"
    )
    points = _front_words(document)
    chart = _chart(document, rows)
    return Section(
        "Candidates", points, tables=[Table(caption, columns, body).filled()], charts=chart
    )


def _told(document: Document, row: Row, metrics: list[str]) -> list[str]:
    mark = "* " if row["on_front"] else ""
    return [
        mark + named(document, row),
        row["feasible"],
        feasible(row),
        chance(row["p_near"]),
        NOTHING if row["feasible"] == "no" else percent(row["regret"]),
        chance(row["p_best"]),
        chance(row["p_front"]),
        *(_value(row, metric) for metric in metrics),
        ", ".join(_missed(row)),
        counted(row["units"], row["level"]),
    ]


def _missed(row: Row) -> Iterator[str]:
    """The metrics of the limits that are surely not kept, and of those that are open."""
    for limit in row["limits"]:
        if limit["probability"] is None:
            yield f"{limit['metric']}?"
        elif limit["probability"] <= 1 - SURE:
            yield limit["metric"]


def _value(row: Row, metric: str) -> str:
    """A value with the interval that its draws are made from."""
    told = row["values"][metric]
    return with_ends(metric, told["value"], told["ci"])


def _front_words(document: Document) -> list[str]:
    axes = document["axes"]
    front = sum(row["on_front"] for row in document["candidates"])
    if len(axes) < 2 or not front:
        return []
    told = ", ".join(axes)
    return [
        f"{counted(front, 'candidate')} on the Pareto front of {told}, after the constraints: no "
        f"other is better in one without being worse in another. At most {MOST_AXES} axes are "
        "used, since on more nearly everything is on the front."
    ]


def _chart(document: Document, rows: list[Row]) -> list[Chart]:
    """The first two axes, where both have values that differ."""
    axes = document["axes"][:2]
    alone = len(document["hardware"]) == 1
    points = [
        point
        for row in rows[:MOST_DRAWN]
        if (point := _point(row, axes, alone)) is not None and row["feasible"] != "no"
    ]
    varied = all(len({point[key] for point in points}) > 1 for key in ("x", "y"))
    if len(axes) < 2 or len(points) < 2 or not varied:
        return []
    filled = "; filled: on the front" if alone else ""
    caption = (
        f"{axes[1]} against {axes[0]} of what may keep the constraints, with intervals{filled}"
    )
    stepped = len(document["axes"]) == len(axes)  # a third axis is not in the picture
    return [Chart(caption, lambda: _drawn(points, axes, stepped))]


def _drawn(points: list[Row], axes: list[str], stepped: bool) -> Spec:
    from reports.selection.chart import front_chart  # altair takes a second to import

    return front_chart(points, heading(axes[0]), heading(axes[1]), stepped=stepped)


def _point(row: Row, axes: list[str], alone: bool) -> Row | None:
    """Of several kinds of hardware the colour tells which; of one, variant and runtime are told."""
    values = [row["values"][axis] for axis in axes]
    if len(values) < 2 or any(value["value"] is None for value in values):
        return None
    return {
        **drawn("x", axes[0], values[0]),
        **drawn("y", axes[1], values[1]),
        "kind": clean(row["variant" if alone else "hardware"], LONGEST),
        **({"place": clean(row["runtime"], LONGEST)} if alone else {}),
        "front": ON if row["on_front"] else BEHIND,
    }


def limits(document: Document) -> Section | None:
    if not document["limits"]:
        return None
    columns = [Column("candidate"), *(Column(limit, "number") for limit in document["limits"])]
    rows = [
        [named(document, row), *(_kept(limit) for limit in row["limits"])]
        for row in sorted(document["candidates"], key=rank)[:MOST_SHOWN]
    ]
    caption = "P(the constraint is kept), each by itself; ? where it cannot be known"
    reasons = {
        f"{each['metric']}: {each['reason']}": None
        for row in document["candidates"]
        for each in row["limits"]
        if each["reason"]
    }
    points = [("Not known", clean(reason, 300)) for reason in reasons]
    return Section("Constraints", (), points, [Table(caption, columns, rows)], detail=True)


def _kept(limit: Row) -> str:
    return "?" if limit["probability"] is None else chance(limit["probability"])
