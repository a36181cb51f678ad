"""What zeros gain beside a densified twin: the verdict, its reasons, and where twins are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.document import build
from reports.realised import NOTHING_BELOW, REALISED_FROM, verdict
from reports.run import ArtifactRecord
from reports.sections import sparsity
from tests.unit.run_builder import RunBuilder, cell

LAYER = {"name": "conv1", "shape": [8, 3, 3, 3], "weights": 216, "zeros": 194}
LAYER |= {"pattern": "unstructured", "macs": 2160, "macs_saved": 1940, "saved_bytes": 700}
ZEROS = {"weights": 216, "zeros": 194, "macs": 2160, "macs_saved": 1940, "saved_bytes": 700}
ZEROS |= {"patterns": {"unstructured": 216}, "reason": None, "layers": [{**LAYER, "reason": None}]}


def run(ratio: float, zeros: Any = ZEROS, launches: int = 8, **changes: Any) -> RunBuilder:
    """Dense, pruned and its twin, which takes 4 ms; pruned `ratio` times as long."""
    made = RunBuilder(launches=launches)
    variants: dict[str, Any] = {"dense": {}, "pruned": {"from": "dense"}}
    variants["pruned-twin"] = {"from": "pruned", "densify": True}
    made.study |= {"variants": variants, "gates": [{"metric": "latency_p50_ms", "max": 100}]}
    sha = "sha-pruned"
    made.artifacts[sha] = ArtifactRecord(sha, "pruned.onnx", "onnx", 1000, 500, 0.9, zeros=zeros)
    cells = [cell(name) for name in variants]
    for one in cells:
        made.add_cell(one)
    times = dict(zip([one["id"] for one in cells], (4.0, 4.0 * ratio, 4.0), strict=True))
    made.add_group("variant/g", times, **changes)
    return made


def realised(made: RunBuilder) -> dict[str, Any]:
    rows = {row["variant"]: row for row in build(made.build())["results"]}
    found: dict[str, Any] = rows["pruned"]["realised"]
    return found


@pytest.mark.parametrize(
    ("ratio", "word"),
    [(1.0, "not realised"), (1.3, "slower"), (0.7, "partly"), (0.2, "realised")],
)
def test_verdicts(ratio: float, word: str) -> None:
    found = realised(run(ratio))
    assert found["verdict"] == word
    assert found["ratio"] == pytest.approx(ratio, rel=0.02)
    assert found["ci"][0] < found["ratio"] < found["ci"][1]
    assert found["paper_ratio"] == pytest.approx(1 - 1940 / 2160)
    assert (found["twin"], found["launches"]) == ("pruned-twin", 8)


@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_what_is_not_realised_is_flagged(ratio: float) -> None:
    rows = {row["variant"]: row for row in build(run(ratio).build())["results"]}
    (flag,) = [flag for flag in rows["pruned"]["flags"] if flag.startswith("sparsity")]
    assert "its densified twin's time, on paper 0.10" in flag


def test_what_is_realised_is_not_flagged() -> None:
    rows = {row["variant"]: row for row in build(run(0.2).build())["results"]}
    assert not [flag for flag in rows["pruned"]["flags"] if flag.startswith("sparsity")]


def test_a_twin_is_a_control_and_nothing_else() -> None:
    document = build(run(1.0).build())
    assert [row["variant"] for row in document["controls"]] == ["pruned-twin"]
    assert {row["variant"] for row in document["results"]} == {"dense", "pruned"}
    assert {row["candidate"] for row in document["comparisons"]} == {"pruned"}
    assert {row["variant"] for row in document["verdicts"]} == {"dense", "pruned"}
    assert {row["variant"] for row in document["findings"]} == {"pruned"}


def test_one_launch_is_no_verdict() -> None:
    found = realised(run(1.0, launches=1))
    assert (found["verdict"], found["ci"]) == ("inconclusive", None)


@pytest.mark.parametrize(
    ("zeros", "reason"),
    [
        (None, "the run holds no count of the zeros of its file"),
        ({**ZEROS, "macs": None, "reason": "why"}, "why"),
        ({**ZEROS, "macs_saved": 21}, "zeros save only 1.0% on paper"),
    ],
)
def test_without_the_paper_there_is_no_verdict_but_slower(zeros: Any, reason: str) -> None:
    found = realised(run(1.0, zeros))
    assert (found["verdict"], found["reason"]) == ("inconclusive", reason)
    assert realised(run(1.3, zeros))["verdict"] == "slower"


def test_a_variant_without_a_twin_says_so() -> None:
    rows = build(run(1.0).build())["results"]
    assert rows[0]["realised"] is None
    assert "has no densified twin" in rows[0]["reasons"]["realised"]


def test_a_twin_that_did_not_run_leaves_a_reason() -> None:
    made = run(1.0)
    made.records = [one for one in made.records if "twin" not in one.launch["cell"]]
    found = realised(made)
    assert (found["verdict"], found["ratio"]) == ("inconclusive", None)
    assert found["reason"] == "no launch in which both ran"


@pytest.mark.parametrize(
    ("layers", "picked", "reason"),
    [
        (None, None, "no trace by layer"),
        ([{"kernel": None}], None, "it names no kernels"),
        ([{"kernel": "Convolution (NCHW, F32) SPMM"}, {"kernel": "GEMM"}], True, None),
        ([{"kernel": "brgemm_avx512"}], False, None),
        ([{"kernel": "pyramid"}, {"kernel": "ks_gevm_be-71.7%"}], True, None),  # of DeepSparse
    ],
)
def test_the_kernel_comes_from_what_was_executed(layers: Any, picked: Any, reason: Any) -> None:
    made = run(1.0)
    untold = {"name": "conv", "operator": "Conv", "provider": None, "precision": None, "ns": None}
    whole = layers and [untold | layer for layer in layers]
    made.add_evaluation(cell("pruned"), 0.9, executed={"layers": whole})
    found = realised(made)
    assert (found["picked"], found["kernels_reason"]) == (picked, reason)


intervals = st.tuples(st.floats(0.05, 3), st.floats(0.05, 3)).map(lambda pair: tuple(sorted(pair)))


@settings(max_examples=200, deadline=None)
@given(intervals, st.floats(0.06, 0.99))
def test_a_verdict_holds_over_the_whole_interval(interval: Any, saved: float) -> None:
    low, high = interval
    word, reason = verdict((low, high), saved)
    share = [(1 - end) / saved for end in (high, low)]  # of the paper's saving, least and most
    assert (word == "inconclusive") == (reason is not None)
    if word == "realised":
        assert share[0] >= REALISED_FROM - 1e-9
    if word == "partly":
        assert share[0] > NOTHING_BELOW - 1e-9
    if word == "not realised":
        assert share[1] <= NOTHING_BELOW + 1e-9
    if word == "slower":
        assert low > 1


def test_the_section_tells_verdict_pattern_and_layers() -> None:
    document = build(run(1.0).build())
    made = sparsity.section(document)
    table, layers = made.tables
    (row,) = table.rows
    told = dict(zip([column.name for column in table.columns], row, strict=True))
    assert told["zeros"] == "89.8%"
    assert told["pattern"] == "unstructured"
    assert told["verdict"] == "not realised"
    assert told["sparse kernel"].startswith("not told")
    assert told["on paper"] == "0.102"
    assert ("pruned", "not realised in onnxruntime.") in made.points
    assert layers.detail
    assert layers.rows[0][:3] == ["conv1", "8 x 3 x 3 x 3", "89.8%"]


def test_zeros_without_a_twin_are_shown_without_a_verdict() -> None:
    made = run(1.0)
    del made.study["variants"]["pruned-twin"]
    made.cells = made.cells[:2]
    made.records = [one for one in made.records if "twin" not in one.launch["cell"]]
    made.groups[0].group["cells"].pop()
    (table, _) = sparsity.section(build(made.build())).tables
    assert len(table.rows) == 1
    assert "`twins:`" in table.rows[0][-1]


def test_a_runtime_that_is_not_there_has_no_line() -> None:
    made = run(1.0)
    made.records = []
    made.add_evaluation(cell("pruned"), 0.9, status="unsupported", reason="no such GPU")
    found = sparsity.section(build(made.build()))
    assert found.detail and not found.tables


def test_a_run_without_zeros_has_nothing_to_tell() -> None:
    made = run(1.0, {**ZEROS, "zeros": 2})
    del made.study["variants"]["pruned-twin"]
    made.cells = made.cells[:1]
    made.records, made.groups = [], []
    found = sparsity.section(build(made.build()))
    assert found.detail
    assert not found.tables
