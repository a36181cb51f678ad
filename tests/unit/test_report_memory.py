"""The peak taken apart in reports: sums, what is not told, and records of an older edgeproof."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper
from run_builder import RunBuilder, cell

from agents import memory, proc
from agents.backends._onnx_weights import weight_bytes
from agents.backends._onnxruntime_profile import activation_bytes
from reports import render
from reports.document import build
from reports.memory import NO_GPU, NO_MAPS, NO_RESET, NO_STAGES, STAGES, UNTOLD
from tests.unit.model_files import onnx_model

MIB = 1024
RSS = (10, 40, 90, 95, 94)
FILES = (5, 20, 30, 34, 34)
PEAKS = (10, 40, 110, 96, 95)


def staged(**changes: Any) -> dict[str, Any]:
    """Memory of a launch: a runtime of 44 MiB, a peak of 110 in loading."""
    stages = [
        {
            "stage": stage,
            "rss_kib": rss * MIB,
            "anon_kib": (rss - file) * MIB,
            "file_kib": file * MIB,
            "peak_kib": peak * MIB,
        }
        for stage, rss, file, peak in zip(STAGES, RSS, FILES, PEAKS, strict=True)
    ]
    whole = {
        "floor_kib": 10 * MIB,
        "peak_kib": 110 * MIB,
        "anon_kib": 60 * MIB,
        "stages": stages,
        "mapped_kib": 10 * MIB,
        "io_kib": MIB,
        "weights_kib": 20 * MIB,
        "activations_kib": None,
        "gpu_kib": None,
        "account": "a runtime: by its graph",
    }
    return whole | changes


def document(told: Any, account: Any = None) -> Any:
    made = RunBuilder(launches=6)
    made.add_cell(cell("dense"))
    made.add_artifact("dense", 1000)
    made.add_group("g", {cell("dense")["id"]: 2.0}, memory=told)
    made.add_evaluation(cell("dense"), 0.9, **({"account": account} if account else {}))
    return build(made.build())


def row(told: Any, account: Any = None) -> Any:
    return document(told, account)["results"][0]


def test_the_parts_add_up_to_the_peak() -> None:
    found = row(staged())
    # 40 before the model, and 34 - 10 - 20 of libraries that came with it.
    parts = [found[f"{name}_mib"] for name in ("runtime", "weights", "io", "other")]
    assert parts == [44, 20, 1, 45]
    assert sum(parts) == found["peak_rss_mib"] == 110
    assert found["activations_mib"] is None
    assert found["reasons"]["activations_mib"] == UNTOLD
    assert (found["gpu_mib"], found["reasons"]["gpu_mib"]) == (None, NO_GPU)
    assert found["memory"]["rss_mib"] == dict(zip(STAGES, RSS, strict=True))
    assert found["memory"]["peak_mib"] == dict(zip(STAGES, PEAKS, strict=True))


def test_a_session_that_traces_adds_what_launches_do_not_tell() -> None:
    account = {"weights_kib": 1, "activations_kib": 5 * MIB, "gpu_kib": None, "account": "traced"}
    found = row(staged(), account)
    # The launches come first.
    assert (found["weights_mib"], found["activations_mib"], found["other_mib"]) == (20, 5, 40)
    assert found["memory"]["account"] == "traced"


def test_weights_on_a_gpu_are_no_part_of_resident_memory() -> None:
    found = row(staged(gpu_kib=300 * MIB))
    assert (found["gpu_mib"], found["weights_mib"], found["other_mib"]) == (300, 20, 65)


def test_what_the_kernel_hides_has_a_reason_and_is_in_the_rest() -> None:
    told = staged(mapped_kib=None)
    for stage in told["stages"]:
        stage["peak_kib"] = None
    found = row(told)
    assert (found["runtime_mib"], found["reasons"]["runtime_mib"]) == (None, NO_MAPS)
    assert found["other_mib"] == 89
    assert found["reasons"]["memory.peak_mib.end"] == NO_RESET


def test_records_of_an_older_edgeproof_tell_the_whole() -> None:
    old = document({"peak_kib": 65536, "anon_kib": 40000, "floor_kib": 30000})
    [found] = old["results"]
    assert found["peak_rss_mib"] == 64
    for name in ("runtime", "weights", "activations", "io", "other", "gpu"):
        assert found[f"{name}_mib"] is None
        assert found["reasons"][f"{name}_mib"] == NO_STAGES
    assert NO_STAGES in render.html(old)


def test_the_section_shows_the_parts_and_the_rest() -> None:
    page = render.html(document(staged()))
    assert "What the peak is made of, MiB" in page
    assert "45.0 (41%)" in page  # more than 5% of the peak: its share beside it
    assert "90.0 (110)" in page  # resident after loading, and the peak of loading
    small = render.html(document(staged(weights_kib=62 * MIB)))
    assert "3.00 (3%)" not in small, "less than 5%: the parts add up"


def test_this_process_is_seen_from_stage_to_stage() -> None:
    watch = memory.Watch()
    # Mapped, not allocated: the allocator may have pages of earlier tests that are still resident.
    block = mmap.mmap(-1, 32 * 2**20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block[:: mmap.PAGESIZE] = bytes(len(block) // mmap.PAGESIZE)
    watch.note("imported")
    size = len(block) // 1024
    block.close()
    watch.note("loaded")
    watch.note("first")
    started, high, low, after = watch.stages
    assert high["anon_kib"] - started["anon_kib"] == pytest.approx(size, rel=0.2)
    assert high["rss_kib"] - low["rss_kib"] == pytest.approx(size, rel=0.2)
    # The peak began anew: what was freed is no longer in it.
    assert after["peak_kib"] is not None and after["peak_kib"] < high["rss_kib"] - size // 2
    assert watch.peak_kib >= high["rss_kib"]


def test_a_mapped_file_is_told_from_other_files(tmp_path: Path) -> None:
    path = tmp_path / "model with a space.bin"
    path.write_bytes(bytes(8 * 2**20))
    mapped = np.memmap(path, np.uint8, "r")
    assert int(mapped.sum()) == 0
    assert proc.mapped_kib(str(tmp_path)) == 8 * 1024
    assert proc.mapped_kib(str(tmp_path / "other")) == 0


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float16, np.int8, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=4, max_side=300).filter(
            lambda shape: np.prod(shape, dtype=int) < 10_000
        ),
        fill=st.just(0),
    )
)
def test_weights_of_an_onnx_file_are_counted(tmp_path_factory: Any, array: Any) -> None:
    path = tmp_path_factory.mktemp("w") / "m.onnx"
    constant = helper.make_node(
        "Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.ones(7, np.float32))
    )
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = onnx_model([constant, node], {"w": array}, {"x": (TensorProto.FLOAT, [1, 4])})
    onnx.save(model, path)
    assert weight_bytes(str(path)) == array.nbytes + 28


def test_weights_stored_as_numbers_and_in_4_bits_are_counted(tmp_path: Path) -> None:
    numbers = helper.make_tensor("w", TensorProto.FLOAT, [300], [1.5] * 300)
    assert not numbers.raw_data
    small = helper.make_tensor("s", TensorProto.INT4, [5], struct.pack("3B", 1, 1, 1), raw=True)
    model = onnx_model([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": (1, [1, 4])})
    model.graph.initializer.extend([numbers, small])
    onnx.save(model, tmp_path / "m.onnx")
    assert weight_bytes(str(tmp_path / "m.onnx")) == 1200 + 3


def test_a_profile_without_memory_tells_no_activations() -> None:
    node = {"name": "a_kernel_time", "cat": "Node", "dur": 1, "ts": 1, "args": {"op_name": "Conv"}}
    assert activation_bytes([node, {"name": "model_run"}]) is None
    held = [
        {**node, "args": {"mem_bytes_in_use": size, "mem_in_use_delta": more}}
        for size, more in (("5000", "1000"), ("9000", "4000"), ("4500", "-4500"))
    ]
    # 4000 were there before the first node.
    assert activation_bytes([*held, {"name": "model_run"}]) == 5000
