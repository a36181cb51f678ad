"""Every number that a page shows is one of its JSON, in the page's unit and rounding.

The document is shown once as it is and once with numbers that leave a mark where they are printed
(`traced_numbers`): the texts are the same, and what has no mark is not of the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import selection_builder
from page_numbers import Show, report, strangers, texts, undrawn
from report_runs import POOR, RICH, document
from run_builder import TIMES
from session_builder import session
from traced_numbers import marked, traced

from reports.forms import Sections, to_html, to_markdown
from reports.gates import Limit
from reports.layout import Chart, Section
from reports.sections import latency
from reports.selection import document as selection
from reports.selection import page as selection_page
from reports.selection.candidates import Session
from reports.selection.wanted import Declared, Wanted
from reports.sessions import compare_page, compared, history, history_page
from tests.unit.page_texts import PageTexts


@pytest.mark.parametrize("name", [*RICH, *POOR])
def test_every_number_of_a_report_is_one_of_its_json(name: str) -> None:
    assert strangers(document(name), report) == []


@pytest.mark.parametrize("name", [*RICH, "running"])
def test_every_number_of_a_chart_is_one_of_its_json(name: str) -> None:
    assert undrawn(document(name), report) == []


def pages() -> Iterator[tuple[str, Mapping[str, Any], Show]]:
    slower = {**TIMES, "slim-40": 2.3}
    first = session(1)
    other = session(2, slower, slower=1.2, files={"slim-40": "other"}, right={**TIMES_RIGHT})
    yield "compare", compared.build(first, other), compare_page.sections
    yield "refused", compared.build(first, session(2, version="1.32")), compare_page.sections
    changed = [
        session(at, slower if at > 6 else TIMES, files={"slim-40": "v2"} if at > 6 else {})
        for at in range(1, 13)
    ]
    for metric in ("latency_p50_ms", "accuracy_top1"):
        question = history.Question("slim-40", "pi5", metric)
        yield f"history {metric}", history.build(changed, question), history_page.sections
    for most in (33.0, 0.5):
        yield f"select {most:g}", _selected(most), selection_page.sections


TIMES_RIGHT = {"dense": 0.92, "int8": 0.915, "pruned-70": 0.80, "slim-40": 0.85}


def _selected(most: float) -> dict[str, Any]:
    told = {name: Declared(usd, "made up") for name, usd in selection_builder.PRICES.items()}
    cheap = {name: replace(price, value=price.value / 2) for name, price in told.items()}
    wanted = Wanted(
        limits=[Limit("latency_p95_ms", "max", most), Limit("price_usd", "max", 300)],
        objective={"latency_p95_ms": 1.0, "price_usd": 1.0},
        prices={"now": told, "cheap": cheap},
    )
    own = {name: name for name in selection_builder.BOARDS}
    return selection.build([Session.of(selection_builder.session())], own, wanted, 400)


PAGES = list(pages())


@pytest.mark.parametrize(("document", "show"), [each[1:] for each in PAGES], ids=lambda _: "")
def test_every_number_of_several_runs_is_one_of_their_json(
    document: Mapping[str, Any], show: Show
) -> None:
    assert strangers(document, show) == []
    assert undrawn(document, show) == []


@pytest.mark.parametrize("planted", ["p50 is 12.7 ms", "{:.2f}", "0.30"])
def test_a_number_from_elsewhere_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, computed from the document's, or in place of one of them."""
    found = document("one-launch")
    honest = latency.section

    def section(document: Mapping[str, Any]) -> Section:
        made = honest(document)
        value = document["results"][0]["latency_ms"]["p50"] * 1.1
        if planted != "0.30":
            return replace(made, words=[*made.words, planted.format(value)])
        table = made.tables[0]
        rows = [[*table.rows[0][:2], planted, *table.rows[0][3:]], *table.rows[1:]]
        return replace(made, tables=[replace(table, rows=rows)])

    monkeypatch.setattr(latency, "section", section)
    [(shown, _)] = strangers(found, report)
    assert shown.section == "latency"


def test_a_drawn_number_from_elsewhere_is_found() -> None:
    def show(_: Mapping[str, Any]) -> Sections:
        drawn = {"datasets": {"d": [{"value": 1.25}, {"value": 50.0}]}}
        return [("latency", Section("Latency", charts=[Chart("", lambda: drawn)]))]

    assert undrawn({"p50": 1.25, "share": 0.5}, show) == []
    assert undrawn({"p50": 1.2500001, "share": 0.5}, show) == [1.25]


@pytest.mark.parametrize("name", ["realistic", "scenarios"])
def test_the_page_says_nothing_but_the_sections(name: str) -> None:
    """What holds of the sections holds of the page and of Markdown: they add no number."""
    whole = report(document(name))
    sections = [(of, replace(section, charts=())) for of, section in whole]
    said = {" ".join(shown.text.split()) for shown in texts(sections)}
    said |= {f"{shown.text} ({shown.rows})" for shown in texts(sections) if shown.rows}
    page = PageTexts(to_html(sections, "page"), ("svg", "script", "style", "button"))
    read = [" ".join(text.split()) for text in page.texts if re.search(r"\d", text)]
    assert read and not [text for text in read if text not in said]
    digits = re.findall(r"\d+", " ".join(shown.text for shown in texts(sections)))
    folded = [s.tables for _, s in sections if not s.detail]
    digits += [str(len(table.rows)) for tables in folded for table in tables if table.detail]
    told = re.sub(r"&#\d+;", "", to_markdown(sections, "page"))
    assert sorted(re.findall(r"\d+", told)) == sorted(digits)


def test_marks_are_kept_by_units_and_lost_by_sums() -> None:
    one = traced({"ms": 1.5, "count": 3})
    assert f"{one['ms'] * 1000:.0f} {one['count'] / 2**10:.3f}" == "⟦1500 ⟦0.003"
    assert f"{one['ms'] + one['ms']} {one['count'] * one['ms']}" == "3.0 4.5"
    assert marked("p95 of 12") == "p⟦95 of ⟦12"
