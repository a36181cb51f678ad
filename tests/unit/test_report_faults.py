"""A fault in one part of a report costs the reader that part alone, and says what it was."""

from __future__ import annotations

import types
from typing import Any
from xml.etree import ElementTree

import pytest
from run_builder import realistic

from reports import junit, render, sections
from reports.document import build
from reports.layout import Document
from reports.sections import comparison, throughput

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
