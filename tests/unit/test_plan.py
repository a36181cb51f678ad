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
from harness.effort import TIMING
from harness.formats import Contents, Port
from harness.plan import WITHOUT_RUNTIME_GROUPS, DevicePlan, job, plan
from harness.study import Study, parse_study

LOCAL = Device(name="local", connection="local")
FORMATS = {
    "onnxruntime": ("onnx",),
    "openvino": ("onnx", "openvino", "tflite"),
    "litert": ("tflite",),
}


def artifact(variant: str, format: str, shape: tuple[int | None, ...] = (None, 4)) -> Artifact:
    contents = Contents((Port("x", "float32", shape),), (), None, None)
    return Artifact(Path(variant), format, (), f"{variant}-{format}", {}, 1, contents)


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
        {"id": "dense/openvino/fp32", "cell": f"dense/openvino/fp32/b1/{tail}", "answers": True},
        {"id": "small/openvino/fp32", "cell": f"small/openvino/fp32/b1/{tail}", "answers": True},
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
            "onnxruntime reads .onnx; small has only .tflite"
        ),
        "dense/litert/fp32/b1/t1/single-stream": "litert reads .tflite; dense has only .onnx",
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
    assert found.scenarios["single-stream"]["blocks"] == blocks
    assert found.timing == TIMING


@pytest.mark.parametrize(
    ("asked", "launches", "expected"),
    [
        ("single-stream", [7, 20], (1, 1, 0.0, None, 10)),
        ("multi-stream", [7, 20], (8, 8, 0.0, None, 10)),
        ({"name": "offline", "requests": 64}, [7, 20], (None, 64, 0.0, None, 10)),
        ({"name": "server", "target_p99_ms": 2.5}, [3, 5], (None, 1, 2.0, 2_500_000, 0)),
        ("cold-start", [7, 20], (1, 1, 0.0, None, 4)),
        ({"name": "sustained", "minutes": 3}, [1, 2], (1, 1, 180.0, None, 3)),
    ],
)
def test_scenarios_on_the_wire(
    asked: Any, launches: list[int], expected: tuple[float | None, ...]
) -> None:
    plans = [
        planned(study(scenarios=[asked], runtimes=["openvino"], measure={"effort": effort}))
        for effort in ("quick", "standard")
    ]
    assert [found.groups[0]["launches"] for found in plans] == launches
    (scenario,) = plans[0].scenarios.values()
    assert tuple(scenario[key] for key in wire.Scenario.__annotations__) == expected  # type: ignore[literal-required]


def test_groups_of_runtimes_come_after_those_of_variants() -> None:
    found = planned(
        study(
            variants={"a": {"model": {"onnx": "a.onnx", "tflite": "a.tflite"}}},
            baseline="a",
            runtimes=["litert", "openvino"],
            scenarios=["offline"],
        )
    )
    cells = ["a/litert/fp32/b1/t1/offline", "a/openvino/fp32/b1/t1/offline"]
    assert [group["kind"] for group in found.groups] == ["variant", "variant", "runtime"]
    assert found.groups[-1] == {
        "id": "runtime/a/fp32/b1/t1/offline",
        "kind": "runtime",
        "baseline": cells[0],
        "cells": cells,
        "launches": 20,
    }


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
    assert set(made["scenarios"]) == {"single-stream"}
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


def test_a_job_compares_the_runtimes_that_could_be_brought() -> None:
    found = planned(study(variants={"dense": {"model": {"onnx": "d.onnx", "tflite": "d.tflite"}}}))
    brought = {name: wire.Runtime(path="") for name in ("onnxruntime", "litert")}
    made = job(found, "run-1", seed=7, runtimes=brought, files={}, attempt="first")
    last = made["groups"][-1]
    assert (last["kind"], len(found.groups[-1]["cells"])) == ("runtime", 3)
    assert [made["cells"][key]["runtime"] for key in last["cells"]] == ["onnxruntime", "litert"]


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
        scenarios=draw(some(["single-stream", "offline", "cold-start"])),
        compare=draw(st.sampled_from([["variants"], ["runtimes", "variants"]])),
    )


@given(studies(), st.sampled_from([(None, 4), (1, 4), (8, 4), (None, None)]))
def test_a_plan_is_complete_unambiguous_and_repeatable(
    asked: Study, shape: tuple[int | None, ...]
) -> None:
    found = planned(asked, shape)
    assert found == planned(asked, shape)
    scenarios = [scenario.name for scenario in asked.scenarios]
    axes = (asked.variants, asked.runtimes, asked.precisions, asked.batch_sizes, asked.threads)
    keys = ("variant", "runtime", "precision", "batch", "threads", "scenario")
    cells = [item.cell for item in found.cells]
    assert sorted(tuple(cell[key] for key in keys) for cell in cells) == sorted(  # type: ignore[literal-required]
        itertools.product(*axes, scenarios)
    )
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert all((item.status == "ok") == (item.reason is None) for item in found.cells)
    check_groups(found, asked)
    check_evaluations(found)


def check_groups(found: DevicePlan, asked: Study) -> None:
    kinds = [group["kind"] for group in found.groups]
    assert kinds == sorted(kinds, reverse=True)  # variants before runtimes
    assert len({group["id"] for group in found.groups}) == len(found.groups)
    grouped = [
        key for group in found.groups if group["kind"] == "variant" for key in group["cells"]
    ]
    assert sorted(grouped) == sorted(found.measurable)
    for group in found.groups:
        cells = [found.measurable[key] for key in group["cells"]]
        assert len({(cell["batch"], cell["threads"], cell["scenario"]) for cell in cells}) == 1
        if group["kind"] == "variant":
            held = [cell["id"] for cell in cells if cell["variant"] == asked.baseline]
            assert len({cell["runtime"] for cell in cells}) == 1
            assert group["baseline"] == (held[0] if held else None)
            assert not held or group["cells"][0] == held[0]
    check_runtime_groups(found, asked)


def check_runtime_groups(found: DevicePlan, asked: Study) -> None:
    """Whatever two runtimes can measure alike is compared, and nothing else."""
    keys = ("variant", "precision", "batch", "threads", "scenario")
    alike: dict[tuple[Any, ...], list[str]] = {}
    for cell in found.measurable.values():
        if cell["scenario"] not in WITHOUT_RUNTIME_GROUPS:
            alike.setdefault(tuple(cell[key] for key in keys), []).append(cell["id"])  # type: ignore[literal-required]
    expected = [held for held in alike.values() if len(held) > 1 and "runtimes" in asked.compare]
    groups = [group for group in found.groups if group["kind"] == "runtime"]
    assert sorted(group["cells"] for group in groups) == sorted(expected)
    for group in groups:
        order = [asked.runtimes.index(found.measurable[key]["runtime"]) for key in group["cells"]]
        assert order == sorted(set(order))
        assert group["baseline"] == group["cells"][0]


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
