"""Two runs side by side: exact changes, ratios to an anchor, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from reports.forms import to_html, to_markdown, to_terminal
from reports.render import json_text
from reports.run import CellRecord, Run
from reports.sessions import compare_page
from reports.sessions.compared import build
from tests.unit.run_builder import RIGHT, TIMES, cell
from tests.unit.session_builder import session


def of(document: dict[str, Any], variant: str) -> dict[str, Any]:
    [found] = [each for each in document["cells"] if each["variant"] == variant]
    return found


def value(document: dict[str, Any], variant: str, metric: str = "latency_p50_ms") -> dict[str, Any]:
    [found] = [row for row in of(document, variant)["measured"] if row["metric"] == metric]
    return found


def shown(document: dict[str, Any]) -> str:
    return to_markdown(compare_page.sections(document), compare_page.title(document))


def test_what_moves_every_model_alike_is_the_sessions() -> None:
    found = build(session(1), session(2, slower=1.2))
    assert found["comparable"] and found["refusal"] is None
    for variant in ("int8", "pruned-70", "slim-40"):
        row = value(found, variant)
        assert row["ratio"] == pytest.approx(1.2, rel=0.1)
        assert row["anchored"]["ratio"] == pytest.approx(1.0, abs=0.02)
        assert not row["anchored"]["nominated"]
    [anchor] = [row for row in found["anchors"] if row["metric"] == "latency_p50_ms"]
    assert anchor["ratio"] == value(found, "dense")["ratio"]
    assert "None of 12 values moved against the anchor" in shown(found)


def test_what_moves_one_model_alone_is_nominated_and_no_more() -> None:
    slower = {**TIMES, "slim-40": TIMES["slim-40"] * 1.06}
    found = build(session(1), session(2, slower, slower=1.2, files={"slim-40": "other"}))
    row = value(found, "slim-40")
    low, high = row["anchored"]["ci"]
    assert low < 1.06 < high and row["anchored"]["launches"] == [8, 8]
    assert row["anchored"]["nominated"] and not value(found, "int8")["anchored"]["nominated"]
    text = shown(found)
    assert "to confirm: edgeproof gate STUDY --against kws-01" in text
    assert not {"faster", "slower"} & set(text.split())


def test_every_ratio_is_second_over_first() -> None:
    found = build(session(1), session(2, {**TIMES, "int8": 2.4}, slower=1.5))
    row = value(found, "int8")
    assert row["ratio"] == pytest.approx(row["second"]["value"] / row["first"]["value"])
    assert row["anchored"]["ratio"] == pytest.approx(2.0, rel=0.03)
    throughput = value(found, "int8", "throughput_ips")
    assert throughput["anchored"]["ratio"] == pytest.approx(0.5, rel=0.03)


def test_a_baseline_that_changed_is_no_anchor() -> None:
    found = build(session(1), session(2, files={"dense": "retrained"}))
    assert value(found, "int8")["anchored"] is None
    assert of(found, "int8")["no_anchor"] == "the file of dense is not the same in all runs"
    assert "nothing can be said of what changed it" in shown(found)


def test_a_pinned_variant_may_be_the_anchor_instead() -> None:
    second = session(2, slower=1.2, files={"dense": "retrained"})
    found = build(session(1), second, "int8")
    assert of(found, "slim-40")["anchor"] == "int8"
    assert value(found, "slim-40")["anchored"]["ratio"] == pytest.approx(1, abs=0.02)
    assert of(found, "int8")["no_anchor"] == "it is the anchor itself"


def test_an_anchor_of_another_group_is_none() -> None:
    first, second = session(1), session(2)
    alone = [replace(g, group={**g.group, "kind": "runtime"}) for g in second.groups]
    found = build(first, replace(second, groups=alone))
    anchored = value(found, "int8")["anchored"]
    assert anchored is None or anchored["ratio"] is None


@pytest.mark.parametrize("facts", [{"kernel": "6.12.1"}, {"identity": {"serial": "another"}}])
def test_unlike_runs_have_no_ratios_but_exact_changes(facts: dict[str, Any]) -> None:
    other = session(2, facts={**facts, "boot_id": "22222222"}, files={"int8": "rebuilt"})
    found = build(session(1), other)
    assert not found["comparable"]
    assert all(each["measured"] == [] for each in found["cells"])
    changed = {row["of"]: (row["first"], row["second"]) for row in of(found, "int8")["changes"]}
    assert changed == {"file": ("sha-int8", "rebuilt"), "file size": (3_000_000, 2_000_000)}
    text = shown(found)
    assert "Their times cannot be compared: pi5: " in text
    assert "edgeproof gate STUDY --against kws-01" in text


def test_one_runtime_that_changed_does_not_forbid_the_other() -> None:
    runtimes = ("onnxruntime", "openvino")
    first, second = (session(n, runtimes=runtimes) for n in (1, 2))
    newer = [
        replace(
            r, launch={**r.launch, "executed": {**r.launch["executed"], "runtime_version": "9"}}
        )
        if r.group == "openvino"
        else r
        for r in second.launches
    ]
    found = build(first, replace(second, launches=newer))
    assert found["comparable"]
    forbidden = {each["runtime"]: each["forbidden"] for each in found["cells"]}
    assert forbidden == {
        "onnxruntime": None,
        "openvino": "pi5 openvino: version 1.31 against 9",
    }
    assert "No ratio in 4 cells" in shown(found)


def test_accuracy_is_paired_over_the_same_samples() -> None:
    second = session(2, files={"int8": "rebuilt"}, right={**RIGHT, "int8": 0.815})
    rows = {row["score"]: row for row in of(build(session(1), second), "int8")["accuracy"]}
    top1 = rows["top1"]
    assert (top1["first"], top1["second"]) == (0.915, 0.815)
    assert top1["drop"] == pytest.approx(0.1)
    assert 0.05 < top1["ci"][0] < 0.1 < top1["ci"][1]


def test_accuracy_on_another_dataset_is_not_compared() -> None:
    second = replace(session(2, files={"int8": "rebuilt"}), dataset="e" * 64)
    row = of(build(session(1), second), "int8")["accuracy"][0]
    assert row["drop"] is None and row["reason"].startswith("dataset dddddddddddd against eeee")


def test_inputs_that_were_preprocessed_otherwise_are_other_samples() -> None:
    def fed(run: Run, sha: str) -> Run:
        events = [replace(e, event={**e.event, "inputs_sha256": sha}) for e in run.evaluations]
        return replace(run, evaluations=events)

    found = build(fed(session(1), "1" * 64), fed(session(2), "2" * 64))
    row = of(found, "int8")["accuracy"][0]
    assert row["reason"] == "the inputs were preprocessed otherwise: 11111111, 22222222"


def test_a_cell_that_stopped_working_is_a_change_with_its_reason() -> None:
    second = session(2)
    lost = [
        replace(r, status="unsupported", reason="no kernel for Einsum")
        if r.cell["variant"] == "int8"
        else r
        for r in second.cells
    ]
    kept = [r for r in second.launches if not r.launch["cell"].startswith("int8")]
    found = build(session(1), replace(second, cells=lost, launches=kept))
    change = of(found, "int8")["changes"][0]
    assert change == {"of": "status", "first": "ok", "second": "unsupported"}
    assert "no kernel for Einsum" in shown(found)
    assert value(found, "int8")["ratio"] is None


def test_cells_of_one_run_alone_are_listed() -> None:
    second = session(2)
    extra = CellRecord("pi5", cell("int8", "litert"), "unsupported", "no tflite file")
    found = build(
        session(1, {"dense": 4.0, "old": 3.0}, right={"dense": 0.9, "old": 0.9}),
        replace(second, cells=[*second.cells, extra]),
    )
    assert [each["variant"] for each in found["only_first"]] == ["old"]
    assert {(c["variant"], c["runtime"]) for c in found["only_second"]} >= {("int8", "litert")}


def test_runs_without_a_cell_in_common_cannot_be_compared() -> None:
    other = session(2)
    renamed = [replace(record, device="nuc") for record in other.cells]
    found = build(session(1), replace(other, cells=renamed, launches=[], groups=[]))
    assert (found["comparable"], found["refusal"]) == (False, "they have no cell in common")
    assert "they have no cell in common" in shown(found)


def test_one_launch_each_gives_no_interval_and_no_nomination() -> None:
    found = build(session(1, launches=1), session(2, {**TIMES, "int8": 9.9}, launches=1))
    anchored = value(found, "int8")["anchored"]
    assert anchored["ci"] is None and not anchored["nominated"]
    assert anchored["reason"] == "1 launch; an interval needs 2 of each run"


def test_a_twin_is_no_candidate() -> None:
    times, right = {**TIMES, "twin": 4.0}, {**RIGHT, "twin": 0.9}
    runs = [session(n, times, right=right) for n in (1, 2)]
    for run in runs:
        run.study["variants"]["twin"] = {"from": "pruned-70", "densify": True}
    assert "twin" not in {each["variant"] for each in build(*runs)["cells"]}


def test_every_number_is_json_and_every_form_shows_it() -> None:
    hostile = "<script>alert(1)</script>\x1b[31m\u202e"
    second = replace(session(2, facts={"kernel": hostile}), id=f"kws-{hostile}")
    for found in (build(session(1), session(3)), build(session(1), second)):
        assert json.loads(json_text(found)) == found
        sections, title = compare_page.sections(found), compare_page.title(found)
        page = to_html(sections, title)
        assert "<script>alert" not in page and "\x1b" not in page and "\u202e" not in page
        console = Console(width=100, record=True)
        with console.capture() as captured:
            to_terminal(sections, console)
        assert "\x1b[31m" not in captured.get()
