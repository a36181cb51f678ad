"""Charts as Vega-Lite specifications, and their drawing as static SVG without a browser."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from reports.layout import Spec

Point = Mapping[str, Any]
# Legible on white and on near-black alike (Okabe and Ito's, the darkest and lightest replaced).
PALETTE = ("#3b82c4", "#e08214", "#2a9d72", "#c7559a", "#8c6bb1", "#a0803c", "#5aa9b8", "#c94f4f")
FINDING_COLOURS = {
    "faster": "#2a9d72",
    "same": "#7f8894",
    "slower": "#c94f4f",
    "undecided": "#e08214",
}
INK = "#5b6470"  # the page's style sheet recolours text and lines
_TICKS = (
    (0.001, 0.01, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 1000),
    tuple(step / 10 for step in range(1, 20)),
    tuple(step / 20 for step in range(10, 40)),
)
_FEW = 80  # readings that are each a dot; more are a line alone, which keeps the page small
_ROW_PX = 24
_STEP_PX = 26
_LABEL_PX = 300


def ratio_chart(points: Sequence[Point]) -> Spec:
    """Ratios with their intervals on a log scale, one row each, in the order given."""
    data = _data(points)
    order = list(dict.fromkeys(point["label"] for point in points))
    shown = [name for name in FINDING_COLOURS if any(p["finding"] == name for p in points)]
    colours = alt.Scale(domain=shown, range=[FINDING_COLOURS[name] for name in shown])
    y = alt.Y("label:N", sort=order, title=None, axis=alt.Axis(labelLimit=_LABEL_PX, ticks=False))
    colour = alt.Color("finding:N", scale=colours, title=None)
    scale = alt.Scale(type="log", domain=_log_domain(points), nice=False)
    axis = alt.Axis(values=_ratio_ticks(points), format="~g")
    x = alt.X("low:Q", scale=scale, axis=axis, title="ratio to the baseline (below 1: faster)")
    rules = alt.Chart(data).mark_rule(strokeWidth=3).encode(x=x, x2="high:Q", y=y, color=colour)
    dots = alt.Chart(data).mark_point(filled=True, size=70, opacity=1)
    one = alt.Chart(_data([{"one": 1}])).mark_rule(strokeDash=[4, 3], color=INK)
    layers = alt.layer(
        one.encode(x=alt.X("one:Q", scale=scale)),
        rules,
        dots.encode(x=alt.X("ratio:Q", scale=scale), y=y, color=colour),
    )
    return _spec(layers.properties(width=380, height=_ROW_PX * len(order)))


def throughput_chart(points: Sequence[Point]) -> Spec:
    """Throughput over the batch size, one line a variant, one panel a runtime."""
    variants = list(dict.fromkeys(point["variant"] for point in points))
    chart = (
        alt.Chart(_data(points))
        .mark_line(point=alt.OverlayMarkDef(filled=True, size=45))
        .encode(
            x=alt.X("batch:O", title="batch size", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("throughput:Q", title="inputs a second"),
            color=alt.Color("variant:N", sort=variants, scale=_palette(variants), title=None),
            detail="line:N",
        )
        .properties(width=230, height=190)
        .facet(facet=alt.Facet("place:N", title=None), columns=2)
    )
    return _spec(chart)


def curve_chart(points: Sequence[Point], title: str) -> Spec:
    """A value against the share taken away: a panel each `place`, a line each `kind` of points.

    Up to the least `holds` of a panel, where that is above 0, it is shaded.
    """
    kinds = list(dict.fromkeys(point["kind"] for point in points))
    x = alt.X("share:Q", axis=alt.Axis(format="~%"), title="share taken away")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
    colour = alt.Color("kind:N", sort=kinds, scale=_palette(kinds), title=None)
    band = (
        alt.Chart()
        .mark_rect(color=FINDING_COLOURS["faster"], opacity=0.1)
        .transform_filter("datum.holds > 0")
        .transform_aggregate(until="min(holds)")
        .transform_calculate(none="0")
        .encode(x=alt.X("none:Q", title="share taken away"), x2=alt.X2("until:Q"))
    )
    line = alt.Chart().mark_line(point=alt.OverlayMarkDef(filled=True, size=55))
    layers = alt.layer(band, line.encode(x=x, y=y, color=colour), data=_data(points))
    panels = layers.properties(width=230, height=180)
    return _spec(panels.facet(facet=alt.Facet("place:N", title=None), columns=2))


def severity_chart(points: Sequence[Point]) -> Spec:
    """Accuracy against severity: a line a variant, a panel a corruption; 0 is without any."""
    variants = list(dict.fromkeys(point["variant"] for point in points))
    corruptions = list(dict.fromkeys(point["corruption"] for point in points))
    chart = (
        alt.Chart(_data(points))
        .mark_line(point=alt.OverlayMarkDef(filled=True, size=40))
        .encode(
            x=alt.X("severity:O", title="severity", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("top1:Q", title="top-1", axis=alt.Axis(format="~%")),
            color=alt.Color("variant:N", sort=variants, scale=_palette(variants), title=None),
        )
        .properties(width=170, height=130)
        .facet(facet=alt.Facet("corruption:N", title=None, sort=corruptions), columns=3)
    )
    return _spec(chart)


def reliability_chart(points: Sequence[Point]) -> Spec:
    """Accuracy against confidence in bins, a panel a variant; calibrated: on the diagonal."""
    variants = list(dict.fromkeys(point["variant"] for point in points))
    share = alt.Scale(domain=[0, 1])
    x = alt.X("confidence:Q", title="confidence", scale=share, axis=alt.Axis(format="~%"))
    y = alt.Y("accuracy:Q", title="accuracy", scale=share, axis=alt.Axis(format="~%"))
    low = alt.Y("low:Q", title="accuracy", scale=share)
    size = alt.Size("samples:Q", title="samples", scale=alt.Scale(range=[15, 130]))
    chart = alt.Chart()
    diagonal = chart.mark_line(color=INK, strokeDash=[4, 3]).encode(
        x=alt.X("confidence:Q", scale=share), y=alt.Y("diagonal:Q", scale=share, title="accuracy")
    )
    ends = chart.mark_rule(color=PALETTE[0], strokeWidth=1.5).encode(x=x, y=low, y2="high:Q")
    dots = chart.mark_point(filled=True, opacity=1, color=PALETTE[0]).encode(x=x, y=y, size=size)
    known = "isValid(datum.accuracy)"
    layers = alt.layer(
        diagonal, ends.transform_filter(known), dots.transform_filter(known), data=_data(points)
    )
    panels = layers.properties(width=170, height=170)
    return _spec(panels.facet(facet=alt.Facet("variant:N", title=None, sort=variants), columns=3))


def history_chart(points: Sequence[Point], order: Sequence[str], begin: Sequence[str]) -> Spec:
    """A value with its interval over sessions by number; a dashed line where a level begins."""
    x = alt.X("session:O", sort=order, title="session", axis=alt.Axis(labelAngle=0))
    x = x.scale(domain=list(order))
    y = alt.Y("low:Q", title=None, scale=alt.Scale(zero=False))
    chart = alt.Chart(_data(points))
    ends = chart.mark_rule(color=PALETTE[0], strokeWidth=2).encode(x=x, y=y, y2="high:Q")
    dots = chart.mark_point(filled=True, size=45, opacity=1, color=PALETTE[0])
    borders = alt.Chart(_data([{"session": each} for each in begin])).mark_rule(
        color=FINDING_COLOURS["undecided"], strokeDash=[4, 3], xOffset=-_STEP_PX / 2
    )
    layers = [ends, dots.encode(x=x, y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)))]
    if begin:
        layers.append(borders.encode(x=x))
    return _spec(alt.layer(*layers).properties(width=alt.Step(_STEP_PX), height=180))


def thermal_chart(
    heat: Sequence[Point],
    clocks: Sequence[Point],
    throttled: Sequence[Point],
    time: str,
    shares: bool,
) -> Spec:
    """Readings over time: temperature by sensor above, the clock below, throttled spans shaded.

    `shares`: clocks are shares of the highest, else MHz. What nobody read has no panel.
    """
    sensors = list(dict.fromkeys(point["sensor"] for point in heat))
    colour = alt.Color("sensor:N", sort=sensors, scale=_palette(sensors), title=None)
    clock = _clock_axis(clocks, shares)
    degrees = alt.Y("value:Q", title="°C", scale=alt.Scale(zero=False))
    upper = [_over_time(heat, degrees, colour, throttled, None if clocks else time, 150)]
    lower = [_over_time(clocks, clock, alt.value(FINDING_COLOURS["same"]), throttled, time, 70)]
    panels = upper * bool(heat) + lower * bool(clocks)
    return _spec(alt.vconcat(*panels, spacing=8).resolve_scale(x="shared"))


def _clock_axis(clocks: Sequence[Point], shares: bool) -> alt.Y:
    """Shares of the highest clock, else MHz; from 0 on, so that a small fall looks small."""
    highest = [1.0, *(point["value"] for point in clocks)] if shares else []
    scale = alt.Scale(domain=[0, max(highest)]) if shares else alt.Scale(zero=True)
    axis = alt.Axis(format="~%", tickCount=3) if shares else alt.Axis(tickCount=3)
    return alt.Y("value:Q", title="clock" if shares else "clock, MHz", scale=scale, axis=axis)


def _over_time(
    points: Sequence[Point],
    y: alt.Y,
    colour: Any,
    throttled: Sequence[Point],
    time: str | None,
    height: int,
) -> alt.LayerChart | alt.FacetChart:
    """One panel; without a name of its axis of time it stands above another with the same."""
    axis = alt.Axis(labels=time is not None, ticks=time is not None, title=time)
    dots = alt.OverlayMarkDef(filled=True, size=30) if len(points) <= _FEW else False
    line = alt.Chart(_data(points)).mark_line(point=dots)
    line = line.encode(x=alt.X("at:Q", axis=axis, scale=alt.Scale(nice=False)), y=y, color=colour)
    spans = alt.Chart(_data(throttled)).mark_rect(color=FINDING_COLOURS["slower"], opacity=0.25)
    spans = spans.encode(x=alt.X("from:Q", axis=axis), x2="to:Q")
    layers = [line, *([spans] if throttled else [])]
    return alt.layer(*layers).properties(width=420, height=height)


def minutes_chart(
    points: Sequence[Point], heat: Sequence[Point], clocks: Sequence[Point], shares: bool
) -> Spec:
    """What a lasting load does to the time of one inference: a line a cell, 1 in its first.

    A minute in which it throttled has a diamond. Below, what of temperature and clock was read
    before the first minute, as minute 0, and after each; `shares` as in `thermal_chart`.
    """
    cells = list(dict.fromkeys(point["cell"] for point in points))
    colour = alt.Color("cell:N", sort=cells, scale=_palette(cells), title=None)
    minutes = sorted({point["minute"] for point in (*points, *heat, *clocks)})
    lowest = alt.Scale(zero=False)
    ratio = alt.Y("value:Q", title="p50 over the first minute's", scale=lowest)
    held = [point for point in points if point["throttled"]]
    told = [
        (points, ratio, 190, held),
        (heat, alt.Y("value:Q", title="°C", scale=lowest), 90, []),
        (clocks, _clock_axis(clocks, shares), 70, []),
    ]
    told = [panel for panel in told if panel[0]]
    panels = [_by_minute(*panel, colour, minutes, last=panel is told[-1]) for panel in told]
    return _spec(alt.vconcat(*panels, spacing=8).resolve_scale(x="shared"))


def _by_minute(
    points: Sequence[Point],
    y: alt.Y,
    height: int,
    throttled: Sequence[Point],
    colour: alt.Color,
    minutes: Sequence[int],
    *,
    last: bool,
) -> alt.LayerChart | alt.FacetChart:
    """One panel; only the last names its minutes."""
    axis = alt.Axis(labels=last, ticks=last, title="minute" if last else None, labelAngle=0)
    x = alt.X("minute:O", axis=axis, scale=alt.Scale(domain=list(minutes)))
    dots = alt.OverlayMarkDef(filled=True, size=45)
    lines = alt.Chart(_data(points)).mark_line(point=dots).encode(x=x, y=y, color=colour)
    marks = alt.Chart(_data(throttled)).mark_point(
        shape="diamond", filled=True, size=150, opacity=1, color=FINDING_COLOURS["slower"]
    )
    layers = [lines, *([marks.encode(x=x, y=y)] if throttled else [])]
    return alt.layer(*layers).properties(width=420, height=height)


def svg(spec: Spec, prefix: str) -> str:
    """The chart as an SVG element; ids get a prefix, since several share one page."""
    drawn = str(vl_convert.vegalite_to_svg(spec))
    drawn = re.sub(r'\bid="', f'id="{prefix}-', drawn)
    return re.sub(r"url\(#", f"url(#{prefix}-", drawn)


def _spec(chart: alt.TopLevelMixin) -> Spec:
    styled = (
        chart.configure(background="transparent", font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            domainColor=INK,
            tickColor=INK,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            gridOpacity=0.35,
        )
        .configure_legend(labelColor=INK, titleColor=INK, labelFontSize=12, labelLimit=_LABEL_PX)
        .configure_header(labelColor=INK, labelFontSize=13, labelLimit=_LABEL_PX)
    )
    spec: Spec = styled.to_dict(validate=False)  # its parts were, when made
    return spec


def _data(points: Sequence[Point]) -> dict[str, Any]:
    return {"values": tuple(map(dict, points))}  # altair copies lists, again and again


def _palette(names: Sequence[str]) -> alt.Scale:
    colours = itertools.cycle(PALETTE)
    return alt.Scale(domain=list(names), range=[next(colours) for _ in names])


def _log_domain(points: Sequence[Point]) -> list[float]:
    """A little wider than the intervals, and 1 is always in view."""
    low = min(1.0, *(point["low"] for point in points))
    high = max(1.0, *(point["high"] for point in points))
    return [low / 1.1, high * 1.1]


def _ratio_ticks(points: Sequence[Point]) -> list[float]:
    """Round ratios inside the axis, of the coarsest kind that gives at least three."""
    low, high = _log_domain(points)
    inside: list[float] = []
    for ticks in _TICKS:
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) > 2:
            break
    return inside
