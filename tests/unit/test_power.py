"""What is said before measuring, what afterwards, and that it comes true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import power, stats
from reports.sequential import QUICK, STANDARD, THOROUGH, Rule, decide, ratio_rule
from tests.unit import traces

SIDES = st.lists(st.floats(0.001, 0.1), min_size=7, max_size=30)


@pytest.mark.parametrize("gates", [1, 3, 20])
@pytest.mark.parametrize("looks", [QUICK, STANDARD, THOROUGH])
def test_fewest_launches_is_exact(looks: tuple[int, ...], gates: int) -> None:
    """The clearest possible launches, all far beyond the limit, prove it from there on."""
    level = ratio_rule(1.01, "p95", looks, gates=gates).fail_level
    fewest = power.fewest_launches("signed-rank", level)
    assert stats.signed_rank_tail(fewest)[0] <= level < stats.signed_rank_tail(fewest - 1)[0]


@pytest.mark.parametrize("name", ["p50", "p95", "p99", "unpreempted_p95", "throughput"])
@pytest.mark.parametrize("gates", [1, 50, 5000])
@pytest.mark.parametrize("looks", [QUICK, STANDARD, THOROUGH])
def test_a_gate_is_undecidable_exactly_when_the_clearest_launches_do_not_decide_it(
    looks: tuple[int, ...], gates: int, name: str
) -> None:
    rule = ratio_rule(1.01, name, looks, gates=gates)
    clearest = np.array([1.0 + 1e-9 * number for number in range(looks[-1])])
    said = power.undecidable(name, rule, looks[-1], 10_000)
    assert decide((-clearest).tolist(), rule).verdict == "pass"
    assert (said is None) == (decide(clearest.tolist(), rule).verdict == "fail")
    assert said is None or said.startswith(f"among {gates} gates it can pass but not fail: ")


@pytest.mark.parametrize(("gates", "name"), [(50, "p95"), (50, "p50"), (1, "p95")])
def test_the_first_look_that_passes_is_a_verdict(gates: int, name: str) -> None:
    rule = ratio_rule(1.05, name, STANDARD, gates=gates)
    faster = (-0.2 + 0.001 * np.arange(rule.looks[0])).tolist()
    assert decide(faster, rule).verdict == "pass"
    assert power.first_look(name, rule, 500) == rule.looks[0]
    assert power.undecidable(name, rule, rule.looks[0], 500) is None


def test_a_pass_does_not_take_more_launches_among_more_gates() -> None:
    """Each gate passes by itself: only fails share their error."""
    near = (np.log(1.003) + np.tile([-0.12, 0.12], 10)).tolist()
    alone, among = (
        power.prescribe(near, ratio_rule(1.05, "p50", STANDARD, gates=gates)) for gates in (1, 50)
    )
    assert alone is not None and among is not None
    assert among.launches == alone.launches
    assert among.smallest_effect > alone.smallest_effect


def test_what_is_said_before_measuring() -> None:
    p99 = ratio_rule(1.01, "p99", STANDARD)
    p95 = ratio_rule(1.01, "p95", STANDARD)
    few = power.undecidable("p99", p99, 20, 90)
    assert few == "p99 needs 100 samples a launch; this plan takes 90"
    short = power.undecidable("p95", p95, 7, 90)
    assert short == "p95 needs 10 launches for a verdict; the budget allows 7"
    crowd = power.undecidable("p95", ratio_rule(1.01, "p95", QUICK, gates=4), 7, 90)
    assert crowd == (
        "among 4 gates it can pass but not fail: for that p95 needs 9 launches; "
        "its last look is at 7"
    )
    assert power.undecidable("p95", p95, 20, 90) is None
    assert power.undecidable("p50", ratio_rule(1.01, "p50", QUICK), 7, 9) is None
    undisturbed = ratio_rule(1.01, "unpreempted_p95", STANDARD)
    few = power.undecidable("unpreempted_p95", undisturbed, 20, 19)
    assert few == "p95 needs 20 samples a launch; this plan takes 19"


@pytest.mark.parametrize(("name", "spread"), [("p50", 0.012), ("p50", 0.02), ("p95", 0.02)])
def test_the_prescribed_launches_decide_nine_times_in_ten(name: str, spread: float) -> None:
    """A fixed sample of the prescribed size, at the level of one look."""
    rule = ratio_rule(1.01, name, THOROUGH)
    distance = np.log(1.03) - rule.fail_beyond
    needed = power.launches_for(distance, spread, rule, rule.fail_level)
    assert needed is not None
    once = Rule(1.01, "max", rule.statistic, (needed,), alpha=rule.fail_level)
    logs = traces.log_ratios(1.03, 600, needed, 1, spread=spread)
    share = np.mean([decide(launches.tolist(), once).verdict == "fail" for launches in logs])
    assert 0.86 <= share <= 0.96


def test_the_smallest_effect_is_seen_nine_times_in_ten() -> None:
    rule = ratio_rule(1.01, "p50", STANDARD)
    measured = power.prescribe([0.01 + 0.012 * (-1) ** i for i in range(20)], rule)
    assert measured is not None
    effect = np.log1p(measured.smallest_effect)
    spread = np.std([0.012 * (-1) ** i for i in range(20)], ddof=1)
    logs = traces.log_ratios(float(np.exp(rule.fail_beyond + effect)), 600, 20, 2, spread=spread)
    once = Rule(1.01, looks=(20,), alpha=rule.fail_level)
    share = np.mean([decide(launches.tolist(), once).verdict == "fail" for launches in logs])
    assert 0.86 <= share <= 0.94


def test_an_inconclusive_gate_gets_a_prescription() -> None:
    rule = ratio_rule(1.01, "p50", STANDARD)
    logs = traces.log_ratios(1.017, 1, 20, 3, spread=0.02)[0].tolist()
    assert decide(logs, rule).verdict == "inconclusive"
    found = power.prescribe(logs, rule)
    assert found is not None and found.launches is not None
    assert found.launches > 20
    assert found.reason == (
        f"this sample could see a change of {found.smallest_effect:.1%}; "
        f"about {found.launches} launches would decide"
    )


def test_a_value_on_a_strict_limit_is_never_decided() -> None:
    strict = Rule(1.02, looks=STANDARD, tolerance=0.0)
    logs = (np.log(1.02) + np.tile([-0.01, 0.01], 10)).tolist()
    found = power.prescribe(logs, strict)
    assert found is not None and found.launches is None
    assert power.prescribe([0.1], strict) is None
    near = power.launches_for(1e-6, 0.01, strict, strict.fail_level)
    assert near is None


@given(st.floats(0.002, 0.1), st.floats(0.001, 0.1), st.floats(1.01, 3.0))
def test_less_noise_and_more_distance_never_need_more(
    distance: float, spread: float, factor: float
) -> None:
    rule = ratio_rule(1.01, "p50", THOROUGH)
    level = rule.fail_level
    needed = power.launches_for(distance, spread, rule, level)
    if needed is not None:
        farther = power.launches_for(distance * factor, spread, rule, level)
        calmer = power.launches_for(distance, spread / factor, rule, level)
        assert farther is not None and farther <= needed
        assert calmer is not None and calmer <= needed


def test_the_spread_of_ranks_ignores_a_wild_launch() -> None:
    logs = traces.log_ratios(1.0, 1, 30, 4)[0].tolist()
    wild = [*logs[:-1], 1.5]
    assert power.spread_of(wild, "t") > 0.2
    assert power.spread_of(wild, "signed-rank") < 0.03
    assert power.spread_of(logs, "signed-rank") == pytest.approx(
        power.spread_of(logs, "t"), rel=0.35
    )


def test_unpreempted_quantiles_have_their_own_minimum() -> None:
    samples = [np.asarray([1.0, 9.0] * 45)] * 2
    switches = [np.asarray([0, 1] * 45)] * 2
    held = stats.unpreempted_quantile(samples, switches, "p95")
    assert held.value == 1.0
    few = stats.unpreempted_quantile(samples[:1], switches[:1], "p95")
    assert few.value is None
    assert few.reason == "45 of 90 samples were not preempted; p95 needs 72"
    with pytest.raises(ValueError, match="90 samples but 3 counts"):
        stats.unpreempted(samples[0], np.zeros(3, dtype=np.int64))
    assert stats.kept_switches([[5, 0, 1], [2], []]).tolist() == [0, 1]


def test_a_reach_without_a_meaning_is_no_number() -> None:
    found = power.prescribe([0.0, 0.02], ratio_rule(1.01, "p50", STANDARD))
    assert found is not None and found.smallest_effect > 1
    assert found.reason.startswith("this sample could see only a change of more than 100%; ")
