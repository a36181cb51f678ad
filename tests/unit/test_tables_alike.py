"""CSV, Parquet and the table of a notebook: the same rows with the same values."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_runs import POOR, RICH, document

from harness import frame
from reports import render, tabular

QUICK = settings(max_examples=25, deadline=None)
intervals = st.one_of(st.none(), st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2))
texts = st.text(st.characters(exclude_categories=("C", "Z")), max_size=30)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "variant": texts,
            "reason": st.one_of(st.none(), texts),
            "batch": st.integers(1, 1024),
            "latency_ms": st.fixed_dictionaries(
                {
                    "p50": st.one_of(st.none(), st.floats(0, 1e9)),
                    "ci": st.fixed_dictionaries({"p50": intervals}),
                }
            ),
            "minutes": st.lists(st.floats(0, 1e6), max_size=3),
            "flags": st.lists(st.text("ab;", max_size=5), max_size=3),
            "reasons": st.dictionaries(st.sampled_from(["a", "b.c"]), st.text("xyz", max_size=9)),
            "trials": st.lists(st.fixed_dictionaries({"rate": st.floats(0, 1e3)}), max_size=2),
        }
    ),
    min_size=1,
    max_size=5,
)


def same(cell: str, value: Any) -> bool:
    """Whether a field of CSV says what a value of Parquet is."""
    if isinstance(value, np.ndarray):
        return bool(json.loads(cell) == value.tolist())
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return cell == ""
    if isinstance(value, str):
        # What a spreadsheet would take for a formula has a quote before it.
        return cell == value or cell == f"'{value}"
    return float(cell) == float(value)


@given(rows)
@QUICK
def test_csv_says_what_parquet_holds(made: list[dict[str, Any]]) -> None:
    table = pd.read_parquet(io.BytesIO(tabular.parquet(made)))
    text = pd.read_csv(io.StringIO(tabular.csv(made)), dtype=str, keep_default_na=False)
    assert list(table.columns) == list(text.columns) and len(table) == len(text) == len(made)
    for name in table.columns:
        for cell, value in zip(text[name], table[name], strict=True):
            assert same(cell, value), (name, cell, value)
    ends = [(row["latency_ms"]["ci"]["p50"] or [None])[0] for row in made]
    assert [None if pd.isna(end) else end for end in table["latency_ms.ci.p50.low"]] == ends


def test_a_field_of_csv_is_one_field_for_every_program() -> None:
    """Half a pair of surrogates, a lone carriage return, NUL: in Parquet they stay as they are."""
    reasons = ["a\rb", "a\r\nb", "a\x00\x1b[31mb", "half \ud800", "\t=1", 'a,b\n"c"', "=1", "-x"]
    made = [{"variant": f"v{at}", "reason": reason} for at, reason in enumerate(reasons)]
    text = tabular.csv(made)
    found = pd.read_csv(io.StringIO(text), dtype=str)["reason"].tolist()
    told = ["a\nb", "a\nb", "a��[31mb", "half �", " =1", 'a,b\n"c"', "'=1", "'-x"]
    assert found == told
    assert "\r" not in text and "\x1b" not in text
    kept = pd.read_parquet(io.BytesIO(tabular.parquet(made)))["reason"].tolist()
    assert kept == [*reasons[:3], "half �", *reasons[4:]]


def test_a_list_that_is_empty_in_one_cell_is_json_where_it_is_in_another() -> None:
    made = [{"trials": [{"rate": 1.5}]}, {"trials": []}, {"trials": None}]
    found = pd.read_parquet(io.BytesIO(tabular.parquet(made)))["trials"]
    assert found[:2].tolist() == ['[{"rate": 1.5}]', "[]"] and pd.isna(found[2])


@pytest.mark.parametrize("name", ["realistic", "scenarios", "one-launch", "only-failures"])
def test_a_notebooks_launches_are_those_of_the_cells(name: str) -> None:
    """A row a launch there, a row a cell here: what is counted and the least of all are alike."""
    run = {**RICH, **POOR}[name]()
    launches = frame.launches(run)
    cells = pd.read_parquet(io.BytesIO(render.parquet(document(name))))
    keys = ["device", "variant", "runtime", "batch", "threads", "scenario"]
    for _, cell in cells.iterrows():
        mine = launches[(launches[keys] == cell[keys]).all(axis=1)]
        # Runtimes are compared in launches of their own, which no value of a cell comes from.
        groups = [group for group in mine["group"].unique() if not group.startswith("runtime")]
        counted = mine[mine["group"].isin(groups) & (mine["status"] == "ok")]
        assert len(counted) == cell["launches"], cell["cell"]
        if cell["latency_ms.min"] is not None and not math.isnan(cell["latency_ms.min"]):
            least = min(float(samples.min()) for samples in counted["samples_ms"])
            assert least == pytest.approx(cell["latency_ms.min"], rel=1e-9)
        requests = sum(
            len(trial["latencies_ms"]) for trials in counted["trials"] for trial in trials
        )
        assert sum(map(len, counted["samples_ms"])) + requests == cell["samples"]
