"""Draws from few units: as wide as Student's t, joint over metrics, whatever their order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.estimate import Estimate
from reports.selection.draws import RESAMPLED_FROM, Doubt, Drawing
from reports.stats import t_ratio

QUICK = settings(max_examples=60, deadline=None)
LOGS = st.lists(st.floats(-1, 1), min_size=2, max_size=14)


def of_units(values: dict[str, float], drawing: Drawing, place: str = "board") -> np.ndarray:
    doubt = Doubt(t_ratio(list(values.values())), values)
    drawn = drawing.of(place, "v", "key", "latency_p50_ms", doubt)
    assert drawn is not None
    return drawn


def named(values: list[float]) -> dict[str, float]:
    return {f"unit{at}": value for at, value in enumerate(values)}


@pytest.mark.parametrize("units", [2, 3, 5, 7])
def test_few_units_give_students_t(units: int) -> None:
    values = named(list(np.random.default_rng(units).normal(0, 0.03, units)))
    drawn = np.log(of_units(values, Drawing(40_000)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    interval = t_ratio(list(values.values())).interval
    assert interval is not None
    width = math.log(interval[1] / interval[0])
    assert high - low == pytest.approx(width, rel=0.08)
    assert (high + low) / 2 == pytest.approx(
        math.log(interval[0] * interval[1]) / 2, abs=width / 20
    )


@pytest.mark.parametrize("units", [8, 12, 30])
def test_many_units_are_resampled_and_no_narrower_than_they_should(units: int) -> None:
    values = named(list(np.random.default_rng(units).normal(0, 0.03, units)))
    drawn = np.log(of_units(values, Drawing(40_000)))
    interval = t_ratio(list(values.values())).interval
    assert interval is not None
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert high - low == pytest.approx(math.log(interval[1] / interval[0]), rel=0.12)


def test_a_difference_of_what_was_measured_together_is_drawn_as_a_pair() -> None:
    """Two candidates share what disturbed each launch; only their difference is left."""
    rng = np.random.default_rng(1)
    shared, own = rng.normal(0, 0.1, 6), rng.normal(0, 0.001, 6)
    drawing = Drawing(20_000)
    one, other = (
        of_units(named(list(shared)), drawing),
        of_units(named(list(shared + own)), drawing),
    )
    apart = np.log(other / one)
    expected = stats.t.ppf(0.975, 5) * np.std(own, ddof=1) / math.sqrt(6)
    assert np.quantile(apart, 0.975) - np.quantile(apart, 0.5) == pytest.approx(expected, rel=0.1)
    elsewhere = of_units(named(list(shared)), drawing, "another board")
    assert abs(np.corrcoef(np.log(one), np.log(elsewhere))[0, 1]) < 0.1


@QUICK
@given(LOGS, st.randoms())
def test_the_order_of_the_units_does_not_matter(values: list[float], random: object) -> None:
    items = list(named(values).items())
    first = of_units(dict(items), Drawing(200))
    random.shuffle(items)  # type: ignore[attr-defined]
    assert np.allclose(first, of_units(dict(items), Drawing(200)))


def test_the_two_kinds_of_weights_go_together() -> None:
    drawing = Drawing(4000)
    rng = np.random.default_rng(2)
    values = list(rng.normal(0, 0.05, RESAMPLED_FROM))
    many, fewer = of_units(named(values), drawing), of_units(named(values[:-1]), drawing)
    assert np.corrcoef(np.log(many), np.log(fewer))[0, 1] > 0.6


def test_an_interval_of_samples_is_reached_as_often_as_it_should() -> None:
    doubt = Doubt(Estimate(0.9, (0.86, 0.93)))
    drawn = Drawing(40_000).of("board", "v", "key", "accuracy_top1", doubt)
    assert drawn is not None
    assert np.quantile(drawn, [0.025, 0.5, 0.975]) == pytest.approx([0.86, 0.9, 0.93], abs=0.002)


def test_a_better_answer_is_better_in_every_metric_of_the_variant() -> None:
    drawing = Drawing(500)
    top1 = drawing.of("b", "v", "k", "accuracy_top1", Doubt(Estimate(0.9, (0.86, 0.93))))
    drop = drawing.of("b", "v", "k", "accuracy_top1_drop", Doubt(Estimate(0.01, (0.0, 0.03))))
    assert top1 is not None and drop is not None
    assert np.corrcoef(top1, drop)[0, 1] < -0.9


@pytest.mark.parametrize(
    "doubt",
    [
        Doubt(Estimate.missing("no power sensor was read")),
        Doubt(Estimate(3.0, None, "1 launch; an interval needs 2")),
        Doubt(Estimate(3.0, None, "too few"), {"a": 0.1, "b": 0.2}),
    ],
)
def test_without_an_interval_there_is_no_draw_but_a_reason(doubt: Doubt) -> None:
    assert doubt.open
    assert Drawing(10).of("b", "v", "k", "latency_p95_ms", doubt) is None


def test_what_is_exact_never_moves() -> None:
    drawn = Drawing(10).of("b", "v", "k", "file_mib", Doubt(Estimate(3.0), exact=True))
    assert drawn is not None and (drawn == 3.0).all()


def test_a_value_with_two_wild_units_stays_a_number() -> None:
    drawn = of_units({"a": -30.0, "b": 30.0}, Drawing(4000))
    assert np.isfinite(drawn).all() and (drawn > 0).all()
