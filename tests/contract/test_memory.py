"""Memory taken apart, in real workers with real runtimes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
import tflite

from agents import backends, wire
from reports.memory import PARTS, STAGES, parts_of, put_memory
from reports.row_builder import RowBuilder
from tests.contract.networks import Network
from tests.contract.workshop import RUNTIMES, Workshop
from tests.unit.model_files import Operator, Tensor, matmul, save_tflite

WIDTH = 2048
WEIGHTS_MIB = WIDTH * WIDTH * 4 / 2**20
# Of the three that everything else is held against.
TELLING = ("litert", "onnxruntime", "openvino")


def heavy(folder: Path, runtime: str) -> Path:
    """One matrix product whose weights are most of what the model takes."""
    weights = np.random.default_rng(3).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    if runtime == "litert":
        tensors = [
            Tensor("x", [1, WIDTH]),
            Tensor("w", [WIDTH, WIDTH], data=weights.tobytes()),
            Tensor("b", [WIDTH], data=bytes(4 * WIDTH)),
            Tensor("y", [1, WIDTH]),
        ]
        product = Operator(tflite.BuiltinOperator.FULLY_CONNECTED, [0, 1, 2], [3])
        return save_tflite(folder / "heavy.tflite", tensors, [product])
    onnx.save(matmul(weights, ("n", WIDTH)), folder / "heavy.onnx")
    return folder / "heavy.onnx"


def row_of(workshop: Workshop, cell: wire.Cell) -> tuple[wire.Memory, dict[str, Any]]:
    """A launch's memory as it is on the wire, and as a row with the evaluation beside it."""
    event = workshop.evaluate(cell)
    [record] = workshop.launch(cell)["cells"]
    assert (event["status"], record["status"]) == ("ok", "ok"), record["reason"]
    assert record["memory"] is not None
    builder = RowBuilder({})
    put_memory(builder, cast(Any, [SimpleNamespace(launch=record)]), event, None)
    return record["memory"], builder.row


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_parts_and_the_rest_are_the_peak(
    workshop: Workshop, tmp_path: Path, runtime: str
) -> None:
    path = Network().save(tmp_path, backends.find(runtime).FORMATS[0])
    memory, row = row_of(workshop, workshop.cell(path, runtime))
    assert [one["stage"] for one in memory["stages"]] == list(STAGES)
    for stage in memory["stages"]:
        assert stage["anon_kib"] + stage["file_kib"] == stage["rss_kib"] > 0
        # This machine lets the peak be reset.
        assert memory["peak_kib"] >= (stage["peak_kib"] or 0) >= stage["rss_kib"]
    assert memory["peak_kib"] == max(one["peak_kib"] or 0 for one in memory["stages"])
    # Importing takes a peak of its own: it was reset after the start.
    assert memory["stages"][1]["rss_kib"] > memory["stages"][0]["rss_kib"] + 4096
    parts = parts_of(row)
    assert set(parts) <= set(PARTS) and {"runtime_mib", "io_mib"} <= set(parts)
    assert sum(parts.values()) + row["other_mib"] == pytest.approx(row["peak_rss_mib"])
    # A model of a few KiB: nearly all is runtime, and no part is larger than the whole.
    assert 0.4 * row["peak_rss_mib"] < row["runtime_mib"] <= 1.02 * row["peak_rss_mib"]
    assert row["other_mib"] > -0.05 * row["peak_rss_mib"]


@pytest.mark.parametrize("runtime", TELLING)
def test_weights_are_told_and_are_no_part_of_the_runtime(
    workshop: Workshop, tmp_path: Path, runtime: str
) -> None:
    cell = workshop.cell(heavy(tmp_path, runtime), runtime)
    _, row = row_of(workshop, cell)
    small = Network().save(tmp_path, backends.find(runtime).FORMATS[0])
    _, light = row_of(workshop, workshop.cell(small, runtime))
    assert row["weights_mib"] == pytest.approx(WEIGHTS_MIB, rel=0.03)
    assert light["weights_mib"] < 1
    assert row["io_mib"] == pytest.approx(2 * WIDTH * 4 / 2**20)
    assert row["peak_rss_mib"] > light["peak_rss_mib"] + 0.9 * WEIGHTS_MIB
    # The resident pages of libraries differ from process to process, by megabytes.
    assert abs(row["runtime_mib"] - light["runtime_mib"]) < 0.75 * WEIGHTS_MIB
    assert row["memory"]["account"]
    if runtime == "onnxruntime":  # the only one that tells, when it traces
        assert 0 < row["activations_mib"] < 1
