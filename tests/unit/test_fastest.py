"""Which runtime is called the fastest."""

from __future__ import annotations

from typing import Any

import pytest

from reports.comparison import finding
from reports.document import build
from reports.fastest import fastest_runtimes
from reports.render import markdown
from tests.unit.run_builder import realistic


def compared(runtime: str, ci: list[float] | None, **changes: Any) -> dict[str, Any]:
    """One candidate against ort, by p50."""
    interval = (ci[0], ci[1]) if ci else None
    return {
        "kind": "runtime",
        "device": "pi5",
        "group": "g",
        "variant": "dense",
        "precision": "fp32",
        "batch": 1,
        "threads": 1,
        "scenario": "single-stream",
        "metric": "latency_p50_ratio",
        "baseline": "ort",
        "candidate": runtime,
        "ci": ci,
        "finding": finding(interval),
        "seconds": 16.0,
    } | changes


@pytest.mark.parametrize(
    ("candidates", "runtime", "between"),
    [
        ({"ov": [1.2, 1.3], "litert": [1.1, 1.4]}, "ort", []),
        ({"ov": [0.8, 0.85], "litert": [0.9, 0.95]}, "ov", []),
        ({"ov": [0.8, 0.85], "litert": [0.84, 0.95]}, None, ["litert", "ov"]),
        ({"ov": [0.99, 1.02]}, None, ["ort", "ov"]),
        ({"ov": None}, None, ["ort", "ov"]),
    ],
)
def test_the_fastest_lies_below_all_others(
    candidates: dict[str, list[float] | None], runtime: str | None, between: list[str]
) -> None:
    (found,) = fastest_runtimes([compared(*item) for item in candidates.items()])
    assert (found["runtime"], found["between"]) == (runtime, between)


def test_a_difference_that_many_comparisons_explain_decides_nothing() -> None:
    (found,) = fastest_runtimes([compared("ov", [0.8, 0.9], finding="undecided")])
    assert found["runtime"] is None


def test_offline_goes_by_throughput() -> None:
    row = compared(
        "ov", [1.5, 1.7], scenario="offline", metric="throughput_ratio", finding="faster"
    )
    (found,) = fastest_runtimes([row])
    assert found["runtime"] == "ov"


def test_the_summary_says_it() -> None:
    document = build(realistic())
    assert [row["runtime"] for row in document["fastest_runtimes"]] == ["openvino"]
    assert "Fastest runtime: openvino, for int8" in markdown(document)
