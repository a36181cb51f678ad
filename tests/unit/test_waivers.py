"""Waivers: a wider limit for one cell, until a day, shown wherever it decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import InputError
from harness.study import load_study, parse_study
from reports import render
from reports.document import build
from tests.unit.run_builder import RunBuilder, cell

DENSE, SLOW, OTHER = cell("dense"), cell("slow"), cell("other")
GATE = {"metric": "latency_p50_ratio", "max": 1.03}
WAIVER = {
    "metric": "latency_p50_ratio",
    "max": 1.3,
    "variant": "slow",
    "device": "pi5",
    "runtime": "onnxruntime",
    "expires": "2026-11-30",
    "reason": "the vendor's fix comes in December",
    "issue": "LAB-12",
}


def report(**changes: Any) -> dict[str, Any]:
    """Two variants that take 1.2 of the baseline's time, the waiver changed so."""
    waiver = {**WAIVER, **changes}
    study = {"name": "s", "baseline": "dense", "gates": [GATE], "waivers": [waiver]}
    made = RunBuilder(launches=20, study=study)
    for one in (DENSE, SLOW, OTHER):
        made.add_cell(one)
    made.add_group("g", {DENSE["id"]: 2.0, SLOW["id"]: 2.4, OTHER["id"]: 2.4})
    return build(replace(made.build(), started="2026-11-21T10:00:00+00:00"))


def verdict(document: dict[str, Any], variant: str) -> dict[str, Any]:
    [found] = [row for row in document["verdicts"] if row["variant"] == variant]
    return found  # type: ignore[no-any-return]


def test_its_cell_is_held_to_the_ceiling_and_no_other_is() -> None:
    document = report()
    waived, other = verdict(document, "slow"), verdict(document, "other")
    assert (waived["verdict"], waived["limit"]) == ("pass", 1.3)
    assert waived["gate"] == "latency_p50_ratio <= 1.03", "the gate keeps its name"
    assert waived["waiver"] == {
        "ceiling": 1.3,
        "expires": "2026-11-30",
        "reason": "the vendor's fix comes in December",
        "issue": "LAB-12",
        "in_force": True,
    }
    assert (other["verdict"], other["limit"], other["waiver"]) == ("fail", 1.03, None)


def test_beyond_the_ceiling_it_fails() -> None:
    assert verdict(report(max=1.1), "slow")["verdict"] == "fail"


@pytest.mark.parametrize(
    ("expires", "word"), [("2026-11-20", "fail"), ("2026-11-21", "pass"), ("2027-01-01", "pass")]
)
def test_it_holds_up_to_its_last_day(expires: str, word: str) -> None:
    document = report(expires=expires)  # of a run of 2026-11-21
    assert verdict(document, "slow")["verdict"] == word


@pytest.mark.parametrize(
    "place", [{"device": "nuc"}, {"runtime": "openvino"}, {"precision": "fp16"}, {"batch": 8}]
)
def test_a_waiver_of_another_cell_waives_nothing(place: dict[str, Any]) -> None:
    assert verdict(report(**place), "slow")["waiver"] is None


def test_every_form_shows_it() -> None:
    document = report()
    for text in (render.html(document), render.markdown(document)):
        assert "up to 1.3 until 2026-11-30" in text
        assert "LAB-12" in text
        assert "by a waiver" in text
    ended = render.markdown(report(expires="2026-11-20"))
    assert "ended 2026-11-20" in ended


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Any]:
    for name in ("dense.onnx", "slow.onnx"):
        (tmp_path / name).write_bytes(b"")
    return {
        "name": "s",
        "baseline": "dense",
        "variants": {name: {"model": f"{name}.onnx"} for name in ("dense", "slow")},
        "runtimes": ["onnxruntime", "litert"],
        "batch_sizes": [1, 8],
        "devices": ["pi5"],
        "gates": [GATE],
        "waivers": [{**WAIVER, "batch": 8}],
    }


def written(study: dict[str, Any], folder: Path) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def test_a_study_reads_waivers_and_gives_them_back(study: dict[str, Any], tmp_path: Path) -> None:
    read = load_study(written(study, tmp_path))
    again = parse_study(read.document(), tmp_path)
    assert again.waivers == read.waivers
    assert read.document()["waivers"][0]["expires"] == "2026-11-30"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"variant": "slwo"}, "did you mean 'slow'"),
        ({"runtime": "tflite"}, "unknown runtime 'tflite'"),
        ({"batch": None}, "names no batch, and the study has 1, 8"),
        ({"batch": 4}, "unknown batch '4'"),
        ({"device": "pi4"}, "did you mean 'pi5'"),
        ({"metric": "latency_p95_ratio"}, "no gate of this study limits latency_p95_ratio by max"),
        ({"max": 1.02}, "allows no more than the gate"),
        ({"max": None, "min": 0.5}, "no gate of this study limits latency_p50_ratio by min"),
        ({"expires": "soon"}, "date"),
        ({"reason": ""}, "reason"),
    ],
)
def test_a_waiver_that_waives_nothing_is_refused(
    study: dict[str, Any], tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    study["waivers"][0] |= changes
    with pytest.raises(InputError) as refused:
        load_study(written(study, tmp_path))
    assert told in str(refused.value)
