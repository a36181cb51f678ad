"""The main job with this machine as the device."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from harness import schemas
from harness.selftest import network
from reports.sections import all_sections
from tests.e2e.lab import BRIEF, SAMPLES, Lab, by_variant, save_linear
from tests.unit.page_numbers import strangers, undrawn


def test_a_study_is_measured_and_reported(lab: Lab) -> None:
    gates = [{"metric": "peak_rss_mib", "max": 2000}]
    report = lab.run(batch_sizes=[1, 4], gates=gates, measure=BRIEF)
    assert report["schema"] == "edgeproof.report/1"
    assert len(report["results"]) == 4
    for row in report["results"]:
        assert row["status"] == "ok", row
        assert row["launches"] >= 1
        latency = row["latency_ms"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p95"]
        assert row["throughput_ips"] == pytest.approx(row["batch"] / latency["mean"] * 1e3)
        assert row["precision_executed"] == "fp32"
        assert row["peak_rss_mib"] > 10
        assert row["load_ms"] > 0
        assert row["first_inference_ms"] > 0
        assert row["accuracy"]["samples"] == SAMPLES
    dense, pruned = (by_variant(report, batch=1)[name] for name in ("dense", "pruned"))
    assert dense["accuracy"]["top1"] == lab.accuracy(lab.weights)
    assert pruned["accuracy"]["top1"] == lab.accuracy(lab.pruned)
    assert dense["sparsity"] == 0
    assert pruned["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert pruned["compressed_bytes"] < dense["compressed_bytes"]
    assert {item["verdict"] for item in report["verdicts"]} == {"pass"}
    assert {item["candidate"] for item in report["comparisons"]} == {"pruned"}


def test_every_launch_is_a_fresh_process_and_its_samples_are_stored(measured: Lab) -> None:
    report = measured.report()
    store = sqlite3.connect(measured.folder / "data" / "edgeproof" / "edgeproof.db")
    rows = store.execute("select cell, ordinal, record from launches").fetchall()
    assert sorted({ordinal for _, ordinal, _ in rows}) == [0, 1, 2, 3, 4, 5, 6]
    assert len(rows) == 14
    records = [json.loads(record) for _, _, record in rows]
    assert all(record["load_ns"] > 0 and record["import_ns"] > 0 for record in records)
    kept = sum(sum(size - 1 for size in record["block_lengths"]) for record in records)
    assert kept == sum(row["samples"] for row in report["results"])


def test_reports_come_in_every_form(measured: Lab) -> None:
    page = measured.folder / "page.html"
    assert measured.command("report", "latest", "-o", str(page)).returncode == 0
    assert "pruned" in page.read_text()
    assert "| pruned" in measured.command("report", "--format", "md").stdout
    assert "pruned" in measured.command("report").stdout
    assert measured.command("report", "--format", "csv").stdout.count("\n") >= 3


def test_the_json_of_what_was_measured_holds_every_number_of_its_page(measured: Lab) -> None:
    report = measured.report()
    refused = jsonschema.Draft202012Validator(schemas.of("report")).iter_errors(report)
    assert [error.message for error in refused] == []
    assert strangers(report, all_sections) == []
    assert undrawn(report, all_sections) == []


def test_an_unknown_run_names_the_nearest(measured: Lab) -> None:
    run = measured.report()["run"]
    done = measured.command("report", run[:-1] + "x")
    assert done.returncode == 2
    assert run in done.stderr


def test_progress_is_plain_lines_without_a_terminal(measured: Lab) -> None:
    assert measured.first is not None
    said = measured.first.stderr
    assert "\x1b" not in said
    assert "local: connecting" in said
    assert "to go)" in said
    assert "local: done" in said
    assert "report: " in measured.first.stdout


def test_nothing_is_left_on_the_device_but_what_the_next_run_needs(measured: Lab) -> None:
    assert list((measured.root / "jobs").iterdir()) == []


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory, local_root: Path) -> list[dict[str, Any]]:
    """Rows of one run in which most cells cannot be measured, each for another reason."""
    lab = Lab(tmp_path_factory.mktemp("troubled") / "lab", local_root)
    save_linear(lab.folder / "fixed.onnx", lab.weights, batch=1)
    save_linear(lab.folder / "nan.onnx", lab.weights * np.float32(np.inf))
    model = onnx.load(lab.folder / "dense.onnx")
    model.graph.node[0].op_type, model.graph.node[0].domain = "NoSuchOperator", "made.up"
    model.opset_import.append(onnx.helper.make_opsetid("made.up", 1))
    onnx.save(model, lab.folder / "lacking.onnx")
    names = ("dense", "fixed", "nan", "lacking")
    report = lab.run(
        variants={name: {"model": f"{name}.onnx"} for name in names},
        batch_sizes=[1, 8],
        threads=[1, 250],
        runtimes=["onnxruntime", "litert"],
        measure=BRIEF,
    )
    rows: list[dict[str, Any]] = report["results"]
    return rows


def only(rows: list[dict[str, Any]], **where: Any) -> list[dict[str, Any]]:
    """The rows that match."""
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


ABLE = {"runtime": "onnxruntime", "threads": 1}


def test_cells_that_can_be_measured_are(troubled: list[dict[str, Any]]) -> None:
    measured = {(row["variant"], row["batch"]) for row in only(troubled, status="ok")}
    assert measured == {("dense", 1), ("dense", 8), ("fixed", 1), ("nan", 1), ("nan", 8)}


def test_a_value_that_was_not_measured_is_null(troubled: list[dict[str, Any]]) -> None:
    for row in troubled:
        assert (row["latency_ms"]["p50"] is None) == (row["status"] != "ok")
        assert (row["reason"] is None) == (row["status"] == "ok")


def test_a_fixed_batch_is_unsupported_beyond_it(troubled: list[dict[str, Any]]) -> None:
    (row,) = only(troubled, variant="fixed", batch=8, **ABLE)
    assert row["status"] == "unsupported"
    assert "batch" in row["reason"]


def test_a_format_that_the_runtime_does_not_read(troubled: list[dict[str, Any]]) -> None:
    for row in only(troubled, runtime="litert"):
        assert row["status"] == "unsupported"
        assert "onnx" in row["reason"]


def test_an_operator_that_the_runtime_lacks_is_named(troubled: list[dict[str, Any]]) -> None:
    for row in only(troubled, variant="lacking", **ABLE):
        assert row["status"] == "unsupported"
        assert "NoSuchOperator" in row["reason"]


def test_a_network_that_gives_nan_is_flagged(troubled: list[dict[str, Any]]) -> None:
    for row in only(troubled, variant="nan", **ABLE):
        assert any("NaN" in flag for flag in row["flags"])


def test_more_threads_than_cores_is_unsupported(troubled: list[dict[str, Any]]) -> None:
    beyond = only(troubled, threads=250, runtime="onnxruntime", variant="dense")
    assert {row["status"] for row in beyond} == {"unsupported"}
    assert all("250 threads" in row["reason"] for row in beyond)


def test_the_budget_ends_a_run_with_what_was_measured(lab: Lab) -> None:
    report = lab.run("--budget", "4s", measure={"effort": "thorough", "budget": "10m"})
    launches = [row["launches"] for row in report["results"]]
    assert all(1 <= count < 40 for count in launches)
    assert "budget" in report["devices"][0]["reason"]


@pytest.mark.parametrize(
    ("gate", "code", "verdict"),
    [
        ({"metric": "peak_rss_mib", "max": 10_000}, 0, "pass"),
        ({"metric": "peak_rss_mib", "max": 1}, 1, "fail"),
        # Without a dataset there is no accuracy to judge.
        ({"metric": "accuracy_top1", "min": 0.5}, 3, "inconclusive"),
    ],
)
def test_gate_answers_with_its_exit_code(
    lab: Lab, gate: dict[str, object], code: int, verdict: str
) -> None:
    alone = {"dense": {"model": "dense.onnx"}}
    study = lab.study(gates=[gate], variants=alone, dataset=None, measure=BRIEF)
    done = lab.command("gate", str(study))
    assert done.returncode == code, done.stderr
    assert f"gate: {verdict}" in done.stderr


def test_what_a_budget_cannot_decide_is_said_before_and_while_measuring(lab: Lab) -> None:
    gates = [{"metric": "latency_p95_ratio", "max": 5}]
    study = str(lab.study(gates=gates, dataset=None))
    done = lab.command("gate", study, "--budget", "5s")
    assert done.returncode == 3, done.stderr
    before, after = done.stderr.split("local: connecting")
    assert "note: latency_p95_ratio <= 5: a budget of 5 s allows the 7 launches" in before
    assert "local: latency_p95_ratio <= 5: p95 needs 7 launches for a verdict" in after
    report = lab.report()
    assert "p95 needs 7 launches" in report["devices"][0]["reason"]
    # The study of a gate compares less than the file says: it is the same run nevertheless.
    done = lab.command("run", study, "--resume", "latest", "--budget", "2m", "--json")
    assert done.returncode == 0, done.stderr
    assert [item["verdict"] for item in json.loads(done.stdout)["verdicts"]] == ["pass"]


def test_cleaning_removes_everything(lab: Lab) -> None:
    device = lab.folder / "device"
    lab.devices["local"] = {"root": str(device)}
    lab.study()
    assert lab.command("devices", "check", "local").returncode == 0
    assert (device / "blobs").is_dir()
    assert lab.command("devices", "clean", "local").returncode == 0
    assert not device.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runtimes": ["onnxruntme"]}, "onnxruntime"),
        ({"baseline": "dens"}, "dense"),
        ({"devices": ["pi5"]}, "pi5"),
        ({"batchsizes": [1]}, "batch_sizes"),
        ({"gates": [{"metric": "latency_p96_ms", "max": 1}]}, "latency_p9"),
        ({"measure": {"budget": "0s"}}, "budget"),
        ({"dataset": {"file": "eval.npz", "inputs": "X1", "labels": "y"}}, "X1"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    lab: Lab, changes: dict[str, object], message: str
) -> None:
    done = lab.command("run", str(lab.study(**changes)))
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (lab.folder / "data" / "edgeproof" / "reports").exists()


@pytest.mark.parametrize("content", [b"", b"\x08\x08garbage", b"\x00" * 5000])
def test_a_model_file_that_is_none_is_named(lab: Lab, content: bytes) -> None:
    (lab.folder / "pruned.onnx").write_bytes(content)
    done = lab.command("run", str(lab.study()))
    assert done.returncode == 2
    assert "pruned.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_store_must_be_one(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is no database, just text " * 100)
    done = lab.command("report", "--store", f"sqlite:///{tmp_path}/no.db")
    assert done.returncode == 2
    assert "store" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("layers", "code", "verdict"), [(0, 0, "pass"), (400, 1, "fail")])
def test_a_gate_passes_the_same_model_and_fails_one_with_added_layers(
    lab: Lab, layers: int, code: int, verdict: str
) -> None:
    network.save(lab.folder / "model.onnx")
    network.save(lab.folder / "candidate.onnx", layers)
    variants = {name: {"model": f"{name}.onnx"} for name in ("model", "candidate")}
    study = lab.study(
        variants=variants,
        baseline="model",
        gates=[{"metric": "latency_p50_ratio", "max": 1.05}],
        measure={"effort": "standard", "budget": "2m"},
        dataset=None,
    )
    done = lab.command("gate", str(study), "--json")
    assert done.returncode == code, done.stderr
    report = json.loads(done.stdout)
    assert [item["verdict"] for item in report["verdicts"]] == [verdict]
    launches = [row["launches"] for row in report["results"]]
    assert all(6 <= count <= 20 for count in launches)
    if layers:  # twice as slow: decided at an early look, whatever else the machine does
        assert max(launches) < 20


def test_a_gate_without_gates_is_no_pass(lab: Lab) -> None:
    done = lab.command("gate", str(lab.study()))
    assert done.returncode == 2
    assert "no gates" in done.stderr


def test_cleaning_leaves_what_is_not_ours(lab: Lab) -> None:
    device = lab.folder / "device"
    device.mkdir()
    (device / "thesis.txt").write_text("years of work")
    lab.devices["local"] = {"root": str(device)}
    lab.study()
    assert lab.command("devices", "check", "local").returncode == 0
    assert lab.command("devices", "clean", "local").returncode == 0
    assert [item.name for item in device.iterdir()] == ["thesis.txt"]


def test_a_report_that_cannot_be_written_is_no_failed_gate(measured: Lab) -> None:
    done = measured.command("report", "-o", "/proc/no/page.html")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_exit_code_2(lab: Lab) -> None:
    assert lab.command("run").returncode == 2
    assert lab.command("report", "--format", "xml").returncode == 2


def wait_for(line: str, host: subprocess.Popen[str]) -> None:
    """Read what the host says until it says this."""
    assert host.stderr is not None
    for said in host.stderr:
        if line in said:
            return
    raise AssertionError(f"it ended without saying {line!r}")


def test_stopping_and_going_on_measures_every_launch_once(lab: Lab) -> None:
    study = str(lab.study())
    host = lab.start("run", study)
    wait_for("cost of measuring itself", host)
    host.send_signal(signal.SIGINT)
    assert host.wait(timeout=60) == 130
    before = lab.report()
    assert before["devices"][0]["status"] == "stopped"
    done = lab.command("run", study, "--resume", "latest", "--json")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert {row["launches"] for row in after["results"]} == {7}
    assert after["devices"][0]["seconds"] > before["devices"][0]["seconds"]


def test_stopping_before_the_job_began_stops_it(lab: Lab) -> None:
    study = str(lab.study())
    host = lab.start("run", study)
    wait_for("connecting", host)
    host.send_signal(signal.SIGINT)
    assert host.wait(timeout=60) in (4, 130)
    assert all(row["launches"] == 0 for row in lab.report()["results"])


def test_a_stop_that_came_while_the_host_was_away_is_no_end_of_the_resumed_run(lab: Lab) -> None:
    study = str(lab.study(measure=BRIEF))
    host = lab.start("run", study)
    wait_for("cost of measuring itself", host)
    host.kill()
    host.wait()
    (job,) = (lab.root / "jobs").iterdir()
    (job / "stop").touch()
    deadline = time.monotonic() + 60
    while '"finished"' not in (job / "journal.jsonl").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    done = lab.command("run", study, "--resume", "latest", "--json")
    assert done.returncode == 0, done.stderr
    assert all(row["launches"] >= 1 for row in json.loads(done.stdout)["results"])


@pytest.mark.parametrize("change", ["model", "swapped", "dataset", "study", "device"])
def test_a_run_goes_on_only_with_what_it_began_with(
    measured: Lab, tmp_path: Path, change: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(measured.folder, folder)
    lab = Lab(folder, measured.root)
    extra: list[str] = []
    study = lab.study()
    if change == "model":
        save_linear(folder / "pruned.onnx", lab.weights * 2)
    elif change == "swapped":
        save_linear(folder / "dense.onnx", lab.pruned)
        save_linear(folder / "pruned.onnx", lab.weights)
    elif change == "dataset":
        np.savez(folder / "eval.npz", x=lab.x, y=(lab.labels + 1) % 7)
    elif change == "study":
        study = lab.study(gates=[{"metric": "load_ms", "max": 1}])
    else:
        lab.devices["other"] = {"connection": "local"}
        study, extra = lab.study(), ["--device", "other"]
    done = lab.command("run", str(study), "--resume", "latest", *extra)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
