"""Where more inputs at once, or more threads, bring no more."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_builder import realistic

from reports import saturation
from reports.document import build
from reports.sections import throughput


def row(ips: float, batch: int = 1, threads: int = 1, within: float = 0.01) -> dict[str, Any]:
    """A row of results whose interval is so wide to both sides."""
    ends = [ips * (1 - within), ips * (1 + within)] if within else None
    named = {"device": "pi", "variant": "v", "runtime": "r", "precision_requested": "fp32"}
    return named | {
        "scenario": "single-stream",
        "batch": batch,
        "threads": threads,
        "status": "ok",
        "throughput_ips": ips,
        "intervals": {"throughput_ips": ends},
    }


def sweep(*rates: float, within: float = 0.01) -> dict[str, Any]:
    rows = [row(ips, 2**at, within=within) for at, ips in enumerate(rates)]
    (found,) = saturation.saturation(rows)
    return found


def test_the_smallest_surely_within_5_percent_of_the_best() -> None:
    found = sweep(100, 180, 198, 200, 199)
    assert (found["best_at"], found["best_ips"], found["ci"]) == (8, 200, [198, 202])
    assert found["settings"] == [1, 2, 4, 8, 16]
    assert (found["saturated_from"], found["perhaps_from"], found["reason"]) == (4, None, None)


def test_what_is_within_5_percent_by_chance_alone_is_not_said() -> None:
    found = sweep(100, 192, 199, 200)  # 192 is 96%, but its interval reaches down to 94.6%
    assert (found["saturated_from"], found["perhaps_from"]) == (4, 2)


def test_a_throughput_that_still_rises_is_not_saturated() -> None:
    found = sweep(100, 150, 200)
    assert (found["best_at"], found["saturated_from"]) == (4, None)
    assert found["reason"] == saturation.RISING
    assert sweep(200, 150, 100)["saturated_from"] == 1


def test_without_intervals_nothing_is_sure() -> None:
    found = sweep(100, 200, 200, within=0.0)
    assert (found["best_ips"], found["saturated_from"]) == (200, None)
    assert found["reason"] == saturation.NO_INTERVAL


def test_batches_and_threads_are_swept_apart() -> None:
    rows = [row(100 * b * t, b, t) for b in (1, 8) for t in (1, 2)]
    found = [
        (one["axis"], one.get("threads"), one.get("batch")) for one in saturation.saturation(rows)
    ]
    assert found == [
        ("batch", 1, None),
        ("batch", 2, None),
        ("threads", None, 1),
        ("threads", None, 8),
    ]
    assert saturation.saturation([row(1.0), row(1.0) | {"status": "failed", "batch": 8}]) == []


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_the_interval_of_a_ratio_holds_it_and_is_wider_than_either(
    ours: float, best: float, wide: float, other: float
) -> None:
    found = saturation.ratio(row(ours, within=wide), row(best, within=other))
    assert found is not None
    low, high = found
    assert low <= ours / best <= high
    alone = max(math.log((1 + each) / (1 - each)) for each in (wide, other))
    assert math.log(high / low) >= alone - 1e-9


@pytest.mark.parametrize(("ours", "best"), [(0.0, 0.01), (0.01, 0.0)])
def test_a_ratio_without_an_interval_has_none(ours: float, best: float) -> None:
    assert saturation.ratio(row(1.0, within=ours), row(2.0, within=best)) is None


def test_the_page_says_where_it_saturates_and_by_which_rule() -> None:
    document = build(realistic(launches=3))
    found = throughput.section(document)
    table = found.tables[0]
    assert found.words[0] == saturation.RULE and not found.detail
    assert len(table.rows) == len(document["saturation"]) == 8  # variants by runtimes
    assert table.rows[0][2] == "batch 1, 8 (threads 1)"
    single = throughput.section(build(realistic(launches=3, batches=(1,))))
    assert saturation.RULE not in single.words and single.detail
