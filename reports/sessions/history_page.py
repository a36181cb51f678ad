"""The sections that show one metric over many sessions, whatever the form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from reports.charts import history_chart
from reports.faults import kept
from reports.forms import Sections
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, counted, number, percent, with_interval

MOST_CHARTS = 6
_HASH = 12


def title(document: Document) -> str:
    return f"edgeproof history: {document['variant']} on {document['device']}"


def sections(document: Document) -> Sections:
    """The sections of a document of reports.sessions.history, in order."""
    series = enumerate(document["series"])
    return kept(
        [
            ("answer", partial(_answer, document)),
            *((f"series{at}", partial(_series, document, each)) for at, each in series),
            ("surroundings", partial(_surroundings, document)),
            ("method", partial(_method, document)),
        ]
    )


def _answer(document: Document) -> Section:
    count, unit = len(document["sessions"]), document["unit"]
    words = [
        *_nominations(document, count),
        *_loose(document),
        f"{document['metric']} ({document['meaning']}) of {clean(document['variant'])} on "
        f"{clean(document['device'])} over {counted(count, 'session')}.",
    ]
    points = [
        point
        for series in document["series"]
        for point in (
            *((_name(document, series), change(series, c, unit)) for c in series["changes"]),
            *((_name(document, series), around(series, c, unit)) for c in series["anchor_changes"]),
        )
    ]
    return Section("Answer", words, points)


def _nominations(document: Document, count: int) -> Iterator[str]:
    found = sum(len(series["changes"]) for series in document["series"])
    around = sum(len(series["anchor_changes"]) for series in document["series"])
    if count < document["fewest_sessions"] and not document["exact"]:
        yield f"A change of level cannot be told before {document['fewest_sessions']} sessions."
    elif document["exact"]:
        told = "It is of the file and its answers: heat and clocks do not move it."
        yield f"{counted(found, 'change')}. {told}"
    elif found:
        yield (
            f"{counted(found, 'change')} of level nominated. None is a verdict: what confirms one "
            "is to measure both files again, in turns."
        )
    else:
        yield "No change of level is nominated."
    if around:
        yield (
            f"In {counted(around, 'place')} the anchor's own time changed its level: the "
            "surroundings moved there, which is no variant's doing."
        )


def _loose(document: Document) -> Iterator[str]:
    """Why some series follow the plain value."""
    reasons = {s["no_anchor"]: None for s in document["series"] if s["no_anchor"]}
    if document["exact"]:
        return
    for reason in reasons:
        yield (
            f"Not tied to an anchor ({clean(reason)}): a change of the plain value may be the "
            "surroundings'."
        )


def change(series: Row, found: Row, unit: str) -> str:
    """One change of a cell's level, what lies around it, and what confirms it."""
    unit = f"times {clean(series['anchor'])}" if series["anchor"] else unit
    parts = [
        f"{_step(found, unit)} from {clean(found['first'])} on",
        f"around it: {_told(found['surroundings'])}",
    ]
    if found["confirm"]:
        parts.append(f"to confirm: {clean(found['confirm'], 300)}")
    elif found["same_file"]:
        parts.append("the file is the same before and after, so that it is not what changed")
    return "; ".join(parts) + "."


def around(series: Row, found: Row, unit: str) -> str:
    """One change of the anchor's own time."""
    return (
        f"{clean(series['anchor'])} itself {_step(found, unit)} from {clean(found['first'])} on; "
        f"around it: {_told(found['surroundings'])}."
    )


def _step(change: Row, unit: str) -> str:
    """What it was, what it is, and by how much that is more or less."""
    before, after = change["before"], change["after"]
    if unit == "share":
        return f"{percent(before)} to {percent(after)}"
    by = "" if change["ratio"] is None else f" ({100 * (change['ratio'] - 1):+.1f}%)"
    return f"{number(before)} to {number(after)} {unit}{by}"


def _told(surroundings: Sequence[Row]) -> str:
    told = [f"{clean(d['fact'])} {clean(d['first'])} to {clean(d['second'])}" for d in surroundings]
    return ", ".join(told) or "nothing that was recorded differs"


def _name(document: Document, series: Row) -> str:
    names = Names({"results": [_cell(document, each) for each in document["series"]]})
    return names.label(_cell(document, series))


def _cell(document: Document, series: Row) -> dict[str, Any]:
    return {**series, "device": document["device"], "variant": document["variant"]}


