"""The drift since a release: measured beside it, or the product of the gates on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reports.estimate import Estimate
from reports.run import Run
from reports.sessions.drift import Drift, drifts, product, told
from tests.unit.session_builder import session

GATE = [{"metric": "latency_p50_ratio", "max": 1.03}]
STEP = 1.015  # of each version: no gate of 3% fails on one, and two of them do


def gated(number: int, held_against: str, file: str, ratio: float, **changes: Any) -> Run:
    """A gate of a file that takes `ratio` of the time of the one it is held against."""
    files = {"dense": held_against, "slim-40": file}
    run = session(number, {"dense": 4.0, "slim-40": 4.0 * ratio}, files=files, **changes)
    return replace(run, study={**run.study, "gates": GATE})


def only(found: list[Drift]) -> Drift:
    [one] = found
    return one


def test_beside_the_release_the_ratio_is_the_drift() -> None:
    runs = [gated(at, "v0", f"v{at}", STEP**at, slower=1 + at / 10) for at in (1, 2, 3)]
    found = only(drifts(runs, {"v0"}))
    assert found.direct and found.total == found.links[-1].ratio
    assert [link.run for link in found.links] == ["kws-01", "kws-02", "kws-03"]
    text = told(found, "1.4")
    assert "latency_p50_ratio of slim-40 in onnxruntime on pi5: 1.04" in text
    assert "measured beside it; with the 2 gates before: " in text
    assert "the largest step +1." in text or "the largest step +2." in text


def test_small_steps_add_up_to_what_a_gate_would_not_pass() -> None:
    runs = [gated(at, f"v{at - 1}", f"v{at}", STEP) for at in range(1, 5)]
    found = only(drifts(runs, {"v0"}))
    assert not found.direct and len(found.links) == 4
    assert found.total.interval and found.total.interval[0] < STEP**4 < found.total.interval[1]
    assert found.beyond and all((link.ratio.value or 0) < 1.03 for link in found.links)
    text = told(found, "1.4")
    assert "the product of 4 gates" in text
    assert text.endswith(
        "Together they break latency_p50_ratio <= 1.03. To prove it: edgeproof gate STUDY "
        "--against 1.4"
    )


def test_a_file_that_keeps_its_speed_breaks_nothing() -> None:
    runs = [gated(at, f"v{at - 1}", f"v{at}", 1.0) for at in range(1, 4)]
    found = only(drifts(runs, {"v0"}))
    assert not found.beyond and "Together" not in told(found, "1.4")


def test_no_way_to_the_release_is_no_drift() -> None:
    assert drifts([gated(1, "v0", "v1", STEP), gated(2, "other", "v2", STEP)], {"v0"}) == []


def test_the_release_itself_has_none() -> None:
    assert drifts([gated(1, "v0", "v0", 1.0)], {"v0"}) == []


def test_the_interval_of_a_product_is_wider_than_of_each() -> None:
    one = Estimate(1.01, (1.00, 1.02))
    both = product([one, one])
    assert both.value == pytest.approx(1.0201)
    assert both.interval and both.interval == pytest.approx((1.0060, 1.0344), abs=2e-4)
    missing = product([one, Estimate(1.01, None, "1 launch")])
    assert missing.value is not None and missing.interval is None
    assert product([one, Estimate.missing("failed")]).value is None
