"""How many inferences the times of layers are the mean of: told, and blank for earlier runs."""

from __future__ import annotations

from typing import Any

import pytest
from test_executed import MIXED, row, study

from reports import executed
from reports.document import build
from reports.sections import execution


@pytest.mark.parametrize(
    ("told", "known", "reason"),
    [
        ({"traced": 30}, 30, None),
        ({}, None, executed.BEFORE_TRACED),
    ],
)
def test_a_run_tells_how_many_inferences_it_traced(
    told: dict[str, Any], known: int | None, reason: str | None
) -> None:
    made = study(MIXED, **told)
    found = row(made)
    assert found["executed"]["traced"] == known
    assert found["reasons"].get("executed.traced") == reason
    document = build(made.build())
    assert document["profiles"][0]["traced"] == known
    captions = [table.caption for table in execution.section(document).tables]
    (caption,) = [text for text in captions if text.startswith("Time by layer")]
    assert ("mean of 30 traced inferences" in caption) == (known is not None)


def test_layers_without_times_are_the_mean_of_nothing() -> None:
    layers: list[Any] = [dict(layer, ns=None) for layer in MIXED]
    found = row(study(layers, traced=None))
    assert found["executed"]["traced"] is None
    assert found["reasons"]["executed.traced"] == executed.NOT_TIMED


def test_what_an_evaluation_tells_besides_is_said_once() -> None:
    made = study(MIXED, note="the delegate takes 1 of 2 operators; times by the compiled model")
    for one in made.records:
        one.launch["executed"]["note"] = "the delegate takes 1 of 2 operators"
    note = row(made)["executed"]["note"]
    assert note == "the delegate takes 1 of 2 operators; times by the compiled model"
