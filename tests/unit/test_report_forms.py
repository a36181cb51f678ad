"""Every form of the report: complete, readable, and safe with hostile names."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from run_builder import RunBuilder, cell, realistic

import reports
from reports import render
from reports.charts import svg
from reports.document import build
from reports.run import CellRecord, Run
from reports.sections import all_sections, comparison
from reports.text import NOTHING, clean, number, percent, with_interval

HOSTILE = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "quote": '" onmouseover="alert(1)\' --',
    "template": "{{ 7 * 7 }}{% raw %}",
    "ansi": "\x1b[31mred\x1b]0;title\x07\x1b[2J",
    "markup": "[bold red]x[/bold red] [/]",
    "direction": "abc\u202egnp.exe\u2066",
    "lines": "a\nb\r\n| c | d |\n# heading",
    "markdown": "`code` *bold* [link](http://x.example) @someone | pipe #1",
    "formula": "=HYPERLINK(1)",
    "surrogate": "half \ud800 pair",
    "long": "x" * 10_000,
    "words": "模型 " + "ü" * 30,
}


def hostile_run(name: str) -> Run:
    """A run in which every free text is the same hostile string."""
    made = RunBuilder(launches=6)
    made.study = {"name": name, "baseline": "dense", "gates": [{"metric": "load_ms", "max": 1}]}
    dense, odd = cell("dense"), cell(name)
    made.add_artifact(name, 10, None)
    made.add_cell(dense)
    made.add_cell(odd)
    made.cells.append(CellRecord("pi5", cell(name, "litert"), "unsupported", name))
    made.add_group(name, {dense["id"]: 2.0, odd["id"]: 1.0}, executed={"precision": name})
    made.add_evaluation(dense, 1.0, status="failed", reason=name, top=None)
    return made.build()


def terminal(document: Any, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    render.terminal(document, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


SCRIPT = (Path(reports.__file__).parent / "templates" / "page.js").read_text()


class Page(HTMLParser):
    """Collects the tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build(realistic())


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> str:
    return render.html(document)


