"""The drift since a release: measured beside it, or the product of the gates on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from reports import annotations, render
from reports.document import build
from reports.estimate import Estimate
from reports.junit import xml
from reports.run import Release, Run
from reports.sections import drift as drift_section
from reports.sections import summary
from reports.sessions.drift import NO_RELEASE, Drift, drifts, product, told
from tests.unit.session_builder import session

GATE = [{"metric": "latency_p50_ratio", "max": 1.03}]
STEP = 1.015  # of each version: no gate of 3% fails on one, and two of them do


def gated(number: int, held_against: str, file: str, ratio: float, **changes: Any) -> Run:
    """A gate of a file that takes `ratio` of the time of the one it is held against."""
    files = {"dense": held_against, "slim-40": file}
    run = session(number, {"dense": 4.0, "slim-40": 4.0 * ratio}, files=files, **changes)
    return replace(run, study={**run.study, "gates": GATE})


def only(found: list[Drift]) -> Drift:
    [one] = found
    return one


def reported(runs: Sequence[Run], release: str = "v0") -> dict[str, Any]:
    """The document of the last of these runs; the first of their files is the release 1.4."""
    *since, last = runs
    known = Release("1.4", "2026-01-01T11:00:00+00:00", "kws-00", "slim-40", [release])
    return build(replace(last, release=known, since=since))


def chain(count: int = 4, step: float = STEP) -> list[Run]:
    """Gates of which each was held against the one before."""
    return [gated(at, f"v{at - 1}", f"v{at}", step) for at in range(1, count + 1)]


def row_of(document: dict[str, Any]) -> dict[str, Any]:
    [row] = document["drift"]["cells"]
    return dict(row)


def test_beside_the_release_the_ratio_is_the_drift() -> None:
    runs = [gated(at, "v0", f"v{at}", STEP**at, slower=1 + at / 10) for at in (1, 2, 3)]
    found = only(drifts(runs, {"v0"}))
    assert found.direct and found.total == found.links[-1].ratio
    assert [link.run for link in found.links] == ["kws-01", "kws-02", "kws-03"]
    text = told(row_of(reported(runs)))
    assert text.startswith("latency_p50_ratio of slim-40 in onnxruntime on pi5: 1.04")
    assert "measured beside it in 3 gates: 1.0" in text
    assert "the largest step +1." in text or "the largest step +2." in text


def test_small_steps_add_up_to_what_a_gate_would_not_pass() -> None:
    runs = chain()
    found = only(drifts(runs, {"v0"}))
    assert not found.direct and len(found.links) == 4
    assert found.total.interval and found.total.interval[0] < STEP**4 < found.total.interval[1]
    assert found.beyond and all((link.ratio.value or 0) < 1.03 for link in found.links)
    text = told(row_of(reported(runs)), "s.yaml")
    assert "the product of 4 gates" in text
    assert text.endswith(
        "more than one gate allows, latency_p50_ratio <= 1.03; to prove it: edgeproof gate s.yaml "
        "--against 1.4"
    )


def test_a_file_that_keeps_its_speed_breaks_nothing() -> None:
    document = reported(chain(3, 1.0))
    row = row_of(document)
    assert not row["beyond"] and row["next_step"] is None and "more than" not in told(row)
    assert "Drifted" not in " ".join(summary.section(document).words)


def test_the_report_tells_the_drift_in_every_form() -> None:
    document = reported(chain())
    assert document["overall"] == "pass", "no gate of 3% fails on one step"
    row = row_of(document)
    assert row["gate"] == "latency_p50_ratio <= 1.03" and row["ci"][0] < row["ratio"] < row["ci"][1]
    assert [step["run"] for step in row["steps"]] == ["kws-01", "kws-02", "kws-03", "kws-04"]
    page, markdown = render.html(document), render.markdown(document)
    for shown in (page, markdown):
        assert "Drift since the last release" in shown
        assert "Drifted since 1.4 by more than one gate allows: slim-40" in shown
        assert "edgeproof gate STUDY --against 1.4" in shown
    [line] = annotations.github(document).splitlines()
    assert line.startswith("::warning title=drift since 1.4::latency_p50_ratio of slim-40 in ")
    [told_once] = annotations.drifted(document, "s.yaml")
    assert told_once.startswith("drift since 1.4: ") and "gate s.yaml --against" in told_once
    read = json.loads(render.json_text(document))["drift"]
    assert read["release"]["name"] == "1.4" and read["reason"] is None


def test_junit_shows_the_drift_as_a_case_that_stops_nothing() -> None:
    """Of a property GitLab and Jenkins show nothing, and of a case that passes no text."""
    for step, tags in ((STEP, ["skipped"]), (1.0, [])):
        root = ElementTree.fromstring(xml(reported(chain(4, step))))
        [case] = [each for each in root.iter("testcase") if "drift" in str(each.get("name"))]
        assert str(case.get("name")).startswith(
            "drift since the last release, latency_p50_ratio <= 1.03: slim-40/"
        )
        assert case.get("classname") == "kws.pi5" and [each.tag for each in case] == tags
        assert root.get("failures") == root.get("errors") == "0"
    [skipped] = [*ElementTree.fromstring(xml(reported(chain()))).iter("skipped")]
    assert "since 1.4: latency_p50_ratio" in str(skipped.text)
    assert "to prove it" in str(skipped.text)


def test_without_a_release_it_is_null_with_the_reason() -> None:
    document = build(chain(1)[0])
    assert document["drift"] == {"release": None, "reason": NO_RELEASE, "cells": []}
    told_so = drift_section.section(document)
    assert told_so.detail and "--release NAME" in told_so.words[0]
    assert annotations.github(document) == "" and "drift" not in xml(document)


def test_a_release_that_nothing_was_held_against_is_told() -> None:
    document = reported(chain(2), release="other")
    assert document["drift"]["cells"] == []
    assert "nothing in 2 runs since was held against its files" in document["drift"]["reason"]
    assert not drift_section.section(document).detail


def test_a_gate_on_the_way_without_a_ratio_leaves_none() -> None:
    runs = chain(3)
    runs[1] = replace(runs[1], launches=[])
    row = row_of(reported(runs))
    assert (row["ratio"], row["ci"]) == (None, None) and not row["beyond"]
    assert "a gate on the way has no ratio" in told(row)


def test_no_way_to_the_release_is_no_drift() -> None:
    assert drifts([gated(1, "v0", "v1", STEP), gated(2, "other", "v2", STEP)], {"v0"}) == []


def test_the_release_itself_has_none() -> None:
    assert drifts([gated(1, "v0", "v0", 1.0)], {"v0"}) == []


def test_the_interval_of_a_product_is_wider_than_of_each() -> None:
    one = Estimate(1.01, (1.00, 1.02))
    both = product([one, one])
    assert both.value == pytest.approx(1.0201)
    assert both.interval and both.interval == pytest.approx((1.0060, 1.0344), abs=2e-4)
    missing = product([one, Estimate(1.01, None, "1 launch")])
    assert missing.value is not None and missing.interval is None
    assert product([one, Estimate.missing("failed")]).value is None
