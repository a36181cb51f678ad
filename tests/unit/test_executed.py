"""What really ran: shares, fallback, flags and layers, from layers as the runtimes list them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import RunBuilder, cell

from agents import wire
from agents.backends import (
    _deepsparse,
    _litert_graph,
    _onnxruntime_profile,
    _openvino_graph,
    _torch,
    ncnn,
)
from reports import executed, render
from reports.document import build
from reports.layout import Section
from reports.run import ArtifactRecord
from reports.sections import execution

MANIFEST: dict[str, Any] = {"schema": "edgeproof.variant/1"}
INT8 = MANIFEST | {"quantize": {"to": "int8", "leave": []}}


def layer(name: str, operator: str = "Conv", **changes: Any) -> wire.LayerRun:
    whole: dict[str, Any] = {
        "name": name,
        "operator": operator,
        "kernel": "gemm",
        "provider": "XnnpackExecutionProvider",
        "precision": "fp32",
        "ns": 1000,
    } | changes
    return whole  # type: ignore[return-value]


def study(
    layers: list[wire.LayerRun] | None,
    *,
    target: str = "xnnpack",
    precision: str = "fp32",
    provenance: dict[str, Any] | None = None,
    **told: Any,
) -> RunBuilder:
    """A run of one cell whose evaluation lists layers."""
    made = RunBuilder(launches=6)
    of = cell("dense", precision=precision)
    of["target"] = target
    made.add_cell(of)
    zeros = {"layers": [{"name": "conv0", "weights": 8, "zeros": 6}], "reason": None}
    made.artifacts["sha-dense"] = ArtifactRecord(
        "sha-dense", "dense.onnx", "onnx", 9, 9, 0.0, provenance=provenance, zeros=zeros
    )
    made.add_group("g", {of["id"]: 2.0}, executed={"precision": precision, "layers": None})
    made.add_evaluation(of, 0.9, executed={"precision": precision, "layers": layers} | told)
    return made


def row(made: RunBuilder) -> dict[str, Any]:
    found: dict[str, Any] = build(made.build())["results"][0]
    return found


MIXED = [
    layer("conv0_nchwc", ns=6000),
    layer("relu", "Relu", provider="CPUExecutionProvider", kernel=None, ns=1000),
    layer("conv1", provider="CPUExecutionProvider", precision="bf16", kernel="jit", ns=3000),
]


def test_every_compute_layer_of_every_backend_is_known() -> None:
    of_onnx = (*_onnxruntime_profile.COMPUTE, *_deepsparse.WEIGHTS)
    for name in (*of_onnx, *_openvino_graph.COMPUTE, *_litert_graph.COMPUTE, *ncnn.COMPUTE):
        assert executed.is_compute(layer("x", name)), name
    assert executed.TORCH_COMPUTE == _torch.COMPUTE


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("Add,Conv,Relu", True),
        ("conv2d", True),
        ("QuantizeLinear", False),
        ("DequantizeLinear", False),
        ("Convert", False),
        ("Reorder", False),
    ],
)
def test_conversions_are_no_compute_layers(operator: str, expected: bool) -> None:
    assert executed.is_compute(layer("x", operator)) == expected


def test_a_row_tells_precisions_coverage_kernels_and_fallback() -> None:
    found = row(study(MIXED))["executed"]
    assert (found["layers"], found["layers_us"]) == (3, 10.0)
    assert found["precisions"] == [
        {"precision": "fp32", "layers": 1, "share": 0.5, "time_share": 6 / 9},
        {"precision": "bf16", "layers": 1, "share": 0.5, "time_share": 3 / 9},
    ]
    providers = {one["provider"]: one["time_share"] for one in found["coverage"]}
    assert providers == {"XnnpackExecutionProvider": 0.6, "CPUExecutionProvider": 0.4}
    assert [one["kernel"] for one in found["kernels"]] == ["gemm", "jit"]
    assert found["fallback"] == {
        "to": ["CPUExecutionProvider"],
        "layers": 2,
        "share": 2 / 3,
        "time_share": 0.4,
    }


def test_layers_without_times_have_shares_of_their_number_alone() -> None:
    found = row(study([layer("a", ns=None), layer("b", ns=None, provider="built-in kernels")]))
    assert found["executed"]["layers_us"] is None
    assert found["reasons"]["executed.layers_us"] == executed.NOT_TIMED
    assert found["reasons"]["executed.fallback.time_share"] == executed.NOT_TIMED
    assert [one["share"] for one in found["executed"]["coverage"]] == [0.5, 0.5]
    assert found["executed"]["fallback"]["share"] == 0.5
    assert "1 of 2 layers fell back to built-in kernels" in found["flags"]


KEYS = ("layers", "layers_us", "precisions", "coverage", "kernels", "fallback")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"executed": {"precision": "fp32"}}, executed.BEFORE_LAYERS),
        ({"executed": {"layers": None}}, executed.NOT_LISTED),
        ({"executed": {}, "status": "failed", "reason": "it crashed"}, "it crashed"),
    ],
)
def test_without_layers_the_reason_is_told(changes: dict[str, Any], reason: str) -> None:
    made = study(MIXED)
    made.events.clear()
    made.add_evaluation(made.cells[0].cell, 0.9, **changes)
    found = row(made)
    assert [found["executed"][key] for key in KEYS] == [None] * len(KEYS)
    assert {found["reasons"][f"executed.{key}"] for key in KEYS} == {reason}
    assert build(made.build())["profiles"] == []
    made.events.clear()
    assert row(made)["reasons"]["executed.kernels"] == executed.NO_EVALUATION


def test_what_the_runtime_does_not_name_has_a_reason() -> None:
    bare = layer("a", kernel=None, provider=None, precision=None)
    reasons = row(study([bare]))["reasons"]
    assert reasons["executed.kernels"] == executed.NO_KERNELS
    assert reasons["executed.coverage"] == executed.NO_PROVIDERS
    assert reasons["executed.fallback"] == executed.NO_PROVIDERS
    assert reasons["executed.precisions"] == executed.NO_PRECISIONS


@pytest.mark.parametrize(
    ("provider", "target", "fell"),
    [
        ("CPUExecutionProvider", "cpu", False),
        ("CPUExecutionProvider", "cuda", True),
        ("built-in kernels", "builtin", False),
        ("built-in kernels", "external", True),
        ("ONNX Runtime inside DeepSparse", "cpu", True),
        ("XNNPACK delegate", "xnnpack", False),
    ],
)
def test_only_what_was_not_asked_for_is_a_fallback(provider: str, target: str, fell: bool) -> None:
    found = row(study([layer("a", provider=provider)], target=target))
    assert found["executed"]["fallback"]["layers"] == int(fell)
    told = f"1 of 1 layers fell back to {provider}, 100% of the time"
    assert found["executed"]["flags"] == [told] * fell
    assert set(found["executed"]["flags"]) <= set(found["flags"])


def test_a_fallback_of_little_time_is_told_but_not_flagged() -> None:
    shape = layer("shape", "Shape", provider="CPUExecutionProvider", ns=10)
    found = row(study([layer("a"), shape]))
    assert found["executed"]["fallback"]["layers"] == 1 and found["executed"]["flags"] == []


FLOATS = [layer(f"conv{at}") for at in range(3)]
QUANTISED = layer("x_QuantizeLinear", "QuantizeLinear")


@pytest.mark.parametrize(
    ("layers", "provenance", "flagged"),
    [
        (FLOATS, INT8, True),
        (FLOATS, None, False),
        (FLOATS, MANIFEST | {"quantize": {"to": "fp16", "leave": []}}, False),
        ([*FLOATS, QUANTISED], None, True),  # no manifest: it quantises its activations
        ([*FLOATS, layer("y", precision="int8")], None, True),
        ([FLOATS[0], *[layer(str(at), precision="int8") for at in range(3)]], INT8, False),
        (FLOATS, MANIFEST | {"quantize": {"to": "int8", "leave": ["conv0", "conv1"]}}, False),
        ([layer("a", precision=None)], INT8, False),  # what is not told is not flagged
    ],
)
def test_an_int8_file_that_ran_in_floats_is_flagged(
    layers: list[wire.LayerRun], provenance: dict[str, Any] | None, flagged: bool
) -> None:
    flags = row(study(layers, provenance=provenance))["executed"]["flags"]
    assert [flag.startswith("INT8 file ran mostly dequantised: 3 of ") for flag in flags] == (
        [True] * flagged
    )


def test_fp16_that_ran_as_bf16_is_flagged() -> None:
    made = study([layer("a", precision="bf16")], precision="fp16")
    made.events.clear()
    layers = [layer("a", precision="bf16")]
    told = {"precision": "bf16", "layers": layers}
    made.add_evaluation(made.cells[0].cell, 0.9, executed=told)
    made.records = []
    made.add_group("h", {made.cells[0].cell["id"]: 2.0}, executed={"precision": None})
    assert row(made)["executed"]["flags"] == ["executed in bf16 though fp16 was requested"]


def test_a_profile_lists_layers_with_the_zeros_of_their_weights() -> None:
    (found,) = build(study(MIXED).build())["profiles"]
    assert (found["variant"], found["runtime"]) == ("dense", "onnxruntime")
    assert [one["us"] for one in found["layers"]] == [6.0, 1.0, 3.0]
    assert [one["time_share"] for one in found["layers"]] == [0.6, 0.1, 0.3]
    assert [one["zeros"] for one in found["layers"]] == [0.75, None, None]
    assert [one["zeros_reason"] for one in found["layers"]] == [None, *[executed.NO_SUCH_NAME] * 2]


ZEROS = {
    "layers": [
        {"name": "conv2", "weights": 10, "zeros": 5},
        {"name": "a;b", "weights": 10, "zeros": 1},
        {"name": "conv2", "weights": 30, "zeros": 15},
    ]
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv2", 0.5),
        ("conv2_token_4", 0.5),
        ("conv2/WithoutBiases,Multiply_15897,conv2,conv2.out_QuantizeLinear", 0.5),
        ("a;b", 0.1),
        ("conv2,a;b", 0.42),
        ("conv", executed.NO_SUCH_NAME),
        ("conv22", executed.NO_SUCH_NAME),
    ],
)
def test_zeros_are_found_by_the_names_that_runtimes_give(name: str, expected: float | str) -> None:
    assert executed.zeros_by_name(ZEROS)(name) == expected


def test_a_file_without_a_count_of_zeros_says_so() -> None:
    assert executed.zeros_by_name(None)("a") == executed.NO_ZEROS
    assert executed.zeros_by_name({"layers": [], "reason": "encrypted"})("a") == "encrypted"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["CPUExecutionProvider", "XnnpackExecutionProvider", None]),
            st.one_of(st.none(), st.integers(0, 10**9)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_shares_are_those_of_the_whole(told: list[tuple[str | None, int | None]]) -> None:
    layers = [layer(str(at), provider=name, ns=ns) for at, (name, ns) in enumerate(told)]
    found = executed.shares(layers, "provider")
    known = sum(name is not None for name, _ in told)
    assert sum(one["layers"] for one in found) == known
    assert sum(one["share"] for one in found) == pytest.approx(known / len(told))
    timed = [one["time_share"] for one in found]
    if executed.total_ns(layers) is None:
        assert set(timed) <= {None}
    else:
        assert sum(timed) <= 1 + 1e-9 and timed == sorted(timed, reverse=True)


def texts(section: Section) -> str:
    return " ".join(text for table in section.tables for line in table.rows for text in line)


def test_the_page_tells_what_ran_and_by_whom() -> None:
    document = build(study(MIXED, note="a note").build())
    found = execution.section(document)
    first, kernels, by_layer = found.tables
    assert "XnnpackExecutionProvider 60.0%, CPUExecutionProvider 40.0%" in first.rows[0]
    assert "1 fp32, 1 bf16" in first.rows[0] and "a note" in first.rows[0]
    assert "40.0% of time" in first.rows[0]
    assert kernels.rows[0][-3:] == ["gemm", "1", "60.0%"]
    assert by_layer.detail and len(by_layer.rows) == 3
    assert "zeros are blank where no weights" in by_layer.caption
    assert not found.detail
    lead, where = found.points[0]
    assert lead.startswith("2 of 3 layers fell back to CPU") and where == "dense in onnxruntime."
    assert "75.0%" in render.html(document) and "Executed, not requested" in render.html(document)
    assert render.markdown(document).count("conv0") >= 1


def test_what_runtimes_do_not_tell_is_said_once() -> None:
    bare = [layer("a", kernel=None, ns=None), layer("b", kernel=None, ns=None)]
    found = execution.section(build(study(bare).build()))
    assert found.words[1:] == [
        f"Times of layers are missing for onnxruntime: {executed.NOT_TIMED}.",
        f"Names of kernels are missing for onnxruntime: {executed.NO_KERNELS}.",
    ]
    (only,) = found.tables
    heads = [column.name for column in only.columns]
    assert found.detail and "fell back" not in heads


def test_a_flag_is_told_once_with_all_places() -> None:
    made = study([layer("a")], precision="fp16")
    for runtime in ("litert", "litert:builtin"):
        other = cell("slim", runtime, precision="fp16")
        made.add_cell(other)
        made.add_group(runtime, {other["id"]: 2.0}, executed={"precision": "fp32"})
        told = {"precision": "fp32", "layers": [layer("b", provider=None)]}
        made.add_evaluation(other, 0.9, executed=told)
    made.events[0].event["executed"]["precision"] = "fp32"
    assert list(execution.section(build(made.build())).points) == [
        (
            "Executed in fp32 though fp16 was requested:",
            "dense in onnxruntime; slim in litert, litert:builtin.",
        )
    ]


def test_fp16_of_which_nothing_is_told_is_flagged() -> None:
    made = study([layer("a", precision=None)], precision="fp16")
    made.events[0].event["executed"]["precision"] = None
    made.records = []
    made.add_group("h", {made.cells[0].cell["id"]: 2.0}, executed={"precision": None})
    assert row(made)["executed"]["flags"] == [
        "the runtime does not tell what it executed, though fp16 was requested"
    ]


def test_layers_of_little_time_are_one_line_on_the_page() -> None:
    small = [layer(f"small{at}", ns=1) for at in range(5)]
    document = build(study([layer("conv0", ns=10_000), *small], target="xnnpack").build())
    by_layer = execution.section(document).tables[2]
    assert [line[0] for line in by_layer.rows] == ["conv0", "5 more"]
    assert len(document["profiles"][0]["layers"]) == 6


def test_one_line_an_evaluation_and_none_without_knowledge() -> None:
    made = study(MIXED)
    other = cell("dense", batch=8)
    made.add_cell(other)
    made.add_group("h", {other["id"]: 9.0})
    assert len(execution.section(build(made.build())).tables[0].rows) == 1
    empty = RunBuilder()
    empty.add_cell(cell("dense"), "unsupported", "no file")
    found = execution.section(build(empty.build()))
    assert found.detail and not found.tables and found.words == ["No runtime has told what it ran."]