def check_page(text: str) -> None:
    """No script but the page's own, no handler, nothing fetched from anywhere."""
    text.encode()
    assert "could not be made" not in text, "a section that raises is a fault, however well told"
    found = Page(text)
    assert not {"iframe", "img", "object", "embed", "form"} & set(found.tags)
    *packed, own = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert own == SCRIPT and found.tags.count("script") == len(packed) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9+/=]+", data) for data in packed)
    assert hashlib.sha256(SCRIPT.encode()).digest() == base64.b64decode(
        re.findall(r"script-src 'sha256-([^']+)'", text)[0]
    )
    for name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "action"):
            assert value == "data:," or str(value).startswith("#")
    assert not re.search(r"@import|url\((?!#)", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_tables_keep_their_columns(name: str) -> None:
    lines = render.markdown(build(hostile_run(HOSTILE[name]))).split("\n")
    for rule in [at for at, line in enumerate(lines) if line.startswith("| ---")]:
        width = lines[rule].count("|")
        rows = lines[rule - 1 :]
        for line in rows[: next((i for i, x in enumerate(rows) if not x.startswith("|")), None)]:
            assert line.count("|") == width


def test_markup_is_printed_as_it_is() -> None:
    assert "[bold" in terminal(build(hostile_run(HOSTILE["markup"])))


@given(st.text(max_size=300))
def test_clean_text_is_one_short_printable_line(text: str) -> None:
    made = clean(text)
    assert len(made) <= 120
    assert not [c for c in made if unicodedata.category(c) in ("Cc", "Cf", "Cs")]
    made.encode()


def test_the_page_stands_alone(document: dict[str, Any], page: str) -> None:
    check_page(page)
    assert page.startswith("<!doctype html>")
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page
    assert (
        page.count("<svg") == sum(len(section.charts) for _, section in all_sections(document)) > 8
    )


def test_ids_are_unique_on_the_page(page: str) -> None:
    ids = [value for name, value in Page(page).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_the_answer_is_on_top_of_every_form(document: dict[str, Any], page: str) -> None:
    for text in (" ".join(Page(page).texts), render.markdown(document), terminal(document)):
        top = text[: len(text) // 3]
        assert "FAIL: at least one gate is broken." in top
        assert "pays off in speed" in top and "does not pay off in speed" in top


def test_every_section_is_on_the_page(page: str) -> None:
    texts = Page(page).texts
    for title in (
        "Summary",
        "Verdicts",
        "Comparison",
        "Latency",
        "Throughput",
        "Accuracy",
        "Memory and load",
        "Failures, unsupported cells and flags",
        "How steady it was",
        "Environment and provenance",
        "How it was measured",
    ):
        assert texts.count(title) == 2  # in the list of sections and as a heading


def test_the_page_shows_the_numbers_of_the_document(document: dict[str, Any], page: str) -> None:
    texts = set(Page(page).texts)
    for row in document["results"]:
        latency = row["latency_ms"]
        if latency["p50"] is not None:
            assert with_interval(latency["p50"], latency["ci"]["p50"]) in texts
    for row in document["comparisons"]:
        assert with_interval(row["ratio"], row["ci"]) in texts


@pytest.mark.parametrize("width", [80, 100])
def test_names_and_ratios_are_whole_on_a_terminal(document: dict[str, Any], width: int) -> None:
    printed = terminal(document, width)
    assert max(map(len, printed.split("\n"))) <= width
    table = printed[printed.index("Comparison") : printed.index("Latency")]
    for name in ("pruned-70", "onnxruntime", "openvino", "slim-40"):
        assert name in table
    if width == 100:
        assert "0.300 [0.298, 0.302]" in table


def test_degenerate_runs_have_pages_too() -> None:
    made = RunBuilder(launches=1)
    pages = [render.html(build(made.build()))]
    made.add_cell(cell("dense"), "unsupported", "no such runtime")
    pages.append(render.html(build(made.build())))
    made.add_cell(cell("int8"))
    made.add_group("g", {cell("int8")["id"]: 1.0})
    pages.append(render.html(build(made.build())))
    made.groups[0].group["baseline"] = cell("dense")["id"]
    pages.append(render.html(build(made.build())))
    for text in pages:
        check_page(text)
        assert "ratio with its interval" not in text
    assert "Nothing was compared" in pages[0]
    assert "No ratio could be formed" in pages[3]
    for form in (render.markdown, render.csv, render.json_text):
        assert form(build(RunBuilder().build()))
    assert "sets no gates" in terminal(build(RunBuilder().build()))


def test_a_single_ratio_and_a_wide_one_can_be_drawn() -> None:
    for ratio in (0.001, 0.97, 1.0, 30.0):
        made = RunBuilder(launches=2)
        made.add_cell(cell("dense"))
        made.add_cell(cell("other"))
        made.add_group("g", {cell("dense")["id"]: 2.0, cell("other")["id"]: 2.0 * ratio})
        [chart] = comparison.section(build(made.build())).charts
        assert svg(chart.draw(), "one").startswith("<svg")


def test_csv_has_one_row_a_cell(document: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(render.csv(document))))
    assert len(rows) == len(document["results"])
    first, expected = rows[0], document["results"][0]
    assert float(first["latency_ms.p50"]) == expected["latency_ms"]["p50"]
    assert float(first["latency_ms.ci.p50.low"]) == expected["latency_ms"]["ci"]["p50"][0]
    assert rows[-1]["latency_ms.p50"] == "" and rows[-1]["status"] == "unsupported"
    assert len(set(rows[0])) == len(rows[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NOTHING),
        (0.0, "0"),
        (1.2345, "1.23"),
        (0.29968, "0.300"),
        (0.9996, "1.00"),
        (9.999, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (0.00001234, "1.23e-05"),
        (-0.01234, "-0.0123"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_shares_are_percentages() -> None:
    assert percent(0.915, (0.868, 0.946)) == "91.5% [86.8, 94.6]"
    assert percent(None) == NOTHING


@pytest.mark.parametrize(
    ("value", "ends", "text"),
    [
        (
            1.0314,
            (1.0272, 1.0357),
            "1.031 [1.027, 1.036]",
        ),  # two decimals could not tell them apart
        (0.9988, (0.9942, 1.0053), "0.999 [0.994, 1.005]"),
        (0.411, (0.35, 0.48), "0.411 [0.350, 0.480]"),
        (2117.3, (1909.2, 2346.8), "2,117 [1,909, 2,347]"),
        (5.0, (5.0, 5.0), "5.00 [5.00, 5.00]"),
        (0.0, (0.0, 0.0), "0 [0, 0]"),
        (1.5, None, "1.50"),
    ],
)
def test_an_interval_has_as_many_decimals_as_it_needs(
    value: float, ends: tuple[float, float] | None, text: str
) -> None:
    assert with_interval(value, ends) == text


def test_markdown_refers_to_the_charts_that_are_drawn(document: dict[str, Any]) -> None:
    drawn = render.charts(document)
    text = render.markdown(document, "report_files")
    assert len(drawn) >= 2 and all(svg.startswith("<svg") for svg in drawn.values())
    assert re.findall(r"\]\(report_files/([^)]+)\)", text) == list(drawn)
    assert "![" not in render.markdown(document)
