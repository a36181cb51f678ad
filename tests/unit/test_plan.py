"""Plans: every asked combination exactly once, and a reason for what cannot be measured."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import wire
from harness.artifact import Artifact
from harness.devices import Device
from harness.formats import Contents, Port
from harness.plan import EFFORTS, DevicePlan, job, plan
from harness.study import Study, parse_study

LOCAL = Device(name="local", connection="local")
FORMATS = {
    "onnxruntime": ("onnx",),
    "openvino": ("onnx", "openvino", "tflite"),
    "litert": ("tflite",),
}


def artifact(variant: str, format: str, shape: tuple[int | None, ...] = (None, 4)) -> Artifact:
    contents = Contents((Port("x", "float32", shape),), (), None, None)
    return Artifact(Path(variant), format, (), f"{variant}-{format}", {}, 1, 1, contents)


def study(**changes: Any) -> Study:
    return parse_study(
        {
            "name": "test",
            "variants": {"small": {"model": "s.tflite"}, "dense": {"model": "d.onnx"}},
            "baseline": "dense",
            "runtimes": ["onnxruntime", "openvino", "litert"],
            **changes,
        },
        Path(),
    )


def planned(asked: Study, shape: tuple[int | None, ...] = (None, 4)) -> DevicePlan:
    files = {
        (name, format): artifact(name, format, shape)
        for name, variant in asked.variants.items()
        for format in variant.model
    }
    return plan(asked, LOCAL, files, FORMATS)


def reasons(found: DevicePlan) -> dict[str, str | None]:
    return {item.cell["id"]: item.reason for item in found.cells if item.status != "ok"}


def test_cells_groups_and_evaluations() -> None:
    found = planned(study(batch_sizes=[8, 1], runtimes=["openvino"]))
    tail = "t1/single-stream"
    assert [item.cell["id"] for item in found.cells] == [
        f"dense/openvino/fp32/b8/{tail}",
        f"small/openvino/fp32/b8/{tail}",
        f"dense/openvino/fp32/b1/{tail}",
        f"small/openvino/fp32/b1/{tail}",
    ]
    assert found.groups[0] == {
        "id": f"variant/openvino/fp32/b8/{tail}",
        "kind": "variant",
        "baseline": f"dense/openvino/fp32/b8/{tail}",
        "cells": [f"dense/openvino/fp32/b8/{tail}", f"small/openvino/fp32/b8/{tail}"],
        "launches": 20,
    }
    assert found.evaluations == (
        {"id": "dense/openvino/fp32", "cell": f"dense/openvino/fp32/b1/{tail}"},
        {"id": "small/openvino/fp32", "cell": f"small/openvino/fp32/b1/{tail}"},
    )
    cell = found.cells[0].cell
    assert (cell["artifact"], cell["format"]) == ("dense-onnx", "onnx")
    assert cell["inputs"][0]["shape"] == [8, 4]
    assert cell["evaluation"] == "dense/openvino/fp32"
    assert (found.runtimes, found.artifacts) == (["openvino"], ["dense-onnx", "small-tflite"])


def test_a_runtime_takes_the_format_it_prefers() -> None:
    both = {"dense": {"model": {"tflite": "d.tflite", "onnx": "d.onnx", "openvino": "d.xml"}}}
    found = planned(study(variants=both))
    chosen = {item.cell["runtime"]: item.cell["format"] for item in found.cells}
    assert chosen == {"onnxruntime": "onnx", "openvino": "onnx", "litert": "tflite"}


def test_formats_come_from_the_backends() -> None:
    asked = study(variants={"dense": {"model": "d.onnx"}}, runtimes=["onnxruntime", "tflite"])
    found = plan(asked, LOCAL, {("dense", "onnx"): artifact("dense", "onnx")})
    assert [item.status for item in found.cells] == ["ok", "unsupported"]


def test_no_file_for_a_runtime() -> None:
    found = planned(study())
    assert reasons(found) == {
        "small/onnxruntime/fp32/b1/t1/single-stream": (
            "onnxruntime reads onnx; small has only tflite"
        ),
        "dense/litert/fp32/b1/t1/single-stream": "litert reads tflite; dense has only onnx",
    }
    without = {group["id"].split("/")[1]: group["baseline"] for group in found.groups}
    assert without["litert"] is None
    assert without["openvino"] == "dense/openvino/fp32/b1/t1/single-stream"
    for item in found.cells:
        assert (item.cell["evaluation"] == "") == (item.status != "ok")
        assert (item.cell["artifact"] == "") == (item.status != "ok")


def test_fixed_batch_and_free_dimensions() -> None:
    fixed = reasons(planned(study(batch_sizes=[1, 8], runtimes=["openvino"]), (1, 4)))
    assert fixed == {
        "dense/openvino/fp32/b8/t1/single-stream": "input 'x' has a fixed batch of 1, not 8"
    }
    free = planned(study(runtimes=["openvino"]), (None, None))
    assert all("free dimension 1" in str(item.reason) for item in free.cells)
    assert (free.groups, free.evaluations) == ((), ())
    shaped = {"dense": {"model": "d.onnx", "shapes": {"x": [-1, 7]}}}
    found = planned(study(variants=shaped, runtimes=["openvino"]), (None, None))
    assert found.cells[0].cell["inputs"][0]["shape"] == [1, 7]


def test_the_evaluation_uses_the_lightest_cell_that_can_run() -> None:
    found = planned(study(batch_sizes=[8, 1, 2], threads=[4, 2], runtimes=["onnxruntime"]))
    assert found.evaluations[0]["cell"] == "dense/onnxruntime/fp32/b1/t2/single-stream"
    found = planned(study(batch_sizes=[1, 8], threads=[4, 2], runtimes=["onnxruntime"]), (8, 4))
    assert found.evaluations[0]["cell"] == "dense/onnxruntime/fp32/b8/t2/single-stream"


@pytest.mark.parametrize(
    ("effort", "launches", "blocks"), [("quick", 7, 10), ("standard", 20, 20), ("thorough", 60, 20)]
)
def test_efforts(effort: str, launches: int, blocks: int) -> None:
    found = planned(study(measure={"effort": effort, "budget": "90s"}))
    assert {group["launches"] for group in found.groups} == {launches}
    assert found.budget_s == 90
    assert found.timing == {
        "blocks": blocks,
        "block_iterations": 10,
        "block_ns": 15_000_000,
        "warmup_iterations": 50,
        "warmup_ns": 100_000_000,
        "warmup_cap_ns": 5_000_000_000,
        "answer_timeout_s": 120.0,
    }
    assert "a cell" in EFFORTS[effort].cost


def test_job() -> None:
    found = planned(study())
    made = job(
        found,
        "run-1",
        seed=7,
        runtimes={"openvino": {"path": "/r"}},
        files={"dense-onnx": {".onnx": "dense-onnx"}},
        attempt="first",
        skip={"c": "it failed"},
        done_evaluations=["b", "a"],
        done_launches=[("g", 1), ("g", 0)],
    )
    assert set(made) == set(wire.Job.__annotations__)
    assert json.loads(json.dumps(made)) == made
    assert {cell["runtime"] for cell in made["cells"].values()} == {"openvino"}
    assert [group["id"].split("/")[1] for group in made["groups"]] == ["openvino"]
    assert {item["cell"] for item in made["evaluations"]} == set(made["cells"])
    assert made["done_evaluations"] == ["a", "b"]
    assert (made["attempt"], made["skip"]) == ("first", {"c": "it failed"})
    assert made["done_launches"] == [["g", 0], ["g", 1]]
    assert (made["run"], made["device"], made["seed"], made["dataset"]) == (
        "run-1",
        "local",
        7,
        None,
    )


def some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, unique=True)


FILES = st.dictionaries(
    st.sampled_from(["onnx", "tflite", "openvino"]), st.just(""), min_size=1
).map(lambda files: {name: f"m.{'xml' if name == 'openvino' else name}" for name in files})


@st.composite
def studies(draw: st.DrawFn) -> Study:
    variants = draw(st.dictionaries(st.sampled_from("abcd"), FILES, min_size=1))
    return study(
        variants={name: {"model": files} for name, files in variants.items()},
        baseline=draw(st.sampled_from(sorted(variants))),
        runtimes=draw(some(sorted(FORMATS))),
        precisions=draw(some(["fp32", "fp16", "bf16"])),
        batch_sizes=draw(some([1, 2, 8])),
        threads=draw(some([1, 4])),
    )


@given(studies(), st.sampled_from([(None, 4), (1, 4), (8, 4), (None, None)]))
def test_a_plan_is_complete_unambiguous_and_repeatable(
    asked: Study, shape: tuple[int | None, ...]
) -> None:
    found = planned(asked, shape)
    assert found == planned(asked, shape)
    axes = (asked.variants, asked.runtimes, asked.precisions, asked.batch_sizes, asked.threads)
    keys = ("variant", "runtime", "precision", "batch", "threads")
    cells = [item.cell for item in found.cells]
    assert sorted(tuple(cell[key] for key in keys) for cell in cells) == sorted(  # type: ignore[literal-required]
        itertools.product(*axes)
    )
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert all((item.status == "ok") == (item.reason is None) for item in found.cells)
    check_groups(found, asked)
    check_evaluations(found)


def check_groups(found: DevicePlan, asked: Study) -> None:
    grouped = [key for group in found.groups for key in group["cells"]]
    assert sorted(grouped) == sorted(found.measurable)
    assert len({group["id"] for group in found.groups}) == len(found.groups)
    for group in found.groups:
        cells = [found.measurable[key] for key in group["cells"]]
        assert len({(cell["runtime"], cell["batch"], cell["threads"]) for cell in cells}) == 1
        held = [cell["id"] for cell in cells if cell["variant"] == asked.baseline]
        assert group["baseline"] == (held[0] if held else None)
        assert not held or group["cells"][0] == held[0]


def check_evaluations(found: DevicePlan) -> None:
    cells = found.measurable
    assert {cell["evaluation"] for cell in cells.values()} == {e["id"] for e in found.evaluations}
    for evaluation in found.evaluations:
        chosen = cells[evaluation["cell"]]
        same = [cell for cell in cells.values() if cell["evaluation"] == evaluation["id"]]
        assert chosen in same
        assert (chosen["batch"], chosen["threads"]) == min(
            (cell["batch"], cell["threads"]) for cell in same
        )
