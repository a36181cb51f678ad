"""The gate as a release engineer meets it: against the last release, in CI, in a bisection."""

from __future__ import annotations

import json
import shutil
from typing import Any
from xml.etree import ElementTree

import pytest

from harness import release_files
from harness.artifact import inspect
from harness.store import Store
from harness.study import load_study
from tests.e2e.lab import BRIEF, Lab, by_variant, save_linear

ACCURATE = {"metric": "accuracy_top1", "min": 0.01}
OPEN = {"metric": "accuracy_auc", "min": 0.5}  # of seven classes there is no area
IMPOSSIBLE = {"metric": "latency_p50_ms", "max": 1e-6}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, local_root: Any) -> Lab:
    """A lab whose variant `pruned` has passed its gate."""
    lab = Lab(tmp_path_factory.mktemp("released") / "lab", local_root)
    study = str(lab.study(gates=[ACCURATE], measure=BRIEF))
    lab.first = lab.command("gate", study, "-o", "junit.xml", "-o", "summary.md")
    assert lab.first.returncode == 0, lab.first.stderr
    return lab


def test_it_leaves_what_ci_reads(released: Lab) -> None:
    assert released.first is not None
    assert released.first.stderr.splitlines()[-1] == "gate: pass: 2 of 2 verdicts"
    root = ElementTree.parse(released.folder / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "0", "0")
    assert "PASS: every gate holds" in (released.folder / "summary.md").read_text()


def test_what_passed_is_measured_again_beside_its_successor(released: Lab) -> None:
    kept = (released.folder / "pruned.onnx").read_bytes()
    run = released.report()["run"]
    save_linear(released.folder / "pruned.onnx", released.weights)  # the next release
    try:
        agrees = {"metric": "accuracy_agreement", "min": 0.01}
        study = str(released.study(gates=[agrees], measure=BRIEF))
        done = released.command("gate", study, "--against", run, "--json")
    finally:
        (released.folder / "pruned.onnx").write_bytes(kept)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["baseline"] == "released"
    rows = by_variant(report)
    assert rows["released"]["accuracy"]["top1"] == pytest.approx(
        released.accuracy(released.pruned)
    ), "the bytes of then, not the file of now"
    assert rows["pruned"]["accuracy"]["agreement"] < 1, "compared with the release"
    assert {row["baseline"] for row in report["comparisons"]} == {"released"}
    assert report["overall"] == "pass"


@pytest.mark.parametrize("reference", ["old.onnx", "sha256", "{run}:dense"])
def test_a_release_has_several_names(
    released: Lab, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", released.environment["XDG_DATA_HOME"])
    monkeypatch.chdir(released.folder)
    shutil.copy("dense.onnx", "old.onnx")
    listed = json.loads(released.command("variants", "list", "--json").stdout)
    sha256 = next(item["sha256"] for item in listed if item["file"] == "dense.onnx")
    run = released.report()["run"]
    name = {"sha256": sha256[:12], "{run}:dense": f"{run}:dense"}.get(reference, reference)
    study = load_study(released.study(gates=[ACCURATE]))
    found = release_files.against(study, name, Store())
    assert found.baseline == "released"
    assert inspect(found.model_path("released", "onnx"), "onnx").sha256 == sha256


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("gone.onnx", "no such file"),
        ("lab-2020", "the nearest is"),
        ("latest:prunde", "one of dense, pruned"),
        ("abcdef0123", "no artifact"),
    ],
)
def test_a_release_that_is_not_there_is_said_before_measuring(
    released: Lab, reference: str, told: str
) -> None:
    study = str(released.study(gates=[ACCURATE]))
    done = released.command("gate", study, "--against", reference)
    assert done.returncode == 2 and told in done.stderr, done.stderr


@pytest.mark.parametrize(("policy", "code"), [("report", 3), ("fail", 1), ("warn", 0)])
def test_what_an_open_gate_does_is_a_policy(lab: Lab, policy: str, code: int) -> None:
    study = str(lab.study(gates=[OPEN], dataset=None))
    options = ("--budget", "3s", "--on-inconclusive", policy, "--annotations", "-o", "j.xml")
    done = lab.command("gate", study, *options)
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1].startswith("gate: inconclusive: 2 of 2 verdicts, such as")
    kind = "warning" if policy == "warn" else "error"
    assert f"::{kind} title=inconclusive%3A accuracy_auc" in done.stdout
    case = ElementTree.parse(lab.folder / "j.xml").find("./testsuite/testcase")
    assert case is not None
    assert [part.tag for part in case] == ["skipped" if policy == "warn" else "failure"]


def test_extending_goes_beyond_the_budget_until_it_is_decided(lab: Lab) -> None:
    study = str(lab.study(gates=[{"metric": "latency_p50_ms", "max": 1000}], dataset=None))
    short = lab.command("gate", study, "--budget", "1s")
    assert short.returncode == 3, short.stderr
    document = lab.study(
        gates=[{"metric": "latency_p50_ms", "max": 1000}],
        dataset=None,
        measure={"effort": "quick", "budget": "1s"},
    )
    done = lab.command("gate", str(document), "--on-inconclusive", "extend", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["study_document"]["measure"]["effort"] == "thorough"


def test_a_bisection_skips_what_cannot_be_tested(lab: Lab) -> None:
    asked = ("--bisect", "--budget", "6s")
    good = str(lab.study(gates=[ACCURATE]))
    assert lab.command("gate", good, *asked).returncode == 0
    bad = str(lab.study(gates=[{"metric": "accuracy_top1", "min": 0.999}]))
    assert lab.command("gate", bad, *asked).returncode == 1
    open_one = str(lab.study(gates=[OPEN], dataset=None))
    assert lab.command("gate", open_one, *asked).returncode == 125
    assert lab.command("gate", "no-such.yaml", "--bisect").returncode == 125
    lab.devices["away"] = {"profile": "generic-linux", "host": "127.0.0.1", "port": 1}
    away = str(lab.study(gates=[ACCURATE], devices=["away"]))
    assert lab.command("gate", away, "--bisect").returncode == 255


def test_a_form_that_nobody_knows_is_said_before_measuring(lab: Lab) -> None:
    done = lab.command("gate", str(lab.study(gates=[IMPOSSIBLE])), "-o", "report.docx")
    assert done.returncode == 2 and "report.docx ends in none of" in done.stderr
    assert lab.command("report").returncode == 2, "nothing was measured"
