"""The picture of a front: two axes, what is compared with its intervals, what is on the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from reports.charts import FINDING_COLOURS, _data, _palette, _spec
from reports.layout import Row, Spec
from reports.selection.words import BEHIND, ON

_NEAR = alt.Scale(zero=False)


def front_chart(
    points: Sequence[Row], across: str, up: str, *, stepped: bool = False, size: str | None = None
) -> Spec:
    """Points with x and y, their lows and highs, kind (coloured) and front (ON or BEHIND).

    The front is `stepped` where its two axes are all. Points may have a place, which is their
    shape, and then what is on the front is filled; with `size`, the name of a third axis, they have
    a size too. Those with a panel are drawn one panel each, on axes of their own.
    """
    kinds = _named(points, "kind")
    colour = alt.Color("kind:N", sort=kinds, scale=_palette(kinds), title=None)
    x, y = alt.X("x:Q", title=across, scale=_NEAR), alt.Y("y:Q", title=up, scale=_NEAR)
    base = alt.Chart().encode(color=colour)
    ends = base.mark_rule(strokeWidth=1.5, opacity=0.7)
    low_x, low_y = (alt.X("x_low:Q", title=across), alt.Y("y_low:Q", title=up))
    line = (
        alt.Chart()
        .transform_filter(f"datum.front == '{ON}'")
        .mark_line(strokeDash=[4, 3], opacity=0.6, interpolate="step-after")
        .encode(x=x, y=y, color=alt.value(FINDING_COLOURS["same"]))
    )
    layers = [
        *([line] if stepped else []),
        ends.encode(x=low_x, x2="x_high:Q", y=y),
        ends.encode(y=low_y, y2="y_high:Q", x=x),
        _marks(base, points, size).encode(x=x, y=y),
    ]
    layered = alt.layer(*layers, data=_data(points))
    panels = _named(points, "panel")
    if len(panels) < 2:
        return _spec(layered.properties(width=420, height=280))
    facet = alt.Facet("panel:N", title=None, sort=panels)
    drawn = layered.properties(width=300, height=200).facet(facet=facet, columns=2)
    return _spec(drawn.resolve_scale(x="independent", y="independent"))


def _marks(base: Any, points: Sequence[Row], size: str | None) -> Any:
    """By shape what is on the front; with places their shapes, and what is on it filled."""
    kinds, places = _named(points, "kind"), _named(points, "place")
    if not places:
        words = alt.Scale(domain=[ON, BEHIND], range=["circle", "cross"])
        return base.mark_point(filled=True, size=90, opacity=1).encode(
            shape=alt.Shape("front:N", scale=words, title=None, legend=_grey())
        )
    scale = alt.Scale(range=[50, 250], zero=False)
    sizes = alt.Size("size:Q", title=size, scale=scale, legend=_grey(tickCount=3))
    marks = base.mark_point(strokeWidth=2, size=90, opacity=1).encode(
        shape=alt.Shape("place:N", sort=places, title=None, legend=_grey()),
        fill=alt.Fill("kind:N", sort=kinds, scale=_palette(kinds), title=None),
        fillOpacity=alt.condition(f"datum.front == '{ON}'", alt.value(1), alt.value(0)),
    )
    return marks.encode(size=sizes) if size else marks


def _grey(**more: Any) -> alt.Legend:
    """A legend whose symbols have no colour of their own: seen in light and dark."""
    return alt.Legend(symbolFillColor=FINDING_COLOURS["same"], symbolStrokeWidth=0, **more)


def _named(points: Sequence[Row], key: str) -> list[str]:
    return list(dict.fromkeys(point[key] for point in points if key in point))
