"""Runs that lack nearly everything, in every form: nothing raises, nothing is invented or empty."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from report_runs import POOR, document
from rich.console import Console

from reports import annotations, render
from reports.junit import xml
from reports.sections import all_sections, latency
from tests.unit.page_texts import PageTexts

# What a program says of a value that is not there, and a person never.
NO_WORDS = re.compile(r"\b(?:nan|NaN|None|inf|-inf|null|undefined|Traceback|Error)\b")
LOST = "could not be made"


def terminal(found: Mapping[str, Any]) -> str:
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    render.terminal(found, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def readable(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every form that people read."""
    yield "terminal", terminal(found)
    yield "page", " ".join(PageTexts(render.html(found)).texts)
    yield "markdown", render.markdown(found)
    yield "markdown with pictures", render.markdown(found, "files")
    yield "csv", render.csv(found)
    for advisory in (False, True):
        yield "junit", xml(found, advisory)
        yield "annotations", annotations.github(found, advisory)
    yield "answer", annotations.answer(found)


@pytest.mark.parametrize("name", POOR)
def test_every_form_says_what_there_is_and_no_more(name: str) -> None:
    for form, text in readable(document(name)):
        assert not NO_WORDS.search(text), (form, text)
        assert LOST not in text, form


@pytest.mark.parametrize("name", POOR)
def test_no_chart_and_no_table_is_empty(name: str) -> None:
    for _, section in all_sections(document(name)):
        assert section.words or section.points or section.tables, section.title
        assert all(table.rows and table.columns for table in section.tables)
        for chart in section.charts:
            drawn = chart.draw()["datasets"].values()
            assert any(len(points) > 0 for points in drawn), chart.caption


def _strict(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("name", POOR)
def test_programs_can_read_every_form(name: str) -> None:
    found = document(name)
    assert json.loads(render.json_text(found), parse_constant=_strict) == found
    rows = len(found["results"])
    assert len(pd.read_parquet(io.BytesIO(render.parquet(found)))) == rows
    assert len(render.csv(found).splitlines()) == rows + 1
    suites = ElementTree.fromstring(xml(found)).findall("testsuite")
    assert len(suites) == len(found["devices"])
    assert all(suite.findall("testcase") for suite in suites), "Jenkins fails on an empty suite"


def test_a_table_without_a_cell_has_the_columns_of_any_other() -> None:
    """Of a file without a line of names pandas reads nothing."""
    columns = list(pd.read_csv(io.StringIO(render.csv(document("running")))).columns)
    for empty in (
        pd.read_csv(io.StringIO(render.csv(document("nothing")))),
        pd.read_parquet(io.BytesIO(render.parquet(document("nothing")))),
    ):
        assert list(empty.columns) == columns and empty.empty


SAID = {
    "nothing": ("The study sets no gates.", None),
    "one-cell": ("There is no variant to hold against the baseline.", None),
    "one-launch": ("Not decided: latency_p50_ratio <= 1.03 (1 of 1)", "inconclusive"),
    "only-failures": ("Without a result: 2 of 2 cells.", "inconclusive"),
    "devices-failed": ("Device pi5 failed: connection refused.", "inconclusive"),
    "running": ("Without a result: 1 of 1 cell.", None),
    "no-dataset": ("int8 pays off in speed", None),
}


@pytest.mark.parametrize(("name", "words", "overall"), [(n, *said) for n, said in SAID.items()])
def test_the_answer_says_why(name: str, words: str, overall: str | None) -> None:
    found = document(name)
    assert found["overall"] == overall
    assert words in " ".join(terminal(found).split())


def test_what_broke_is_told_with_its_log() -> None:
    found = document("only-failures")
    for text in (terminal(found), render.markdown(found), render.html(found)):
        assert "killed by signal 9" in text
    assert "out of memory" in render.markdown(document("only-failures"))


@pytest.mark.usefixtures("faults_told")
def test_a_section_that_raises_says_so_and_the_others_come(monkeypatch: Any) -> None:
    def section(_: Any) -> Any:
        raise ValueError("<b>no | such\x1b[31m thing")

    monkeypatch.setattr(latency, "section", section)
    found = document("nothing")
    page = render.html(found)
    for text in (terminal(found), render.markdown(found), page):
        assert LOST in text and "\x1b" not in text
        assert "Verdicts" in text and "The study sets no gates" in text
    assert "<b>no" not in page and "ValueError: &lt;b&gt;no" in page
