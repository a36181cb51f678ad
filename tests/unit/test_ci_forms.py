"""What CI systems read of a run: JUnit XML, GitHub's annotations, one line, and Parquet."""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from agents import wire
from harness.cli_shared import FORMS
from reports import annotations, render
from reports.document import build
from reports.junit import xml
from tests.unit.run_builder import RunBuilder, cell

DENSE, SLOW, LOST = cell("dense"), cell("slow"), cell("lost")
WAIVER = {
    "metric": "latency_p50_ratio",
    "max": 1.5,
    "variant": "slow",
    "device": "pi5",
    "runtime": "onnxruntime",
    "expires": "2027-01-01",
    "reason": "known",
    "issue": None,
}


def document(name: str = "s", waivers: Any = (), status: wire.Status = "failed") -> dict[str, Any]:
    """A baseline that passes, a variant that is slower, one that broke."""
    gates = [{"metric": "latency_p50_ratio", "max": 1.03}, {"metric": "peak_rss_mib", "max": 1000}]
    study = {"name": name, "baseline": "dense", "gates": gates, "waivers": list(waivers)}
    made = RunBuilder(launches=20, study=study)
    made.add_cell(DENSE)
    made.add_cell(SLOW)
    made.add_cell(LOST, status, "killed by signal 11")
    made.add_group("g", {DENSE["id"]: 2.0, SLOW["id"]: 2.4})
    return build(made.build())


def cases(text: str) -> dict[str, ElementTree.Element]:
    """The test cases by name, each name once."""
    found = ElementTree.fromstring(text).findall("./testsuite/testcase")
    assert len({case.get("name") for case in found}) == len(found)
    return {str(case.get("name")): case for case in found}


def test_a_case_for_every_verdict_with_its_kind() -> None:
    found = cases(xml(document()))
    kinds = {name: [part.tag for part in case] for name, case in found.items()}
    ratio, memory = "latency_p50_ratio <= 1.03: ", "peak_rss_mib <= 1000: "
    assert kinds[memory + DENSE["id"]] == []
    assert kinds[ratio + SLOW["id"]] == ["failure"]
    assert kinds[ratio + LOST["id"]] == ["error"], "the board's fault is no failure of the model"
    failure = found[ratio + SLOW["id"]][0]
    assert failure.text is not None and "limit 1.03" in failure.text and "next:" in failure.text


def test_the_counts_are_those_of_the_cases() -> None:
    root = ElementTree.fromstring(xml(document()))
    found = cases(xml(document())).values()
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(root.get(name, "-1")) == sum(case.find(tag) is not None for case in found)
    assert int(root.get("tests", "-1")) == len(found)


def test_an_open_gate_fails_unless_it_is_advisory() -> None:
    open_one = document(status="unsupported")
    name = f"latency_p50_ratio <= 1.03: {LOST['id']}"
    assert cases(xml(open_one))[name].find("failure") is not None
    assert cases(xml(open_one, advisory=True))[name].find("skipped") is not None
    assert "::error" in annotations.github(open_one)
    advised = annotations.github(open_one, advisory=True)
    assert "::warning title=inconclusive%3A" in advised


def test_a_waived_cell_is_seen() -> None:
    waived = document(waivers=[WAIVER])
    skipped = cases(xml(waived))[f"latency_p50_ratio <= 1.03: {SLOW['id']}"].find("skipped")
    assert skipped is not None and "waived up to 1.5 until 2027-01-01: known" in str(
        skipped.get("message")
    )
    assert "::notice title=pass" in annotations.github(waived)


@pytest.mark.parametrize("name", ["<b>&\x00\x1b[31m", "a\nb::error::x", "‮evil", "x" * 10_000])
def test_hostile_names_stay_text(name: str) -> None:
    found = document(name=name)
    for row in found["verdicts"]:
        row["reason"] = f"50%, {name}"
        row["cell"] = f"{row['cell']}{name}"
    assert len(cases(xml(found))) == len(found["verdicts"])
    for line in annotations.github(found).splitlines():
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,]*::.*|and \d+ more.*", line)
    assert "\n" not in annotations.answer(found)


def test_github_is_given_no_more_than_it_shows() -> None:
    found = document()
    found["verdicts"] = [row for row in found["verdicts"] if row["verdict"] == "fail"] * 12
    lines = annotations.github(found).splitlines()
    assert len(lines) == 11 and lines[-1] == "and 2 more of kind error: see the report"


def test_the_answer_in_a_line() -> None:
    told = annotations.answer(document())
    assert told.startswith("fail: 1 of 5 verdicts, such as fail: latency_p50_ratio <= 1.03 of slow")
    alone = document()
    alone["verdicts"] = [row for row in alone["verdicts"] if row["verdict"] == "pass"]
    assert annotations.answer(alone) == f"pass: {len(alone['verdicts'])} of 2 verdicts"


def test_parquet_holds_what_the_csv_holds() -> None:
    found = document()
    table = pd.read_parquet(io.BytesIO(render.parquet(found)))
    text = pd.read_csv(io.StringIO(render.csv(found)))
    assert list(table.columns) == list(text.columns)
    assert table["latency_ms.p50"].tolist()[:2] == text["latency_ms.p50"].tolist()[:2]
    assert table["status"].tolist() == ["ok", "ok", "failed"]
    assert table["latency_ms.p50"].isna().tolist() == [False, False, True]


def test_the_command_line_knows_every_form() -> None:
    assert set(FORMS.values()) == set(render.FORMS)
