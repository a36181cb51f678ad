"""A selection as words and tables: sections made of its document alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from reports.faults import kept
from reports.forms import Sections
from reports.layout import Column, Row, Section, Table
from reports.selection.answer import answer
from reports.selection.listing import candidates, limits
from reports.selection.wanted import PRICE
from reports.selection.words import LONGEST, Document, chance, named, with_ends
from reports.text import NOTHING, clean, counted, number


def title(document: Document) -> str:
    """What the page is headed with."""
    return f"edgeproof: selection, {document['study']}"


def sections(document: Document) -> Sections:
    """All sections with their names, in order."""
    parts: Mapping[str, Callable[[Document], Section | None]] = {
        "answer": answer,
        "candidates": candidates,
        "next": _next,
        "prices": _prices,
        "limits": limits,
        "left-out": _left_out,
        "method": _method,
    }
    return kept((name, partial(part, document)) for name, part in parts.items())


def _next(document: Document) -> Section | None:
    if not document["next"]:
        return None
    rows = [
        [_measured(document, step), chance(step["chance"]), clean(step["action"], 400)]
        for step in document["next"]
    ]
    columns = [Column("candidate"), Column("P(changes it)", "number"), Column("measurement")]
    caption = (
        "The likeliest to change the choice first: P that the candidate is better than it, as far "
        "as is known; the numbers needed assume that values and spread stay as seen"
    )
    return Section("What to measure next", tables=[Table(caption, columns, rows)])


def _measured(document: Document, step: Row) -> str:
    others = f" and {counted(step['others'], 'other')}" if step["others"] else ""
    return named(document, step) + others


def _prices(document: Document) -> Section | None:
    tables = [table for table in (_turns(document), _scenarios(document)) if table]
    priced = any("price_usd" in row["values"] for row in document["candidates"])
    if not tables and not (priced and document["choice"]):
        return None
    words = [] if tables else ["No price turns the choice."]
    return Section("Prices", words, tables=tables)


def _turns(document: Document) -> Table | None:
    rows = [
        [
            clean(row["hardware"], LONGEST),
            number(row["price_usd"]),
            f"{row['side']} {with_ends(PRICE, row['turns_at_usd'], row['ci'])}"
            if row["turns_at_usd"] is not None
            else NOTHING,
            clean(row["reason"] or ""),
        ]
        for row in document["turning_prices"]
    ]
    columns = [
        Column("hardware"),
        Column("price, USD", "number"),
        Column("the choice turns, USD", "number"),
        Column("note"),
    ]
    caption = (
        "The price at which the choice turns, all else as it is: above, another takes the place of "
        "the chosen hardware; below, this one would"
    )
    return Table(caption, columns, rows).filled() if rows else None


def _scenarios(document: Document) -> Table | None:
    rows = []
    for scenario in document["scenarios"]:
        choice = scenario["choice"]
        prices = ", ".join(
            f"{clean(name)} {number(each['value'])}"
            for name, each in document["prices"][scenario["name"]].items()
        )
        told = [named(document, choice), chance(scenario["p_near"])] if choice else ["none", ""]
        rows.append([clean(scenario["name"]), prices, scenario["outcome"], *told])
    columns = [
        Column("prices"),
        Column("USD"),
        Column("outcome"),
        Column("choice"),
        Column(f"P(within {100 * document['delta']:g}%)", "number"),
    ]
    caption = "The choice under each scenario of prices; the rest of the page is of the first"
    return Table(caption, columns, rows) if len(rows) > 1 else None


def _left_out(document: Document) -> Section | None:
    rows = [
        [
            f"{clean(row['variant'], LONGEST)} in {clean(row['runtime'])}",
            clean(row["device"]),
            clean(row["run"]),
            clean(row["reason"], 300),
        ]
        for row in document["left_out"]
    ]
    columns = [Column("cell"), Column("device"), Column("run"), Column("why")]
    table = Table("Cells that are no candidates", columns, rows)
    return Section("Left out", tables=[table], detail=True) if rows else None


def _method(document: Document) -> Section:
    words = [
        f"Runs: {', '.join(clean(run) for run in document['runs'])}. P is the share of "
        f"{document['draws']:,} draws. A draw weighs anew the highest units there are (boards, "
        "else sessions, else launches), the same for all metrics and candidates of a hardware, and "
        "scales by what so few units leave open of their spread: below 8 units this is Student's "
        "t. Accuracy is drawn from its own interval, over samples.",
        "Times are by the clock around the call, so that runtimes can be told apart: one that "
        "times itself is given what the call adds. A ratio to the baseline is within one runtime, "
        "by its own clock.",
        f"A claim is made from P = {document['sure']:.0%} on. A value without interval never keeps "
        "a limit for sure. Regret is the expected cost beyond the best of the same draw, relative; "
        "a draw that costs twice the best or more, or breaks a limit, counts as 100%. In an "
        "objective a percent of a metric counts as much as a point of a share.",
    ]
    rows = [
        [clean(name, LONGEST), what, number(each["value"]), clean(each["source"], 200)]
        for what, told in (("price, USD", _first(document)), ("power, W", document["watts"]))
        for name, each in told.items()
    ]
    columns = [Column("hardware"), Column("what"), Column("value", "number"), Column("who says so")]
    table = Table("What nobody measured", columns, rows)
    return Section("How it was chosen", words, tables=[table], detail=True)


def _first(document: Document) -> Mapping[str, Any]:
    return next(iter(document["prices"].values()), {})