def _series(document: Document, series: Row) -> Section:
    ratio = series["follows"] == "ratio"
    unit = f", {document['unit']}" if document["unit"] != "share" else ""
    heads = [f"{document['metric']} [95% interval]"]
    if ratio:
        heads = [
            f"ratio to {clean(series['anchor'])} [95% interval]",
            f"its own{unit}",
            f"{clean(series['anchor'])}'s{unit}",
        ]
    columns = [
        Column("session", "number"),
        Column("run"),
        Column("started", detail=True),
        Column("file", detail=True),
        *(Column(head, "number") for head in heads),
        Column("new level"),
        Column("why not"),
    ]
    points = enumerate(series["points"], start=1)
    rows = [[f"{at}", *_row(document, series, point)] for at, point in points]
    caption = f"{_name(document, series)}, session by session"
    table = Table(caption, columns, rows).filled()
    return Section(_name(document, series), tables=[table], charts=list(_charts(document, series)))


def _row(document: Document, series: Row, point: Row) -> list[str]:
    ratio = series["follows"] == "ratio"
    values = [point["ratio"], point["value"], point["anchor_value"]] if ratio else [point["value"]]
    show = percent if document["unit"] == "share" else with_interval
    shown = [show(each["value"], each["ci"]) for each in values]
    moved = {change["first"] for change in series["changes"]}
    around = {change["first"] for change in series["anchor_changes"]}
    word = "exact" if document["exact"] else "nominated"
    told = {word: point["run"] in moved, "anchor's own": point["run"] in around}
    lead = values[0]
    return [
        clean(point["run"]),
        clean(point["started"])[:16].replace("T", " "),
        clean(point["artifact"])[:_HASH],
        *shown,
        ", ".join(word for word, holds in told.items() if holds),
        clean(lead["reason"] or "", 200) if lead["value"] is None else "",
    ]


def _charts(document: Document, series: Row) -> Iterator[Chart]:
    if document["series"].index(series) >= MOST_CHARTS:
        return
    name = _name(document, series)
    if series["follows"] == "ratio":
        anchor = clean(series["anchor"])
        yield _chart(series, "ratio", "changes", f"{name}: ratio to {anchor}")
        yield _chart(
            series, "anchor_value", "anchor_changes", f"{anchor} itself, {document['unit']}"
        )
    else:
        yield _chart(series, "value", "changes", f"{name}: {document['metric']}")


def _chart(series: Row, key: str, changes: str, caption: str) -> Chart:
    points = [
        {
            "session": f"{at + 1}",
            "value": point[key]["value"],
            "low": (point[key]["ci"] or [point[key]["value"]])[0],
            "high": (point[key]["ci"] or [point[key]["value"]])[-1],
        }
        for at, point in enumerate(series["points"])
        if point[key]["value"] is not None
    ]
    runs = [point["run"] for point in series["points"]]
    begin = [f"{runs.index(change['first']) + 1}" for change in series[changes]]
    told = "; dashed: where a new level is nominated" if begin else ""
    order = [f"{at + 1}" for at in range(len(runs))]
    return Chart(f"{caption}{told}", partial(history_chart, points, order, begin))


def _surroundings(document: Document) -> Section:
    columns = [Column(name) for name in ("session", "where", "what", "before", "from here on")]
    rows = [
        [
            clean(session["run"]),
            clean(" · ".join(filter(None, (d["runtime"], d["scenario"]))) or document["device"]),
            clean(d["fact"]),
            clean(d["first"], 200),
            clean(d["second"], 200),
        ]
        for session in document["sessions"]
        for d in session["surroundings"]
    ]
    words = [
        f"{clean(each['run'])} is left out: {clean(each['reason'])}."
        for each in document["left_out"]
    ]
    if not rows:
        words.append("Nothing that was recorded differs from one session to the next.")
        return Section("What differed around the sessions", words)
    table = Table("Differences from the session before", columns, rows)
    return Section("What differed around the sessions", words, tables=[table])


def _method(document: Document) -> Section:
    files = {s["anchor"]: s["anchor_file"] for s in document["series"] if s["anchor"]}
    pinned = ", ".join(f"{clean(name)} ({clean(sha)[:_HASH]})" for name, sha in files.items())
    words = [
        f"The anchor is one pinned file: {pinned}. A session that measured another file under its "
        "name has no ratio to it."
        if files
        else "Nothing here is tied to an anchor.",
        "Change points: the borders of the best division of the sessions into levels of at least "
        f"{document['fewest_sessions'] // 2} sessions (absolute deviations, a penalty of 2 log n), "
        "but for those that move a level by 1% or less. Of few sessions about one series in twenty "
        "shows one by chance alone; of noise that lasts over sessions more do.",
        "The interval of a point is made of the launches of its session. How much sessions differ "
        "is what the scatter of the points shows.",
    ]
    return Section("How far this may be trusted", words, detail=True)
