"""The pure parts of benchmarks/sparsity.py: its studies, its rows, and the claim taken apart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sparsity
from benchmarks.sparsity import AMX, CLAIMED, DENSE, HARBOR, ISA, MATRIX, NUC, Part
from harness.study import parse_study
from reports.document import build
from reports.run import ArtifactRecord
from tests.unit.run_builder import RunBuilder, cell

# Milliseconds: zeros gain a tenth at INT8 and nothing at FP32.
TIMES = {"dense": 20.0, "pruned-70": 20.0, "pruned-70-twin": 20.0, "int8": 8.0}
TIMES |= {"pruned-70-int8": 7.2, "pruned-70-int8-twin": 8.0, "channels-40": 12.0}
ZEROS: dict[str, Any] = {
    "weights": 100,
    "zeros": 70,
    "macs": 100,
    "macs_saved": 70,
    "saved_bytes": 70,
}
ZEROS |= {"patterns": {"unstructured": 100}, "reason": None, "layers": []}
LAYER = {"name": "c", "operator": "Convolution", "provider": "CPU", "precision": "fp32", "ns": 1}
AS_IT_IS = Part("as it is", 0.0)


def report(
    kernel: str = "brgconv_avx512_FP32", runtime: str = "openvino", launches: int = 8
) -> dict[str, Any]:
    """A run of all times, in one runtime; in deepsparse the pruned one is unsupported."""
    made = RunBuilder(launches=launches)
    made.study |= {"variants": {name: {"from": "dense"} for name in TIMES}}
    for name in ("pruned-70", "pruned-70-int8"):
        made.study["variants"][f"{name}-twin"] = {"from": name, "densify": True}
        sha = f"sha-{name}"
        made.artifacts[sha] = ArtifactRecord(sha, f"{name}.onnx", "onnx", 9, 3, 0.7, zeros=ZEROS)
    for name in TIMES:
        one = cell(name, runtime)
        lacks = runtime == "deepsparse" and name == "pruned-70"
        made.add_cell(one, *(("unsupported", "no such kernel") if lacks else ()))
        made.add_evaluation(one, 0.9, executed={"layers": [LAYER | {"kernel": kernel}]})
    times = {cell(name, runtime)["id"]: ms for name, ms in TIMES.items()}
    if runtime == "deepsparse":
        del times[cell("pruned-70", runtime)["id"]]
    made.add_group(f"variant/{runtime}", times)
    return build(made.build())


def by_variant(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in sparsity.rows(document)}


@pytest.mark.parametrize("part", [*MATRIX, *NUC, AMX], ids=lambda part: part.name)
def test_studies_are_valid_and_have_the_twins_of_their_zeros(part: Part) -> None:
    made = parse_study(sparsity.study(part), Path())
    pruned = {name for name in part.variants if name.startswith("pruned")}
    added = set(made.variants) - {DENSE, *part.variants}
    assert added == ({f"{name}-twin" for name in pruned} if part.twins else set())
    formats = {"onnx", "tflite"} if "litert" in part.runtimes else {"onnx"}
    assert set(made.variants[CLAIMED].model) == formats


def test_the_parts_share_the_whole_board_time() -> None:
    assert sum(part.share for part in (*MATRIX, *NUC, AMX)) == pytest.approx(1)


def test_rows_are_the_reports_ratios() -> None:
    found = by_variant(report())
    assert set(found) == {"pruned-70", "int8", "pruned-70-int8", "channels-40"}
    for name, row in found.items():
        assert row["ratio"] == pytest.approx(TIMES[name] / TIMES["dense"], rel=0.02)
        assert row["ci"][0] < row["ratio"] < row["ci"][1]
        assert set(row) - {"reason"} == {
            *("model", "runtime", "variant", "batch", "ratio", "ci", "verdict")
        }
    assert {name: row["verdict"] for name, row in found.items()} == {
        "pruned-70": "not realised",
        "int8": "faster",
        "pruned-70-int8": "partly",
        "channels-40": "faster",
    }


def test_what_cannot_run_is_null_with_the_reason() -> None:
    row = by_variant(report(runtime="deepsparse"))["pruned-70"]
    assert (row["ratio"], row["ci"], row["verdict"]) == (None, None, None)
    assert row["reason"] == "unsupported: no such kernel"


def test_one_launch_has_a_ratio_and_the_reason_that_it_has_no_interval() -> None:
    row = by_variant(report(launches=1))["int8"]
    assert row["ratio"] == pytest.approx(0.4, rel=0.05)
    assert (row["ci"], row["verdict"]) == (None, "undecided")
    assert "an interval needs 2" in row["reason"]


def test_the_gain_is_shared_out_between_zeros_and_int8() -> None:
    found = sparsity.taken_apart(report(), AS_IT_IS)
    gain = found["gain"]
    assert gain["sparsity"] == pytest.approx(math.log(0.9) / math.log(7.2 / 20), abs=0.01)
    assert gain["sparsity"] + gain["int8"] == pytest.approx(1)
    assert gain["sparsity_ci"][0] < gain["sparsity"] < gain["sparsity_ci"][1]
    assert found["to_dense"]["int8"]["ratio"] == pytest.approx(0.4, rel=0.02)
    assert found["to_twin"]["pruned-70"]["verdict"] == "not realised"
    assert found["p50_ms"]["dense"] == pytest.approx(20, rel=0.1)
    assert set(found["kernels"]) == {DENSE, *HARBOR}


def test_without_a_gain_there_is_nothing_to_share_out() -> None:
    whole = {"ratio": 1.0, "ci": [0.99, 1.01]}
    assert sparsity.shared_out(whole, whole)["reason"] == "there is no gain to share out"
    assert sparsity.shared_out(None, whole)["sparsity"] is None
    assert sparsity.shared_out(whole, None)["sparsity"] is None


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        ("brgconv_avx2_FP32", None),
        ("brgconv_avx512_FP32", "was not heeded: dense ran brgconv_avx512_FP32"),
        ("brgconv_avx512_amx_I8", "was not heeded"),
        ("ref_any_FP32", "no kernel's name tells"),
    ],
)
def test_a_limit_on_instructions_must_show_in_the_kernels(kernel: str, reason: str | None) -> None:
    found = sparsity.taken_apart(report(kernel), Part("avx2", 0.1, environment={ISA: "AVX2"}))
    assert found["asked"] == {ISA: "AVX2"}
    if reason is None:
        assert found["gain"]["int8"] > 0.8
    else:
        assert (found["to_dense"], found["gain"]) == (None, None)
        assert reason in found["reason"]


def test_tables_show_every_row_and_reason() -> None:
    made = [*sparsity.rows(report()), *sparsity.rows(report(runtime="deepsparse"))]
    shown = "\n".join(sparsity.lines(made))
    assert shown.count("batch") == 2  # the head and one reason
    assert "deepsparse, pruned-70, batch 1: unsupported: no such kernel" in shown
    runs = [sparsity.taken_apart(report(), AS_IT_IS), sparsity.taken_apart(report(), NUC[0])]
    told = list(sparsity.claim_lines({"claim": sparsity.CLAIM, "runs": runs}))
    assert len(told) == 3
    assert "not heeded" in told[2]
