"""Runs of every kind for the tests of the report's forms: rich ones, and ones that lack all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from reports.document import build
from reports.run import ArtifactRecord, DeviceRecord, Release, Run
from tests.unit.evaluation_builder import (
    add_classifier,
    detectors,
    robust_study,
    segmenters,
    two_classes,
)
from tests.unit.run_builder import (
    RIGHT,
    TIMES,
    RunBuilder,
    cell,
    cell_launch,
    every_scenario,
    floor,
    realistic,
)
from tests.unit.selftest_builder import selftest
from tests.unit.session_builder import session

WAIVER = {
    "metric": "latency_p50_ratio",
    "max": 1.5,
    "variant": "slim-40",
    "device": "pi5",
    "runtime": "onnxruntime",
    "expires": "2026-11-30",
    "reason": "the vendor's fix comes in December",
    "issue": "LAB-12",
}
LAYER = {"name": "conv1", "shape": [8, 3, 3, 3], "weights": 216, "zeros": 194}
LAYER |= {"pattern": "unstructured", "macs": 2160, "macs_saved": 1940, "saved_bytes": 700}
ZEROS = {"weights": 216, "zeros": 194, "macs": 2160, "macs_saved": 1940, "saved_bytes": 700}
ZEROS |= {"patterns": {"unstructured": 216}, "reason": None, "layers": [{**LAYER, "reason": None}]}


SPEEDS = {"onnxruntime": 1.0, "openvino": 0.8}


def several_boards(runtimes: Mapping[str, float] = SPEEDS, launches: int = 9) -> Run:
    """Two boards and one that could not be reached; gates of all verdicts, a waiver, a twin."""
    first, second = (
        _board(RunBuilder(seed=seed, launches=launches, device=device), runtimes)
        for seed, device in ((7, "pi5"), (8, "nuc-2"))
    )
    lost = DeviceRecord("orin", "jetson-orin-nano", "failed", "no route to host 10.0.0.9")
    boards = [replace(first.devices[0], name="pi5"), replace(second.devices[0], name="nuc-2"), lost]
    return replace(
        first,
        devices=boards,
        cells=[*first.cells, *second.cells],
        groups=[*first.groups, *second.groups],
        launches=[*first.launches, *second.launches],
        evaluations=[*first.evaluations, *second.evaluations],
    )


def _board(made: RunBuilder, runtimes: Mapping[str, float]) -> Run:
    variants: dict[str, Any] = {"dense": {"from": None}, "int8": {"from": "dense"}}
    for share in (70, 90):
        prune = {"method": "magnitude", "sparsity": share / 100, "pattern": "unstructured"}
        variants[f"pruned-{share}"] = {"from": "dense", "prune": prune}
    variants["slim-40"] = {"from": "dense"}
    variants["pruned-70-twin"] = {"from": "pruned-70", "densify": True}
    made.study |= {
        "variants": variants,
        "waivers": [WAIVER],
        "gates": [
            {"metric": "latency_p50_ratio", "max": 1.03},
            {"metric": "latency_p95_ms", "max": 3},
            {"metric": "throughput_ips", "min": 240},
            {"metric": "accuracy_top1_drop", "max": 0.02},
            {"metric": "peak_rss_mib", "max": 350},
        ],
        "targets": [{"metric": "accuracy_top1_drop", "max": 0.15}],
    }
    times = TIMES | {"pruned-90": 3.9, "pruned-70-twin": 4.1, "slim-40": 4.9}
    for runtime, speed in runtimes.items():
        for batch in (1, 8):
            cells = {name: cell(name, runtime, batch=batch) for name in times}
            for one in cells.values():
                made.add_cell(one)
            medians = {cells[name]["id"]: ms * speed * batch**0.9 for name, ms in times.items()}
            made.add_group(f"variant/{runtime}-{batch}", medians, call_overhead_ns=12_000)
        for name in (*RIGHT, "pruned-90"):
            made.add_evaluation(cell(name, runtime), RIGHT.get(name, 0.5))
    both = {cell("dense", runtime)["id"]: 4 * speed for runtime, speed in runtimes.items()}
    made.add_group("runtime/dense", both, kind="runtime")
    for name in times:
        made.add_artifact(name, 800_000 if name == "int8" else 3_000_000)
    sha = "sha-pruned-70"
    made.artifacts[sha] = replace(made.artifacts[sha], sparsity=0.7, zeros=ZEROS)
    _add_losses(made)
    return made.build()


def _add_losses(made: RunBuilder) -> None:
    """A cell without a file, one that crashed, and one that throttled all the time."""
    made.add_cell(cell("int8", "litert"), "unsupported", "no tflite file of this variant")
    crashed = cell("slim-40", "litert")
    made.add_cell(crashed)
    log = ["loading model", "Segmentation fault at 0x7f12"]
    broken = cell_launch(crashed["id"], [], status="failed", reason="killed by signal 11", log=log)
    made.add_launch("variant/litert", 0, broken)


def compressed() -> Run:
    """A curve of magnitudes in two runtimes, with targets to ship by."""
    made = RunBuilder(launches=8, labels=[at % 4 for at in range(400)])
    variants: dict[str, Any] = {"dense": {"from": None}}
    for share in (0.3, 0.6, 0.9):
        prune = {"method": "magnitude", "sparsity": share, "pattern": "unstructured"}
        variants[f"pruned-{100 * share:.0f}"] = {"from": "dense", "prune": prune}
    made.study |= {
        "variants": variants,
        "targets": [
            {"metric": "accuracy_top1_drop", "max": 0.05},
            {"metric": "compressed_mib", "max": 25},
        ],
    }
    for at, name in enumerate(variants):
        size = 3_000_000 - 500_000 * at
        made.artifacts[f"sha-{name}"] = ArtifactRecord(
            f"sha-{name}", f"{name}.onnx", "onnx", size, size // 2, 0.3 * at
        )
    for runtime in ("onnxruntime", "openvino"):
        for at, name in enumerate(variants):
            made.add_cell(cell(name, runtime))
            add_classifier(made, cell(name, runtime), margin=4.0 - at)
        medians = {cell(name, runtime)["id"]: 4.0 - 0.5 * at for at, name in enumerate(variants)}
        made.add_group(runtime, medians)
    return made.build()


def nothing() -> Run:
    """A run that was created and no more."""
    return RunBuilder().build()


def one_cell() -> Run:
    """The baseline alone, without a dataset or a gate."""
    made = RunBuilder(labels=None)
    made.add_cell(cell("dense"))
    made.add_artifact("dense", 1000)
    made.add_group("g", {cell("dense")["id"]: 2.0})
    return made.build()


def one_launch() -> Run:
    """One launch of each cell, with gates."""
    made = RunBuilder(launches=1)
    made.study["gates"] = [
        {"metric": "latency_p50_ratio", "max": 1.03},
        {"metric": "latency_p95_ms", "max": 3},
    ]
    for name in ("dense", "int8"):
        made.add_cell(cell(name))
        made.add_artifact(name, 1000)
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("int8")["id"]: 1.0})
    return made.build()


def only_failures() -> Run:
    """Two cells that crashed at every launch, a gate, a dataset."""
    made = RunBuilder()
    made.study["gates"] = [{"metric": "latency_p50_ms", "max": 5}]
    for name in ("dense", "int8"):
        made.add_cell(cell(name))
        made.add_artifact(name, 1000, None)
        broken = cell_launch(
            cell(name)["id"],
            [],
            status="failed",
            reason="killed by signal 9",
            log=["out of memory"],
            load_ns=None,
            first_ns=None,
            import_ns=None,
            memory=None,
        )
        made.add_launch("g", 0, broken)
        made.add_evaluation(cell(name), 0, status="failed", reason="killed by signal 9", top=None)
    return made.build()


def devices_failed() -> Run:
    """Two boards of which neither answered."""
    made = RunBuilder()
    made.study["gates"] = [{"metric": "latency_p50_ms", "max": 5}]
    made.devices = [
        DeviceRecord(name, "raspberry-pi-5", "failed", "connection refused")
        for name in ("pi5", "pi6")
    ]
    for device in ("pi5", "pi6"):
        made.device = device
        made.add_cell(cell("dense"))
        made.add_cell(cell("int8"))
    made.add_artifact("dense", 1000)
    return made.build()


def running() -> Run:
    """A run that is not finished: a device at work, nothing back from it."""
    made = RunBuilder()
    made.devices = [DeviceRecord("pi5", "raspberry-pi-5", "running", floor=floor())]
    made.add_cell(cell("dense"))
    return replace(made.build(), finished=None)


def no_dataset() -> Run:
    """A comparison whose study has no dataset and no gates."""
    made = RunBuilder(labels=None)
    for name in ("dense", "int8"):
        made.add_cell(cell(name))
        made.add_artifact(name, 1000)
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("int8")["id"]: 1.0})
    return made.build()


def followed(steps: int = 4, ratio: float = 1.015) -> Run:
    """A gate whose file drifted from a release by small steps, on a device that was self-tested."""

    def gate(at: int) -> Run:
        files = {"dense": f"v{at - 1}", "slim-40": f"v{at}"}
        run = session(at, {"dense": 4.0, "slim-40": 4.0 * ratio}, files=files)
        limits = [{"metric": "latency_p50_ratio", "max": 1.03}]
        return replace(run, study={**run.study, "gates": limits})

    *since, last = (gate(at) for at in range(1, steps + 1))
    known = Release("1.4", "2026-01-01T11:00:00+00:00", "kws-00", "slim-40", ["v0"])
    wrong = {"same": ["pass"] * 19 + ["fail"], "slow3": ["fail"] * 8, "slow5": ["pass"]}
    tested = selftest(wrong, id="selftest-pi5-7")
    return replace(last, release=known, since=since, selftests=[tested])


RICH: Mapping[str, Callable[[], Run]] = {
    "several-boards": several_boards,
    "realistic": realistic,
    "scenarios": lambda: every_scenario().build(),
    "robust": lambda: robust_study(samples=120).build(),
    "two-classes": lambda: two_classes(samples=120).build(),
    "detectors": lambda: detectors(samples=60).build(),
    "segmenters": lambda: segmenters(samples=60).build(),
    "compressed": compressed,
    "followed": followed,
}
POOR: Mapping[str, Callable[[], Run]] = {
    "nothing": nothing,
    "one-cell": one_cell,
    "one-launch": one_launch,
    "only-failures": only_failures,
    "devices-failed": devices_failed,
    "running": running,
    "no-dataset": no_dataset,
}


@cache
def document(name: str) -> Mapping[str, Any]:
    """The document of a run; made once, so that nobody may change it."""
    return build({**RICH, **POOR}[name]())
