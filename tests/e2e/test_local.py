"""The main job with this machine as the device."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.lab import SAMPLES, Lab, by_variant, save_linear


def test_a_study_is_measured_and_reported(lab: Lab) -> None:
    report = lab.run(batch_sizes=[1, 4], gates=[{"metric": "peak_rss_mib", "max": 2000}])
    assert report["schema"] == "edgeproof.report/1"
    assert len(report["results"]) == 4
    for row in report["results"]:
        assert row["status"] == "ok", row
        assert row["launches"] == 6
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


def test_every_launch_is_a_fresh_process_and_its_samples_are_stored(lab: Lab) -> None:
    report = lab.run()
    store = sqlite3.connect(lab.folder / "data" / "edgeproof" / "edgeproof.db")
    rows = store.execute("select cell, ordinal, record from launches").fetchall()
    assert sorted({ordinal for _, ordinal, _ in rows}) == [0, 1, 2, 3, 4, 5]
    assert len(rows) == 12
    records = [json.loads(record) for _, _, record in rows]
    assert all(record["load_ns"] > 0 and record["import_ns"] > 0 for record in records)
    kept = sum(sum(size - 1 for size in record["block_lengths"]) for record in records)
    assert kept == sum(row["samples"] for row in report["results"])


def test_reports_come_in_every_form(lab: Lab) -> None:
    run = lab.run()["run"]
    page = lab.folder / "page.html"
    assert lab.command("report", run, "-o", str(page)).returncode == 0
    assert "pruned" in page.read_text()
    assert "| pruned" in lab.command("report", run, "--format", "md").stdout
    assert "pruned" in lab.command("report").stdout
    assert lab.command("report", run, "--format", "csv").stdout.count("\n") >= 3


def test_an_unknown_run_names_the_nearest(lab: Lab) -> None:
    run = lab.run()["run"]
    done = lab.command("report", run[:-1] + "x")
    assert done.returncode == 2
    assert run in done.stderr


def test_progress_is_plain_lines_without_a_terminal(lab: Lab) -> None:
    done = lab.command("run", str(lab.study()))
    assert "\x1b" not in done.stderr
    assert "local: connecting" in done.stderr
    assert "to go)" in done.stderr
    assert "local: done" in done.stderr
    assert "report: " in done.stdout


def test_a_cell_that_cannot_run_is_a_row_and_the_rest_goes_on(lab: Lab) -> None:
    save_linear(lab.folder / "fixed.onnx", lab.weights, batch=1)
    variants = {
        "dense": {"model": "dense.onnx"},
        "fixed": {"model": "fixed.onnx"},
    }
    report = lab.run(variants=variants, batch_sizes=[1, 8], runtimes=["onnxruntime", "litert"])
    eight = by_variant(report, batch=8, runtime="onnxruntime")
    assert eight["dense"]["status"] == "ok"
    assert eight["fixed"]["status"] == "unsupported"
    assert "batch" in eight["fixed"]["reason"]
    for row in by_variant(report, runtime="litert").values():
        assert row["status"] == "unsupported"
        assert "onnx" in row["reason"]
    for row in report["results"]:
        if row["status"] != "ok":
            assert row["latency_ms"]["p50"] is None


def test_an_operator_that_the_runtime_lacks_is_unsupported(lab: Lab) -> None:
    import onnx

    model = onnx.load(lab.folder / "dense.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    model.graph.node[0].domain = "made.up"
    model.opset_import.append(onnx.helper.make_opsetid("made.up", 1))
    onnx.save(model, lab.folder / "pruned.onnx")
    rows = by_variant(lab.run())
    assert rows["dense"]["status"] == "ok"
    assert rows["pruned"]["status"] == "unsupported"
    assert "NoSuchOperator" in rows["pruned"]["reason"]


def test_a_network_that_gives_nan_is_flagged(lab: Lab) -> None:
    save_linear(lab.folder / "pruned.onnx", lab.weights * np.float32(np.inf))
    rows = by_variant(lab.run())
    assert any("NaN" in flag or "finite" in flag for flag in rows["pruned"]["flags"])


def test_more_threads_than_cores_is_unsupported(lab: Lab) -> None:
    rows = lab.run(threads=[1, 250])["results"]
    assert {row["status"] for row in rows if row["threads"] == 1} == {"ok"}
    beyond = [row for row in rows if row["threads"] == 250]
    assert {row["status"] for row in beyond} == {"unsupported"}
    assert all("250 threads" in row["reason"] for row in beyond)


def test_the_budget_ends_a_run_with_what_was_measured(lab: Lab) -> None:
    report = lab.run("--budget", "4s", measure={"effort": "thorough", "budget": "10m"})
    launches = [row["launches"] for row in report["results"]]
    assert all(1 <= count < 40 for count in launches)
    assert "budget" in report["devices"][0]["reason"]


@pytest.mark.parametrize(
    ("limit", "code", "verdict"),
    [(10_000, 0, "pass"), (1, 1, "fail")],
)
def test_gate_answers_with_its_exit_code(lab: Lab, limit: int, code: int, verdict: str) -> None:
    gates = [{"metric": "peak_rss_mib", "max": limit}]
    done = lab.command("gate", str(lab.study(gates=gates)))
    assert done.returncode == code, done.stderr
    assert f"gate: {verdict}" in done.stderr


def test_a_gate_that_cannot_be_decided_is_inconclusive(lab: Lab) -> None:
    # Without a dataset there is no accuracy to judge.
    gates = [{"metric": "accuracy_top1", "min": 0.5}]
    done = lab.command("gate", str(lab.study(gates=gates, dataset=None)))
    assert done.returncode == 3, done.stderr


def test_nothing_is_left_on_the_device_but_what_the_next_run_needs(lab: Lab) -> None:
    lab.run()
    assert list((lab.root / "jobs").iterdir()) == []


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
