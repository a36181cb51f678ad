"""A metric over sessions: the ratio to a pinned anchor, nominated levels, and what lies around."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reports.forms import to_html, to_markdown
from reports.render import json_text
from reports.run import Run
from reports.sessions import history_page, overview
from reports.sessions.history import Question, build
from tests.unit.run_builder import RIGHT, TIMES
from tests.unit.session_builder import session

QUESTION = Question("slim-40", "pi5", "latency_p50_ms")


def sessions(count: int, made: Callable[[int], dict[str, Any]] = lambda _: {}) -> list[Run]:
    return [session(number, **made(number)) for number in range(1, count + 1)]


def slim(by: float) -> dict[str, float]:
    return {**TIMES, "slim-40": TIMES["slim-40"] * by}


def from_seventh(by: float = 1.05) -> Callable[[int], dict[str, Any]]:
    """From the seventh session on the variant is another file, and slower."""
    return lambda n: {"times": slim(by), "files": {"slim-40": "v2"}} if n >= 7 else {}


def only(document: dict[str, Any]) -> dict[str, Any]:
    [found] = document["series"]
    return found


def shown(document: dict[str, Any]) -> str:
    return to_markdown(history_page.sections(document), history_page.title(document))


def test_a_slower_variant_is_nominated_where_it_changed() -> None:
    found = build(sessions(12, from_seventh()), QUESTION)
    [change] = only(found)["changes"]
    assert (change["last"], change["first"]) == ("kws-06", "kws-07")
    assert change["ratio"] == pytest.approx(1.05, rel=0.01)
    assert change["confirm"] == "edgeproof gate STUDY --against kws-06:slim-40"
    assert only(found)["anchor_changes"] == []
    text = shown(found)
    assert "1 change of level nominated. None is a verdict" in text
    assert "to confirm: edgeproof gate STUDY --against kws-06:slim-40" in text


def test_a_moved_environment_blames_no_variant() -> None:
    def moved(n: int) -> dict[str, Any]:
        return {"slower": 1.3, "facts": {"kernel": "6.12.1"}} if n >= 7 else {}

    found = build(sessions(12, moved), QUESTION)
    assert only(found)["changes"] == []
    [around] = only(found)["anchor_changes"]
    assert around["first"] == "kws-07" and around["confirm"] is None
    assert [d["fact"] for d in around["surroundings"]] == ["kernel"]
    text = shown(found)
    assert "the surroundings moved there, which is no variant's doing" in text
    assert "dense itself " in text and "around it: kernel 6.6.31 to 6.12.1." in text


def test_a_change_without_another_file_has_nothing_to_measure_again() -> None:
    def newer(n: int) -> dict[str, Any]:
        return {"times": slim(1.1), "version": "1.32"} if n >= 7 else {}

    [change] = only(build(sessions(12, newer), QUESTION))["changes"]
    assert change["same_file"] and change["confirm"] is None
    assert [(d["fact"], d["second"]) for d in change["surroundings"]] == [("version", "1.32")]


def test_an_overview_takes_no_older_session_for_the_last() -> None:
    found = build(sessions(3), QUESTION)
    last = only(found)["points"][-1]
    last["ratio"] = {"value": None, "ci": None, "reason": "it failed"}
    [row] = overview.build({"kws": [found]}, QUESTION.metric)["rows"]
    assert (row["last"], row["now"]["reason"]) == (last["started"], "it failed")
    assert row["now"]["value"] is None and row["since_first"] is None


def test_drifting_sessions_alone_nominate_nothing() -> None:
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        drift = np.exp(np.cumsum(rng.normal(0, 0.03, 10)))
        runs = [
            replace(session(100 * seed + n, slower=float(by), launches=4), id=f"r{n}")
            for n, by in enumerate(drift)
        ]
        alarms += bool(only(build(runs, QUESTION))["changes"])
    assert alarms <= 1


def test_points_hold_what_each_run_says_of_itself() -> None:
    found = build(sessions(3), QUESTION)
    point = only(found)["points"][1]
    assert (point["run"], point["artifact"]) == ("kws-02", "sha-slim-40")
    low, high = point["ratio"]["ci"]
    assert low < point["ratio"]["value"] < high
    assert point["ratio"]["value"] == pytest.approx(2.1 / 4.0, rel=0.01)
    assert point["value"]["value"] / point["anchor_value"]["value"] == pytest.approx(
        0.525, rel=0.02
    )
    assert "cannot be told before 6 sessions" in shown(found)


def test_the_anchor_is_the_file_of_the_last_session() -> None:
    found = build(sessions(8, lambda n: {"files": {"dense": "old"}} if n < 3 else {}), QUESTION)
    series = only(found)
    assert (series["anchor"], series["anchor_file"]) == ("dense", "sha-dense")
    reasons = [point["ratio"]["reason"] for point in series["points"][:3]]
    assert reasons == ["dense was another file: old", "dense was another file: old", None]
    assert series["points"][0]["ratio"]["value"] is None


def test_the_anchor_itself_has_none_and_says_so() -> None:
    found = build(sessions(8), Question("dense", "pi5", "latency_p50_ms"))
    assert only(found)["follows"] == "value"
    assert only(found)["no_anchor"] == "it is the anchor itself"
    assert "Not tied to an anchor (it is the anchor itself)" in shown(found)


def test_another_variant_may_be_the_anchor() -> None:
    found = build(sessions(3), Question("dense", "pi5", "latency_p50_ms", anchor="int8"))
    assert only(found)["anchor"] == "int8"
    assert only(found)["points"][0]["ratio"]["value"] == pytest.approx(4.0 / 1.2, rel=0.02)


@pytest.mark.parametrize("metric", ["file_mib", "accuracy_top1"])
def test_what_is_exact_tells_every_change(metric: str) -> None:
    def once(n: int) -> dict[str, Any]:
        rebuilt = {"files": {"slim-40": "v2"}, "right": {**RIGHT, "slim-40": 0.85}}
        return rebuilt if n == 2 else {}

    found = build(sessions(3, once), Question("slim-40", "pi5", metric))
    assert found["exact"]
    assert [change["first"] for change in only(found)["changes"]] == ["kws-02", "kws-03"]
    assert all(change["confirm"] is None for change in only(found)["changes"])
    assert "heat and clocks do not move it" in shown(found)


def test_a_series_for_each_cell() -> None:
    both = ("onnxruntime", "openvino")
    found = build(sessions(2, lambda _: {"runtimes": both}), QUESTION)
    assert [series["runtime"] for series in found["series"]] == list(both)
    assert [title for title, _ in history_page.sections(found)][1:3] == ["series0", "series1"]


def test_sessions_without_the_cell_are_left_out() -> None:
    runs = sessions(3)
    others = {name: ms for name, ms in TIMES.items() if name != "slim-40"}
    other = session(2, others)
    found = build([runs[0], other, runs[2]], QUESTION)
    assert [each["run"] for each in found["sessions"]] == ["kws-01", "kws-03"]
    assert found["left_out"] == [{"run": "kws-02", "reason": "it has no such cell"}]
    assert "kws-02 is left out" in shown(found)


def test_a_session_that_failed_is_a_point_without_value() -> None:
    def broken(run: Run) -> Run:
        cells = [
            replace(c, status="failed", reason="out of memory")
            if c.cell["variant"] == "slim-40"
            else c
            for c in run.cells
        ]
        kept = [r for r in run.launches if not r.launch["cell"].startswith("slim-40")]
        return replace(run, cells=cells, launches=kept)

    runs = sessions(3)
    points = only(build([runs[0], broken(runs[1]), runs[2]], QUESTION))["points"]
    assert points[1]["value"] == {
        "value": None,
        "ci": None,
        "reason": "failed: out of memory",
    }
    assert points[1]["ratio"]["value"] is None and points[1]["ratio"]["reason"]


def test_no_session_at_all_is_an_empty_document() -> None:
    found = build([], QUESTION)
    assert (found["sessions"], found["series"]) == ([], [])
    assert "over 0 sessions" in shown(found)


def test_every_number_is_json_and_the_page_draws_it() -> None:
    found = build(sessions(8, from_seventh()), QUESTION)
    assert json.loads(json_text(found)) == found
    page = to_html(history_page.sections(found), history_page.title(found))
    assert page.count("<svg") == 2
