"""A study of models that break beside one that does not: a row with a reason each, and its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract import bad_models
from tests.e2e.lab import Lab

# Status, and what reason and log tell; what is known before it runs has no log.
EXPECTED = {
    ("foreign", "onnxruntime"): ("unsupported", "com.acme:Frobnicate", "com.acme:Frobnicate"),
    ("huge", "onnxruntime"): ("failed", "Failed to allocate memory", "Failed to allocate memory"),
    ("image", "onnxruntime"): ("unsupported", "free dimension 2; give its whole shape", ""),
    ("strings", "onnxruntime"): ("unsupported", "'x' is of type string", ""),
    ("good", "openvino:gpu"): ("unsupported", "sees no GPU here", ""),
    ("crashing", "ncnn"): ("failed", "died in load: killed by SIGSEGV", "Segmentation fault"),
}
MEASURED = (("good", "onnxruntime"), ("tokens", "onnxruntime"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, local_root: Path) -> Lab:
    return Lab(tmp_path_factory.mktemp("bad") / "lab", local_root)


@pytest.fixture(scope="module")
def rows(lab: Lab) -> dict[tuple[str, str], dict[str, Any]]:
    """What a study of all of them ends in, by variant and runtime."""
    makers = (bad_models.good, bad_models.tokens, bad_models.foreign, bad_models.huge)
    made = [make(lab.folder) for make in (*makers, bad_models.image, bad_models.strings)]
    variants: dict[str, Any] = {path.stem: {"model": path.name} for path in made}
    variants["tokens"]["shapes"] = {"ids": [None, 16], "mask": [None, 16]}
    variants["crashing"] = {"model": {"ncnn": bad_models.crashing(lab.folder).name}}
    report = lab.run(
        baseline="good",
        variants=variants,
        runtimes=["onnxruntime", "openvino:gpu", "ncnn"],
        compare=["variants"],
        dataset=None,
        measure={"effort": "quick", "budget": "15s"},
    )
    assert report["devices"][0]["status"] == "ok"
    return {(row["variant"], row["runtime"]): row for row in report["results"]}


@pytest.mark.parametrize("cell", EXPECTED)
def test_what_breaks_has_a_reason_and_a_log(
    rows: dict[tuple[str, str], dict[str, Any]], cell: tuple[str, str]
) -> None:
    status, reason, log = EXPECTED[cell]
    row = rows[cell]
    assert row["status"] == status, row["reason"]
    assert reason in row["reason"]
    assert log in "\n".join(row["log"])
    assert bool(row["log"]) == bool(log)


@pytest.mark.parametrize("cell", MEASURED)
def test_the_others_are_measured(
    rows: dict[tuple[str, str], dict[str, Any]], cell: tuple[str, str]
) -> None:
    row = rows[cell]
    assert (row["status"], row["reason"], row["log"]) == ("ok", None, [])
    assert row["launches"] > 0
    assert row["latency_ms"]["p50"] > 0


@pytest.mark.parametrize("form", [(), ("--format", "md"), ("--format", "html")])
def test_every_form_tells(
    rows: dict[tuple[str, str], dict[str, Any]], lab: Lab, form: tuple[str, ...]
) -> None:
    told = lab.command("report", "latest", *form).stdout
    assert "SIGSEGV" in told
    # A terminal has room for reasons alone.
    assert ("Segmentation fault" in told) == bool(form)
