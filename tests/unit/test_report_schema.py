"""The report's JSON against the schema that `edgeproof schema report` publishes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import BaseModel
from report_runs import POOR, RICH, document

from harness.contract import Report
from harness.schemas import of
from reports.render import json_text

VALIDATOR = jsonschema.Draft202012Validator(of("report"))


def refused(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


@pytest.mark.parametrize("name", [*RICH, *POOR])
def test_every_report_keeps_its_contract(name: str) -> None:
    found = json.loads(json_text(document(name)))
    assert refused(found) == []
    assert sorted(set(_unknown(found, Report))) == []


def _unknown(found: Any, kind: Any, path: str = "") -> Iterator[str]:
    """The keys of a document that the contract does not name, where it names any."""
    if isinstance(found, list):
        [item] = get_args(kind)[:1] or [None]
        for each in found:
            yield from _unknown(each, item, f"{path}[]")
    elif isinstance(found, dict) and (model := _model(kind)) is not None:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        for key, value in found.items():
            if key not in fields:
                yield f"{path}.{key}"
            else:
                yield from _unknown(value, fields[key].annotation, f"{path}.{key}")


def _model(kind: Any) -> type[BaseModel] | None:
    """The model of a part, which may be null."""
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _without(document: Any, *path: Any) -> None:
    *way, last = path
    for key in way:
        document = document[key]
    del document[last]


def _with(document: Any, value: Any, *path: Any) -> None:
    *way, last = path
    for key in way:
        document = document[key]
    document[last] = value


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: _without(document, "verdicts", 0, "verdict"),
        lambda document: _without(document, "results", 0, "latency_ms", "p50"),
        lambda document: _with(document, "broken", "verdicts", 0, "verdict"),
        lambda document: _with(document, "4.2", "results", 0, "latency_ms", "p50"),
        lambda document: _with(document, [1.0], "comparisons", 0, "ci"),
        lambda document: _with(document, "edgeproof.report/2", "schema"),
    ],
    ids=["no-verdict", "no-p50", "another-word", "text", "half-an-interval", "another-schema"],
)
def test_what_breaks_the_contract_is_refused(spoil: Callable[[Any], None]) -> None:
    found = json.loads(json_text(document("one-launch"))) | {"a_new_key": {"may": "be added"}}
    assert refused(found) == []
    spoil(found)
    assert len(refused(found)) == 1
