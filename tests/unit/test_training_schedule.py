"""How much is pruned when: every schedule rises, stays between 0 and 1, and ends where it says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from harness.errors import InputError
from harness.training import schedule

SHARES = st.floats(0.001, 0.999)
NO_SHARES = (0.0, 1.0, -0.1, 1.5, 30.0, float("nan"), float("inf"))


def test_steps_are_the_numbers_that_one_would_write() -> None:
    assert schedule.steps(0.2, 0.8, 0.1) == (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    assert schedule.steps(0.1, 0.9, 0.4) == (0.1, 0.5, 0.9)
    assert schedule.steps(0.5, 0.5, 0.1) == (0.5,)


def test_the_last_step_is_shorter_where_the_steps_do_not_fit() -> None:
    assert schedule.steps(0.2, 0.75, 0.2) == (0.2, 0.4, 0.6, 0.75)
    assert schedule.steps(0.2, 0.3, 0.5) == (0.2, 0.3)


@given(SHARES, SHARES, SHARES)
def test_steps_rise_by_no_more_than_asked(one: float, other: float, by: float) -> None:
    first, last = sorted((one, other))
    shares = schedule.steps(first, last, by)
    assert shares[0] == pytest.approx(first) and shares[-1] == last
    gaps = [after - before for before, after in pairwise(shares)]
    assert all(0 < gap <= by + 1e-9 for gap in gaps)
    assert all(gap == pytest.approx(by, abs=1e-9) for gap in gaps[:-1])
    schedule.check_rising(shares)


@given(SHARES, st.integers(1, 200))
def test_cubic_rises_ever_more_slowly_to_its_end(final: float, steps: int) -> None:
    shares = schedule.cubic(final, steps)
    assert len(shares) == steps and shares[-1] == final
    gaps = [after - before for before, after in pairwise((0.0, *shares))]
    assert all(before > after > 0 for before, after in pairwise(gaps))


def test_cubic_is_equation_1_of_zhu_and_gupta() -> None:
    # s_f + (s_i - s_f) (1 - t / n)^3 with s_i = 0, s_f = 0.8, n = 4, by hand
    assert schedule.cubic(0.8, 4) == pytest.approx((0.4625, 0.7, 0.7875, 0.8))


@pytest.mark.parametrize("share", NO_SHARES)
def test_what_is_no_share_is_refused(share: float) -> None:
    for ask in (
        lambda: schedule.steps(share, 0.5, 0.1),
        lambda: schedule.steps(0.5, share, 0.1),
        lambda: schedule.steps(0.5, 0.6, share),
        lambda: schedule.cubic(share, 3),
        lambda: schedule.check_rising([0.1, share]),
    ):
        with pytest.raises(InputError, match="a share between 0 and 1"):
            ask()


def test_percents_are_told_how_to_be_written() -> None:
    with pytest.raises(InputError) as refusal:
        schedule.check(30)
    assert refusal.value.next_step == "write 0.3"


@pytest.mark.parametrize(
    ("shares", "said"),
    [((), "empty"), ((0.5, 0.4), "0.4 follows 0.5"), ((0.5, 0.5), "0.5 follows 0.5")],
)
def test_a_schedule_that_does_not_rise_is_refused(shares: tuple[float, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        schedule.check_rising(shares)


def test_steps_backwards_and_none_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="more than the last"):
        schedule.steps(0.8, 0.2, 0.1)
    with pytest.raises(InputError, match="at least one step"):
        schedule.cubic(0.5, 0)
