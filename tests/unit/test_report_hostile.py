"""Hostile names and reasons, wherever free text goes, in every form: shown as text, no more."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_runs import WAIVER, one_launch
from rich.console import Console
from run_builder import RunBuilder, cell, cell_launch
from selection_builder import PRICES
from selection_builder import session as boards
from selftest_builder import selftest
from session_builder import FACTS, session
from test_report_forms import HOSTILE, check_page

from harness.documents import unknown
from harness.errors import InputError
from reports import annotations, render
from reports.document import build
from reports.forms import Sections, to_html, to_markdown, to_terminal
from reports.gates import Limit
from reports.junit import xml
from reports.layout import Column, Section, Table
from reports.run import ArtifactRecord, DeviceRecord, Run
from reports.sections import all_sections
from reports.selection import document as selection
from reports.selection import page as selection_page
from reports.selection.candidates import Session
from reports.selection.wanted import Declared, Wanted
from reports.sessions import (
    compare_page,
    compared,
    history,
    history_page,
    overview,
    overview_page,
)
from reports.text import REPLACED, clean

NAMES = HOSTILE | {
    "end": "</script><script>alert(1)</script>",
    "url": "javascript:alert(1)",
    "nul": "a\x00b\x0b\x1f\ufffe",
    "command": "x::error title=y::z%0A\r\n::set-output name=a::b",
    "cdata": "]]><b>&amp;<!-- -->",
    "fence": "```\n</details>\n<summary>\n# h\n| - |\n![i](http://x.example/i.png)",
    "spaces": " \u2028\u2029\u00a0 ",
}
JUDGED = build(one_launch())
QUICK = settings(max_examples=60, deadline=None)


def spoiled() -> Run:
    """A board with a variant for each name, and every other free text one of them in turn."""
    some = itertools.cycle(NAMES.values())
    made = RunBuilder(launches=2, device=f"pi5{NAMES['end']}")
    names = ["dense", *NAMES.values()]
    made.study |= {
        "name": next(some),
        "variants": {name: {"from": None if name == "dense" else "dense"} for name in names},
        "gates": [{"metric": "latency_p50_ratio", "max": 1.03}, {"metric": "load_ms", "max": 1}],
        "waivers": [
            WAIVER | {"variant": name, "device": made.device, "reason": name, "issue": name}
            for name in NAMES.values()
        ],
    }
    for name in names:
        made.artifacts[f"sha-{name}"] = ArtifactRecord(
            f"sha-{name}", name, "onnx", 10, None, None, name, {name: {name: name}}
        )
    for batch in (1, 8):
        cells = [cell(name, batch=batch) for name in names]
        for one in cells:
            made.add_cell(one)
        made.add_group(f"g{batch}", {one["id"]: float(batch) for one in cells}, executed={})
    for at, record in enumerate(made.records):
        executed = dict.fromkeys(("precision", "provider", "runtime_version", "note"), next(some))
        made.records[at] = replace(record, launch={**record.launch, "executed": executed})  # type: ignore[typeddict-item]
    for name in NAMES.values():
        made.add_cell(cell(name, "litert"), "unsupported", name)
        crashed = cell(name, "openvino")
        made.add_cell(crashed)
        broken = cell_launch(crashed["id"], [], status="failed", reason=name, log=[name, name])
        made.add_launch("lost", 0, broken)
        made.add_evaluation(cell(name), 0.0, status="failed", reason=name, top=None)
    lost = DeviceRecord(f"lost{NAMES['ansi']}", next(some), "failed", NAMES["fence"])
    run = made.build()
    known = replace(run.devices[0], facts={name: [name] for name in NAMES.values()})
    facts = FACTS | {"kernel": NAMES["fence"], "clocks": {"scaling_governor": NAMES["ansi"]}}
    tested = selftest(device=replace(known, facts=facts), runtime=NAMES["end"])
    return replace(run, id=NAMES["command"], devices=[known, lost], selftests=[tested])


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    return build(spoiled())


def printed(sections: Sections, width: int = 90) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    to_terminal(sections, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def check_terminal(text: str, width: int = 90) -> None:
    text.encode()
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"]
    assert max(map(len, text.split("\n"))) <= width


def check_markdown(text: str) -> None:
    """What it makes is headings, lists, tables and details that the report wrote."""
    text.encode()
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    tags = set(re.findall(r"</?([a-zA-Z][\w-]*)", html))
    known = {"h1", "h2", "p", "em", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th"}
    assert tags <= known | {"td", "details", "summary", "img"}, tags
    assert all(re.fullmatch(r"files/\w+\.svg", path) for path in re.findall(r'src="(.*?)"', html))
    assert text.count("<details>") == text.count("</details>") == html.count("<details>")
    for line in text.split("\n"):
        assert not line.startswith("#") or re.match(r"##? \S", line)


def test_a_report_shows_them_as_text(document: Mapping[str, Any]) -> None:
    sections = all_sections(document)
    data = {"report.json": render.json_text(document), "cells.csv": render.csv(document)}
    check_page(to_html(sections, NAMES["html"], data))
    text = to_markdown(sections, NAMES["fence"], "files")
    check_markdown(text)
    assert "@someone" not in text, "nobody is called by a report"
    for width in (80, 100):
        check_terminal(printed(sections, width), width)
    assert json.loads(render.json_text(document)) == document


def test_tables_for_programs_hold_no_formula_and_no_text_breaks_a_row(
    document: Mapping[str, Any],
) -> None:
    """A spreadsheet takes a text for a formula by its beginning, so a quote goes before it."""
    rows = list(csv.DictReader(io.StringIO(render.csv(document))))
    assert len(rows) == len(document["results"])
    assert f"'{NAMES['formula']}" in {row["variant"] for row in rows}
    for row in rows:
        assert None not in row, "a row with more fields than the head"
        assert not [field for field in row.values() if re.match(r"[=@\t\r]|[+-](?![\d.])", field)]
    table = pd.read_parquet(io.BytesIO(render.parquet(document)))
    whole = [row["variant"].replace("\ud800", REPLACED) for row in document["results"]]
    assert list(table["variant"]) == whole


def test_ci_systems_are_told_nothing_but_the_verdicts(document: Mapping[str, Any]) -> None:
    suites = ElementTree.fromstring(xml(document)).findall("testsuite")
    cases = [case for suite in suites for case in suite.findall("testcase")]
    assert len({(c.get("classname"), c.get("name")) for c in cases}) == len(document["verdicts"])
    for line in annotations.github(document).splitlines():
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,]*::.*|and \d+ more.*", line)
    check_terminal(annotations.answer(document), 10_000)


def several(name: str) -> Iterator[tuple[Mapping[str, Any], Sections, str]]:
    """Pages that are made of several runs, with hostile texts where they take any."""
    runs = [
        replace(run, id=f"{run.id}{name}", study={**run.study, "name": name})
        for run in (session(1), session(2, facts={"kernel": name, "hostname": name}))
    ]
    found = compared.build(*runs)
    yield found, compare_page.sections(found), compare_page.title(found)
    question = history.Question("slim-40", "pi5", "latency_p50_ms")
    found = history.build(runs, question)
    yield found, history_page.sections(found), history_page.title(found)
    found = overview.build({name: [found]}, question.metric)
    yield found, overview_page.sections(found), overview_page.title(found)
    told = {board: Declared(usd, name) for board, usd in PRICES.items()}
    limits = [Limit("price_usd", "max", 300)]
    wanted = Wanted(limits, {"latency_p95_ms": 1.0}, prices={name: told})
    run = replace(boards(), id=name, study={"name": name, "baseline": "dense"})
    hardware = {"pi5": f"pi5{name}", "orin": "orin", "nuc": "nuc"}
    found = selection.build([Session.of(run)], hardware, wanted, 100)
    yield found, selection_page.sections(found), selection_page.title(found)


@pytest.mark.parametrize("name", ["end", "ansi", "fence", "surrogate", "long"])
def test_pages_of_several_runs_show_them_as_text(name: str) -> None:
    for found, sections, title in several(NAMES[name]):
        bare = [(of, replace(section, charts=())) for of, section in sections]
        check_page(to_html(bare, title, {"data.json": render.json_text(found)}))
        check_markdown(to_markdown(sections, title))
        check_terminal(printed(sections))


@given(st.text(max_size=200))
@example("1. one\n* two")
@example("<https://x.example> www.x.example a@b.example")
@example("$x$ ~~y~~ ==z== [^1] :smile: &lt; \\|")
@QUICK
def test_markdown_gives_back_the_text(text: str) -> None:
    """Whatever a text holds, a reader of the rendered table sees that and nothing else."""
    table = Table("caption", [Column("name")], [[text]])
    made = to_markdown([("s", Section("title", [f"said {text}"], [("", text)], [table]))], "t")
    html = MarkdownIt("gfm-like", {"linkify": False}).render(made)
    shown = [_plain(part) for part in re.findall(r"<td>(.*?)</td>", html, re.DOTALL)]
    assert shown == [_plain_text(text)]
    assert html.count("<p>") == 2 and html.count("<li>") == 1


def _plain(html: str) -> str:
    assert "<" not in html, html
    return " ".join(ElementTree.fromstring(f"<p>{html}</p>").itertext()).strip()


def _plain_text(text: str) -> str:
    return clean(text, 1200).strip()


@given(st.text(max_size=300), st.text(max_size=300))
@QUICK
def test_junit_and_annotations_give_back_the_text(name: str, reason: str) -> None:
    row = {**JUDGED["verdicts"][0], "cell": name, "reason": reason, "verdict": "fail"}
    found = {**JUDGED, "verdicts": [row]}
    [case] = ElementTree.fromstring(xml(found)).iter("testcase")
    assert str(case.get("name")).endswith(f": {clean(name or 'no cell', 600)}")
    assert (case[0].get("message") or "") == clean(reason, 400)
    [line] = annotations.github(found).splitlines()
    said = re.fullmatch(r"::error title=([^:,]*)::(.*)", line)
    assert said is not None
    title, text = (_unescaped(part) for part in said.groups())
    assert title.startswith("fail: ") and "\n" not in title + text
    assert clean(reason, 600)[:200] in text


def _unescaped(text: str) -> str:
    """As GitHub reads a workflow command."""
    for code, character in {"%3A": ":", "%2C": ",", "%0D": "\r", "%0A": "\n", "%25": "%"}.items():
        text = text.replace(code, character)
    return text


@pytest.mark.parametrize("name", NAMES)
def test_an_error_shows_what_was_typed_as_one_short_line(name: str) -> None:
    error = InputError(unknown("variant", NAMES[name], ["dense", "int8"]), where=NAMES[name][:50])
    check_terminal(str(error), 200)


def test_what_cannot_be_shown_is_replaced_and_seen() -> None:
    assert clean("a\x00b\u202ec") == f"a{REPLACED}b{REPLACED}c"
