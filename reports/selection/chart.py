"""The picture of a selection: two axes, what may be chosen, its intervals and the front."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from reports.charts import _data, _palette, _spec
from reports.layout import Row, Spec


def front_chart(points: Sequence[Row], across: str, up: str, stepped: bool) -> Spec:
    """Points with x and y, their lows and highs, hardware and front (a word).

    The front is `stepped` where its two axes are all.
    """
    places = list(dict.fromkeys(point["hardware"] for point in points))
    base = alt.Chart(_data(points))
    colour = alt.Color("hardware:N", sort=places, scale=_palette(places), title=None)
    near = alt.Scale(zero=False)
    x = alt.X("x:Q", title=across, scale=near)
    y = alt.Y("y:Q", title=up, scale=near)
    ends_x = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("x_low:Q", title=across, scale=near), x2="x_high:Q", y=y, color=colour
    )
    ends_y = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("y_low:Q", title=up, scale=near), y2="y_high:Q", x=x, color=colour
    )
    shape = alt.Shape(
        "front:N",
        scale=alt.Scale(domain=["on the front", "behind it"], range=["circle", "cross"]),
        title=None,
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape
    )
    line = (
        base.transform_filter("datum.front == 'on the front'")
        .mark_line(strokeDash=[4, 3], opacity=0.6, interpolate="step-after")
        .encode(x=x, y=y, color=alt.value("#7f8894"))
    )
    layers = [*([line] if stepped else []), ends_x, ends_y, dots]
    return _spec(alt.layer(*layers).properties(width=420, height=280))
