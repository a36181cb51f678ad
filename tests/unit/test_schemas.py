"""JSON Schemas for editors: they take what edgeproof takes, and see what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.schemas import KINDS, of

ROOT = Path(__file__).parents[2]
STUDIES = [
    path
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
    if "variants" in (yaml.safe_load(path.read_text()) or {})
]
PROFILES = sorted((ROOT / "device_profiles").glob("*.yaml"))
STUDY: dict[str, Any] = {
    "name": "s",
    "baseline": "dense",
    "variants": {"dense": {"model": "dense.onnx"}},
    "runtimes": ["onnxruntime"],
}


def refused(kind: str, document: Any) -> list[str]:
    """What an editor would underline."""
    found = jsonschema.Draft202012Validator(of(kind)).iter_errors(document)
    return [error.message for error in found]


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_schemas(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(of(kind))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_the_examples_are_studies(path: Path) -> None:
    assert refused("study", yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_the_profiles_are_profiles(path: Path) -> None:
    assert refused("profile", yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": {"dense": {"model": {"onnx": "a.onnx"}, "shapes": {"x": [None, 3, 8, 8]}}}},
        {"variants": {"a": {"model": "a.onnx"}, "b": {"from": ["a"], "quantize": {"to": "int8"}}}},
        {"scenarios": ["single-stream", {"name": "server", "target_p99_ms": 20}]},
        {"measure": {"effort": "quick", "budget": "10m"}, "twins": "all"},
        {"gates": [{"metric": "latency_p50_ratio", "max": 1.03}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_short_forms_are_known(changes: dict[str, Any]) -> None:
    assert refused("study", {**STUDY, **changes}) == []


def test_an_inventory_is_known() -> None:
    pi5 = {"profile": "raspberry-pi-5", "host": "pi5.lab", "user": "pi"}
    assert refused("inventory", {"devices": {"local": None, "pi5": pi5}}) == []
    assert refused("inventory", {"devices": {"pi5": {**pi5, "prot": 22}}})


@pytest.mark.parametrize(
    "changes",
    [
        {"batchsizes": [1]},
        {"measure": {"effort": "hard"}},
        {"scenarios": ["ofline"]},
        {"batch_sizes": ["one"]},
        {"variants": {"dense": {"modle": "dense.onnx"}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_slips_are_underlined(changes: dict[str, Any]) -> None:
    assert refused("study", {**STUDY, **changes})
