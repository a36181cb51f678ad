"""Holm's procedure and what it leaves of the verdicts of a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.estimate import Estimate
from reports.multiplicity import holm, settle
from reports.sequential import STANDARD, Decision, decide, ratio_rule
from tests.unit import traces

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def _decision(verdict: str, p_fail: float) -> Decision:
    value = Estimate(1.05, (1.04, 1.06))
    return Decision(verdict, value, 1, 10, "because", None, p_fail)  # type: ignore[arg-type]


def test_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.floats(0, 1))
def test_one_gate_is_left_alone(p_value: float) -> None:
    assert holm([p_value]) == [p_value]


@given(P_VALUES)
def test_adjusted_values_are_never_smaller_nor_beyond_bonferroni(p_values: list[float]) -> None:
    for plain, adjusted in zip(p_values, holm(p_values), strict=True):
        assert plain <= adjusted <= min(1.0, plain * len(p_values)) + 1e-12


@given(P_VALUES)
def test_the_order_stays(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.asarray(adjusted)[order]) >= 0)


@given(P_VALUES, st.floats(0, 1))
def test_another_gate_never_helps(p_values: list[float], another: float) -> None:
    more = holm([*p_values, another])
    assert all(a <= b for a, b in zip(holm(p_values), more, strict=False))


@given(P_VALUES, st.randoms())
def test_the_order_of_the_gates_does_not_matter(p_values: list[float], random: object) -> None:
    index = list(range(len(p_values)))
    random.shuffle(index)  # type: ignore[attr-defined]
    shuffled = holm([p_values[i] for i in index])
    assert shuffled == [holm(p_values)[i] for i in index]


def test_fails_that_chance_explains_become_inconclusive() -> None:
    lone = [_decision("fail", 0.004), *[_decision("pass", 0.9)] * 9]
    verdicts = [decision.verdict for decision in settle(lone)]
    assert verdicts == ["inconclusive", *["pass"] * 9]
    assert settle(lone)[0].reason == "because, but not for 10 gates at once"


def test_a_fail_leaves_more_of_the_error_to_the_others() -> None:
    pair = [_decision("fail", 0.0001), _decision("inconclusive", 0.009), _decision("continue", 0.5)]
    assert [d.verdict for d in settle(pair[:2])] == ["fail", "fail"]
    assert [d.verdict for d in settle(pair)] == ["fail", "inconclusive", "inconclusive"]


def test_a_fail_found_by_a_rule_that_counts_the_gates_stands() -> None:
    rule = ratio_rule(1.01, "p50", STANDARD, gates=8)
    logs = traces.log_ratios(1.04, 8, 20, 1)
    found = [decide(launches.tolist(), rule) for launches in logs]
    assert [d.verdict for d in found if d.verdict == "fail"]
    for before, after in zip(found, settle(found), strict=True):
        assert after.verdict == "fail" or before.verdict != "fail"


def test_releases_of_many_gates_at_their_limit_are_rarely_stopped() -> None:
    """20 gates, each exactly at its limit: at most 1% of the releases see a fail."""
    rule = ratio_rule(1.02, "p50", STANDARD)
    stopped = plain = 0
    for release in range(100):
        logs = traces.log_ratios(1.02, 20, 20, 100 + release)
        found = [decide(launches.tolist(), rule) for launches in logs]
        plain += any(decision.verdict == "fail" for decision in found)
        stopped += any(decision.verdict == "fail" for decision in settle(found))
    assert plain >= 6
    assert stopped <= 4
