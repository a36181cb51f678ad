"""Durations in studies and on the command line: 90, 90s, 10m, 1h30m."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.fields import MAX_BUDGET_S, seconds


@given(
    st.integers(0, 40),
    st.integers(0, 59),
    st.integers(0, 59),
)
def test_durations_add_up(hours: int, minutes: int, rest: int) -> None:
    text = f"{hours}h{minutes}m{rest}s"
    total = hours * 3600 + minutes * 60 + rest
    if total:
        assert seconds(text) == seconds(total) == seconds(str(total)) == total
    else:
        with pytest.raises(ValueError, match="not between"):
            seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 600),
        ("90s", 90),
        ("1h", 3600),
        ("1.5h", 5400),
        ("1h 30m", 5400),
        ("5 M", 300),
        (1.5, 1.5),
    ],
)
def test_duration(text: object, expected: float) -> None:
    assert seconds(text) == expected


@given(st.text(max_size=12) | st.floats() | st.integers() | st.booleans() | st.none())
def test_a_duration_is_positive_and_bounded_or_refused(value: object) -> None:
    try:
        assert 0 < seconds(value) <= MAX_BUDGET_S
    except ValueError as error:
        assert str(error)
