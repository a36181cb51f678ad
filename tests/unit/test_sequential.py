"""Sequential verdicts: what they mean, and how often they are wrong, by simulation."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import replay
from reports import sequential, stats
from reports.sequential import QUICK, STANDARD, THOROUGH, Decision, Rule, decide, ratio_rule
from tests.unit import traces

LIMIT = 1.01  # with the tolerance of 1%: fail is proven above 1.01, pass below 1.0201
LOGS = st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=24)
RULES = st.builds(
    ratio_rule,
    limit=st.floats(0.9, 1.1),
    name=st.sampled_from(["p50", "p95"]),
    looks=st.sampled_from([QUICK, STANDARD, THOROUGH]),
    bound=st.sampled_from(["max", "min"]),
    gates=st.integers(1, 30),
)


def _decisions(truth: float, trials: int, rule: Rule, seed: int, **noise: object) -> list[Decision]:
    logs = traces.log_ratios(truth, trials, rule.looks[-1], seed, **noise)  # type: ignore[arg-type]
    return [decide(launches.tolist(), rule) for launches in logs]


def _rates(decisions: list[Decision]) -> dict[str, float]:
    counts = Counter(decision.verdict for decision in decisions)
    return {name: counts[name] / len(decisions) for name in ("pass", "fail", "inconclusive")}


def _coverage(decisions: list[Decision], truth: float) -> float:
    intervals = [decision.interval or (0.0, 0.0) for decision in decisions]
    return sum(low <= truth <= high for low, high in intervals) / len(decisions)


@pytest.mark.parametrize("kind", traces.KINDS)
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_identical_models_never_fail_and_mostly_pass(name: str, kind: str) -> None:
    found = _decisions(1.0, 300, ratio_rule(LIMIT, name, STANDARD), 1, kind=kind)
    assert _rates(found)["fail"] == 0
    assert _rates(found)["pass"] >= 0.93
    assert np.mean([decision.launches for decision in found]) <= 14


@pytest.mark.parametrize("spread", [traces.QUIET, traces.USUAL, traces.NOISY])
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_three_percent_slower_fails_soon(name: str, spread: float) -> None:
    found = _decisions(1.03, 300, ratio_rule(LIMIT, name, STANDARD), 2, spread=spread)
    assert _rates(found)["fail"] >= 0.95
    assert _rates(found)["pass"] <= 0.003
    assert np.mean([decision.launches for decision in found]) <= 13


@pytest.mark.parametrize("limit", [1.01, 1.03])
@pytest.mark.parametrize("kind", traces.KINDS)
def test_five_percent_slower_never_passes(kind: str, limit: float) -> None:
    for name in ("p50", "p95"):
        found = _decisions(1.05, 200, ratio_rule(limit, name, STANDARD), 3, kind=kind)
        assert _rates(found)["pass"] == 0
        assert _rates(found)["fail"] >= 0.9


@pytest.mark.parametrize("looks", [QUICK, THOROUGH])
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_the_errors_at_the_limits_themselves_are_at_most_one_percent(
    name: str, looks: sequential.Looks
) -> None:
    """The worst true values: exactly the limit, and exactly the limit with its tolerance."""
    rule = ratio_rule(1.02, name, looks)
    at_limit = _rates(_decisions(1.02, 1500, rule, 4))
    beyond = _rates(_decisions(1.02 * 1.01, 1500, rule, 5))
    assert at_limit["fail"] <= 0.018  # 1% and three standard errors
    assert beyond["pass"] <= 0.018


def test_ranks_leave_out_the_looks_that_could_not_prove_anything() -> None:
    assert ratio_rule(1.01, "p50", STANDARD).looks == STANDARD
    assert ratio_rule(1.01, "p95", STANDARD).looks == tuple(x for x in STANDARD if x >= 10)
    assert ratio_rule(1.01, "p95", QUICK).looks == QUICK


def test_a_quiet_machine_is_decided_at_the_first_look() -> None:
    rule = ratio_rule(LIMIT, "p50", STANDARD)
    for truth in (1.0, 1.03):
        found = _decisions(truth, 300, rule, 11, spread=0.005)
        assert np.mean([decision.launches for decision in found]) <= 6.2


def test_the_baseline_itself_is_never_failed_by_a_limit_of_one() -> None:
    found = _rates(_decisions(1.0, 500, ratio_rule(1.0, "p50", THOROUGH), 6))
    assert found["fail"] == 0 and found["pass"] >= 0.95


def test_with_a_tolerance_every_true_value_is_decided_in_the_end() -> None:
    rule = ratio_rule(1.02, "p50", THOROUGH)
    strict = Rule(1.02, looks=THOROUGH, tolerance=0.0)
    for truth in (1.0, 1.02, 1.025, 1.03, 1.05):
        found = _rates(_decisions(truth, 200, rule, 7, spread=traces.QUIET))
        assert found["inconclusive"] <= 0.02
    assert _rates(_decisions(1.02, 200, strict, 7))["inconclusive"] >= 0.95


@pytest.mark.parametrize(
    ("looks", "kind"), [*((STANDARD, kind) for kind in traces.KINDS), (THOROUGH, "normal")]
)
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_the_interval_covers_at_the_stop(name: str, looks: sequential.Looks, kind: str) -> None:
    """93-97%, over true ratios on both sides of the limits; each rate rests on 1200 gates."""
    rule = ratio_rule(LIMIT, name, looks)
    truths = (1.0, 1.005, 1.025, 1.03) if looks == STANDARD else (1.0, 1.03)
    trials = 1200 // len(truths)
    covered = [_coverage(_decisions(t, trials, rule, int(t * 1e4), kind=kind), t) for t in truths]
    assert 0.93 <= np.mean(covered) <= 0.975


def test_the_interval_covers_where_stopping_biases_most() -> None:
    """A true ratio amid the limits, much noise: there the plain 95% interval covers 88-90%."""
    rule = ratio_rule(LIMIT, "p50", THOROUGH)
    found = _decisions(1.015, 1500, rule, 8, spread=0.02)
    logs = traces.log_ratios(1.015, 1500, 60, 8, spread=0.02)
    plain = [
        stats.t_ratio(x[: d.launches].tolist()).interval for x, d in zip(logs, found, strict=True)
    ]
    assert _coverage(found, 1.015) >= 0.915
    assert np.mean([low <= 1.015 <= high for low, high in plain if low]) <= 0.905


def test_many_looks_at_the_full_error_would_break_the_promise() -> None:
    """What the split is for: each look at 1% fails three times as many as promised."""
    unsplit = Rule(1.02, looks=THOROUGH, alpha=len(THOROUGH) * 0.01)
    assert _rates(_decisions(1.02, 1500, unsplit, 9))["fail"] >= 0.02


def test_drift_that_ruins_one_after_the_other_does_no_harm_interleaved() -> None:
    rule = ratio_rule(LIMIT, "p50", STANDARD)
    rng = np.random.default_rng(10)
    wrong = dict.fromkeys((True, False), 0)
    for interleaved in wrong:
        for _ in range(30):
            a, b = traces.drifting(1.0, STANDARD[-1], rng, interleaved)
            logs = [stats.log_ratio(y.ravel(), x.ravel(), "p50") for x, y in zip(a, b, strict=True)]
            decision = decide([value for value in logs if value is not None], rule)
            wrong[interleaved] += decision.verdict != "pass"
    assert wrong[True] <= 1
    assert wrong[False] >= 15


@given(LOGS, RULES)
def test_a_verdict_agrees_with_its_interval(logs: list[float], rule: Rule) -> None:
    decision = decide(logs, rule)
    if decision.verdict in ("continue", "inconclusive") or decision.interval is None:
        return
    ends = sorted(rule.sign * math.log(end) for end in decision.interval)
    assert ends[0] >= rule.fail_beyond - 1e-9 or decision.verdict == "pass"
    assert ends[1] <= rule.pass_within + 1e-9 or decision.verdict == "fail"


@given(LOGS, RULES, LOGS)
def test_launches_after_the_verdict_do_not_undo_it(
    logs: list[float], rule: Rule, more: list[float]
) -> None:
    decision = decide(logs, rule)
    if decision.verdict in ("pass", "fail"):
        assert decide(logs + more, rule) == decision


@given(LOGS, RULES)
def test_a_min_gate_is_the_mirror_of_a_max_gate(logs: list[float], rule: Rule) -> None:
    bound: sequential.Bound = "min" if rule.bound == "max" else "max"
    mirror = Rule(1 / rule.limit, bound, rule.statistic, rule.looks, gates=rule.gates)
    ours, theirs = decide(logs, rule), decide([-value for value in logs], mirror)
    assert (ours.verdict, ours.launches) == (theirs.verdict, theirs.launches)
    assert ours.p_fail == pytest.approx(theirs.p_fail, abs=1e-9)


@given(LOGS, RULES)
def test_more_gates_never_fail_sooner_and_leave_pass_alone(logs: list[float], rule: Rule) -> None:
    alone = Rule(rule.limit, rule.bound, rule.statistic, rule.looks)
    if decide(logs, rule).verdict == "fail":
        assert decide(logs, alone).verdict == "fail"
    if decide(logs, alone).verdict == "pass":
        assert decide(logs, rule).verdict == "pass"


@given(LOGS, st.floats(-0.05, 0.05), st.sampled_from([0.9, 0.95, 0.99]))
def test_proof_and_interval_are_the_same_test(
    logs: list[float], threshold: float, confidence: float
) -> None:
    for statistic, estimator in (("t", stats.t_ratio), ("signed-rank", stats.signed_rank_ratio)):
        interval = estimator(logs, confidence).interval
        if interval is None or np.std(logs) < 1e-6:
            continue
        p_value = sequential.proof_above(np.asarray(logs), threshold, statistic)  # type: ignore[arg-type]
        low = math.log(interval[0])
        if abs(low - threshold) > 1e-9 and abs(p_value - (1 - confidence) / 2) > 1e-9:
            assert (p_value < (1 - confidence) / 2) == (low > threshold)


@pytest.mark.parametrize("launches", [7, 10, 20])
def test_the_proofs_are_those_of_scipy(launches: int) -> None:
    logs = traces.log_ratios(1.015, 40, launches, 14)
    for row in logs:
        ranks = scipy.stats.wilcoxon(row - 0.01, alternative="greater", method="exact").pvalue
        mean = scipy.stats.ttest_1samp(row, 0.01, alternative="greater").pvalue
        assert sequential.proof_above(row, 0.01, "signed-rank") == pytest.approx(ranks)
        assert sequential.proof_above(row, 0.01, "t") == pytest.approx(mean)


@given(LOGS, RULES)
def test_the_p_value_pays_for_all_looks_and_explains_the_verdict(
    logs: list[float], rule: Rule
) -> None:
    decision = decide(logs, rule)
    reached = [look for look in rule.looks if look <= decision.launches]
    seen = rule.sign * np.asarray(logs)
    proofs = [
        sequential.proof_above(seen[:look], rule.fail_beyond, rule.statistic) for look in reached
    ]
    assert decision.p_fail == pytest.approx(min(1.0, len(rule.looks) * min(proofs, default=1.0)))
    if decision.verdict != "pass":
        assert (decision.verdict == "fail") == (decision.p_fail <= rule.alpha / rule.gates)


def test_what_is_said_while_open_and_at_the_end() -> None:
    rule = ratio_rule(1.02, "p50", STANDARD)
    wide = [-0.04, 0.06] * 10
    early, open_, last = (decide(wide[:count], rule) for count in (5, 12, 20))
    assert (early.verdict, early.look, early.next_look) == ("continue", 0, 6)
    assert (open_.verdict, open_.look, open_.next_look) == ("continue", 2, 14)
    assert open_.reason == "12 launches prove neither above 1.02 nor below 1.03 yet"
    assert (last.verdict, last.look, last.next_look) == ("inconclusive", 4, None)
    assert last.reason == "20 launches prove neither above 1.02 nor below 1.03"
    assert decide([], rule).verdict == "continue"


def test_what_is_said_when_proven() -> None:
    slow = decide([0.05, 0.051] * 5, ratio_rule(1.03, "p50", STANDARD))
    assert (slow.verdict, slow.launches, slow.next_look) == ("fail", 6, None)
    assert slow.reason == "proven above 1.03 by 6 launches"
    proof = sequential.proof_above(np.asarray([0.05, 0.051] * 3), math.log(1.03), "t")
    assert slow.p_fail == pytest.approx(4 * proof, rel=1e-9)
    same = decide([0.0] * 10, ratio_rule(1.03, "p50", STANDARD))
    assert (same.verdict, same.reason) == ("pass", "proven below 1.04 by 6 launches")


def test_absolute_gates_are_strict_and_speak_of_the_value() -> None:
    rng = np.random.default_rng(12)
    times = np.log(5.0) + 0.05 * rng.standard_normal(20)
    verdicts = {
        limit: decide(times.tolist(), sequential.absolute_rule(limit, "p95", STANDARD)).verdict
        for limit in (4.0, 5.0, 6.0)
    }
    assert verdicts == {4.0: "fail", 5.0: "inconclusive", 6.0: "pass"}
    held = decide(times.tolist(), sequential.absolute_rule(6.0, "p95", STANDARD))
    assert held.estimate.value == pytest.approx(5.0, rel=0.05)
    fast = sequential.absolute_rule(6.0, "p50", STANDARD, bound="min")
    assert decide(times.tolist(), fast).verdict == "fail"
    assert decide(times.tolist(), sequential.absolute_rule(0.0, "p50", STANDARD)).verdict == "fail"


def test_recorded_traces_show_the_usual_methods_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drifting machine: neighbours differ by the usual methods, no gate of ours fails."""
    monkeypatch.setattr(replay, "GATES", 60)
    a, b = traces.drifting(1.0, 24, np.random.default_rng(13))
    none = np.zeros(a.shape, dtype=np.int16)
    arrays = {"A_wall_ns": a, "B_wall_ns": b, "A_nivcsw": none, "B_nivcsw": none}
    np.savez(tmp_path / "aa.npz", **{key: array.astype(np.int32) for key, array in arrays.items()})
    np.savez(tmp_path / "alone.npz", wall_ns=a.reshape(24, -1).astype(np.int32))
    naive, ours = replay.replay(tmp_path)
    alarms = {(row["trace"], row["order"], row["method"]): row["alarms"] for row in naive}
    assert alarms["aa", "one after the other", "Mann-Whitney, n=50"] >= 15
    assert alarms["alone", "one after the other", "Mann-Whitney, n=50"] >= 15
    assert {row["metric"] for row in ours} == set(replay.LIMITS)
    for row in ours:
        if row["slower"] == 1.0:
            assert row["fail"] == 0
        if row["metric"] == "p50" and row["slower"] == 1.03:
            assert row["fail"] >= 0.95 * row["trials"]
    assert len(list(replay.lines(naive, ours))) == len(naive) + len(ours) + 2
