"""Choosing: what is dominated changes nothing, and a sure best is rarely wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reports.selection.advice import units_for
from reports.selection.choice import Feasible, Standing, choose, standings
from reports.selection.draws import Doubt, Drawing
from reports.selection.wanted import SURE, Bools, Floats
from reports.stats import t_ratio

QUICK = settings(max_examples=150, deadline=None)
DRAWS = 40
SHAPES = st.tuples(st.integers(1, 6), st.just(DRAWS))
COSTS = SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape, elements=st.floats(-3, 3)), arrays(np.bool_, shape)
    )
)


def chosen(costs: Floats, able: Bools, delta: float = 0.05) -> tuple[int | None, str]:
    found = [Feasible(float(row.mean()), float(row.mean())) for row in able]
    stand = standings(costs, able, delta)
    return choose(found, stand, stand)


@QUICK
@given(COSTS, st.floats(0, 1))
def test_probabilities_are_probabilities(drawn: tuple[Floats, Bools], delta: float) -> None:
    costs, able = drawn
    for stand, row in zip(standings(costs, able, delta), able, strict=True):
        assert 0 <= stand.best <= stand.near <= row.mean() + 1e-12
        assert stand.regret is not None and 0 <= stand.regret <= 1
        assert stand.regret >= 1 - row.mean() - 1e-12


@QUICK
@given(COSTS, st.integers(0, 5), st.floats(0.001, 1), st.data())
def test_a_dominated_candidate_never_changes_the_best(
    drawn: tuple[Floats, Bools], at: int, worse: float, data: st.DataObject
) -> None:
    """Dearer in every draw than another, and able only where that one is."""
    costs, able = drawn
    twin = at % len(costs)
    less = able[twin] & data.draw(arrays(np.bool_, DRAWS))
    more_costs = np.vstack([costs, costs[twin] + worse])
    more_able = np.vstack([able, less])
    assert chosen(more_costs, more_able) == chosen(costs, able)
    before, after = standings(costs, able, 0.05), standings(more_costs, more_able, 0.05)
    assert after[: len(before)] == before


@QUICK
@given(COSTS, st.randoms())
def test_the_order_of_the_candidates_does_not_matter(
    drawn: tuple[Floats, Bools], random: object
) -> None:
    costs, able = drawn
    order = list(range(len(costs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    stand, other = standings(costs, able, 0.05), standings(costs[order], able[order], 0.05)
    assert [stand[at] for at in order] == other
    first, outcome = chosen(costs, able)
    again, same = chosen(costs[order], able[order])
    assert same == outcome
    if first is not None and again is not None:
        assert stand[first].regret == stand[order[again]].regret


def test_nothing_is_chosen_where_nothing_is_feasible() -> None:
    costs = np.zeros((2, DRAWS))
    assert chosen(costs, np.zeros((2, DRAWS), dtype=bool)) == (None, "none")


def test_one_without_a_cost_is_never_chosen() -> None:
    costs = np.array([np.full(DRAWS, np.inf), np.ones(DRAWS)])
    assert chosen(costs, np.ones((2, DRAWS), dtype=bool)) == (1, "chosen")
    assert standings(costs, np.ones((2, DRAWS), dtype=bool), 0.0)[0].regret is None
    nothing = np.full((1, DRAWS), np.inf)
    assert chosen(nothing, np.ones((1, DRAWS), dtype=bool)) == (None, "unknown")


def test_what_may_be_better_but_is_not_known_to_be_able_keeps_a_choice_provisional() -> None:
    found = [Feasible(1.0, 1.0), Feasible(None, 1.0)]
    stand = [Standing(1.0, 1.0, 0.0), Standing(0.0, 0.0, 1.0)]
    among_all = [Standing(0.0, 0.0, 0.5), Standing(1.0, 1.0, 0.0)]
    assert choose(found, stand, among_all) == (0, "provisional")
    assert choose(found, stand, stand) == (0, "chosen")


def claims(seed: int, sessions: int, spread: float) -> tuple[bool, bool]:
    """One study of five boards over some sessions: was a best claimed, and wrongly?

    The truth: the others are 2.5% to 8% behind the best, and each session moves each board by
    `spread`. A claim is wrong if the choice really is more than 2% behind the best.
    """
    rng = np.random.default_rng(seed)
    truth = np.log([1.0, 1.025, 1.03, 1.06, 1.08])
    drawing = Drawing(400)
    costs = []
    for board, true in enumerate(truth):
        logs = {f"s{at}": true + spread * rng.standard_normal() for at in range(sessions)}
        doubt = Doubt(t_ratio(list(logs.values())), logs)
        drawn = drawing.of(f"{seed}/{board}", "v", "k", "latency_p50_ms", doubt)
        assert drawn is not None
        costs.append(np.log(drawn))
    able = np.ones((len(truth), drawing.count), dtype=bool)
    at, outcome = chosen(np.array(costs), able, delta=0.02)
    assert at is not None
    return outcome == "chosen", bool(truth[at] > math.log(1.02) + 1e-9)


@pytest.mark.parametrize(("sessions", "spread"), [(4, 0.03), (8, 0.03), (12, 0.02)])
def test_a_sure_best_is_wrong_at_a_bounded_rate(sessions: int, spread: float) -> None:
    told = [claims(seed, sessions, spread) for seed in range(120)]
    wrong = sum(claimed and mistaken for claimed, mistaken in told)
    assert wrong / len(told) <= 1 - SURE


def test_sessions_as_units_are_honest_where_launches_as_units_are_not() -> None:
    """Two equal boards, four sessions of ten launches that drift by 3% together."""
    wrong = {"session": 0, "launch": 0}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        drawing = Drawing(400)
        sure = {}
        for unit in wrong:
            costs = []
            for board in range(2):
                means = 0.03 * np.random.default_rng((seed, board)).standard_normal(4)
                launches = means[:, None] + 0.01 * rng.standard_normal((4, 10))
                values = launches.mean(axis=1) if unit == "session" else launches.ravel()
                logs = {f"u{at}": float(value) for at, value in enumerate(values)}
                doubt = Doubt(t_ratio(list(logs.values())), logs)
                drawn = drawing.of(f"{seed}/{board}", "v", "k", "latency_p50_ms", doubt)
                assert drawn is not None
                costs.append(np.log(drawn))
            stand = standings(np.array(costs), np.ones((2, drawing.count), dtype=bool), 0.0)
            sure[unit] = max(each.near for each in stand) >= SURE
        for unit, claimed in sure.items():
            wrong[unit] += claimed
    assert wrong["session"] / 120 <= 0.10  # either of two equals, each at 5%
    assert wrong["launch"] / 120 > 0.4


@QUICK
@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_more_units_for_a_smaller_distance(distance: float, spread: float) -> None:
    near, far = units_for(distance, spread), units_for(2 * distance, spread)
    assert near is None or (far is not None and far <= near)


def test_units_for_known_cases() -> None:
    assert units_for(0.1, 0.0) == 2
    assert units_for(0.0, 0.1) is None
    units = units_for(0.05, 0.05)
    assert units is not None and 9 <= units <= 12  # (1.65 + 1.28)^2 and a little for t
