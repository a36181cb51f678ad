"""A fault in one part of a report costs the reader that part alone, and says what it was."""

from __future__ import annotations

import types
from typing import Any
from xml.etree import ElementTree

import pytest
from run_builder import realistic
from selection_builder import BOARDS
from selection_builder import session as boards
from session_builder import session

from reports import faults, junit, render, sections
from reports.document import build
from reports.forms import to_html
from reports.layout import Document
from reports.sections import comparison, throughput
from reports.selection import document as selection
from reports.selection import page as selection_page
from reports.selection.candidates import Session
from reports.selection.wanted import Wanted
from reports.sessions import (
    compare_page,
    compared,
    history,
    history_page,
    overview,
    overview_page,
)

pytestmark = pytest.mark.usefixtures("faults_told")
WORDS = "<img src=x> {} 100%" + "y" * 500


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build(realistic(launches=2))


def broken(*_: Any) -> Any:
    raise ValueError(WORDS)


def test_a_chart_that_raises_leaves_its_place_the_page_and_the_pictures(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sum(len(section.charts) for _, section in sections.all_sections(document))
    monkeypatch.setattr(comparison, "ratio_chart", broken)
    page = render.html(document)
    assert page.count("<svg") == whole and page.count("This chart could not be made") == 2
    assert "ValueError: &lt;img src=x&gt; {} 100%y" in page and "<img" not in page
    assert "How it was measured" in page
    drawn = render.charts(document)
    lost = [name for name, picture in drawn.items() if "could not be made" in picture]
    assert lost == ["comparison0.svg", "comparison1.svg"]
    assert "comparison0.svg" in render.markdown(document, "pictures")
    for picture in drawn.values():
        ElementTree.fromstring(picture)


def test_what_vega_refuses_is_a_fault_too(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "throughput_chart", lambda _: {"mark": 7})
    page = render.html(document)
    assert page.count("This chart could not be made") == 1 and "ValueError" in page


def test_a_section_that_cannot_even_be_imported_is_told(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sections.importlib.import_module

    def imported(name: str) -> types.ModuleType:
        if name.endswith(".memory"):
            raise ImportError("no such part")
        return real(name)

    monkeypatch.setattr(sections.importlib, "import_module", imported)
    found = dict(sections.all_sections(document))
    assert "ImportError: no such part" in found["memory"].words[0]
    assert found["latency"].tables


def selected() -> dict[str, Any]:
    wanted = Wanted([], {"latency_p95_ms": 1.0}, prices={"now": {}})
    return selection.build(
        [Session.of(boards(launches=2))], {name: name for name in BOARDS}, wanted, 50
    )


def followed() -> dict[str, Any]:
    question = history.Question("slim-40", "pi5", "latency_p50_ms")
    return history.build([session(1, launches=2), session(2, launches=2)], question)


def seen() -> dict[str, Any]:
    question = history.Question("slim-40", "pi5", "latency_p50_ms")
    runs = [session(1, launches=2), session(2, launches=2)]
    return overview.build({"kws": history.follow(runs, [question])}, "latency_p50_ms")


def both() -> dict[str, Any]:
    return compared.build(session(1, launches=2), session(2, launches=2))


PAGES = {
    "select": (selection_page, selected, "candidates", "candidates"),
    "compare": (compare_page, both, "_times", "times"),
    "history": (history_page, followed, "_series", "series0"),
    "overview": (overview_page, seen, "_cells", "cells"),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_of_several_runs_survive_a_section_that_raises(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, made, part, place = PAGES[name]
    found = made()
    whole = page.sections(found)
    monkeypatch.setattr(page, part, broken)
    rest = page.sections(found)
    assert [title for title, _ in rest] == [title for title, _ in whole]
    words = dict(rest)[place].words
    assert words[0].startswith("This section could not be made: ValueError: <img src=x> {} 100%y")
    assert words[0].endswith(f"({place}).") and words[1] == "The JSON holds its numbers."
    others = [(title, each) for title, each in whole if title != place]
    assert [each for each in rest if each[0] != place] == others
    text = to_html(rest, page.title(found))
    assert "&lt;img src=x&gt;" in text and "<img" not in text


@pytest.mark.parametrize("name", PAGES)
def test_to_tests_a_fault_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page, made, part, _ = PAGES[name]
    monkeypatch.setattr(page, part, broken)
    monkeypatch.setattr(faults, "raising", True)
    with pytest.raises(ValueError, match="img src"):
        page.sections(made())


def cases(document: Document) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(junit.xml(document))
    assert int(root.get("tests", "-1")) == len(root.findall("./testsuite/testcase"))
    return root.findall("./testsuite/testcase")


def test_a_study_without_gates_is_one_skipped_case_with_the_reason() -> None:
    """Of an empty suite Jenkins makes a failed build, and GitLab nothing at all."""
    found = build(without_gates())
    [case] = cases(found)
    [skipped] = case
    assert skipped.tag == "skipped" and "no gate in this study" in str(skipped.get("message"))
    assert skipped.text and "gates: [{metric" in skipped.text
    assert case.get("classname") == "kws.pi5" and case.get("time") is not None


def without_gates() -> Any:
    run = realistic(launches=1)
    return type(run)(**{**vars(run), "study": {**run.study, "gates": []}})
