"""How much is pruned after each step: shares of zero weights, from the first step to the last."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.errors import InputError

# Far below any step that makes sense, far above what adding shares rounds off.
_ROUNDING = 1e-9


def steps(first: float, last: float, by: float) -> tuple[float, ...]:
    """Return first, first + by, ... and, as the last one, `last` itself.

    Raises InputError unless 0 < first <= last < 1 and 0 < by < 1.
    """
    for share in (first, last, by):
        check(share)
    if first > last:
        raise InputError(f"the first step prunes {first:g}, more than the last, {last:g}")
    more = int((last - first) / by + _ROUNDING)
    shares = [round(first + number * by, 12) for number in range(more + 1)]
    if last - shares[-1] < _ROUNDING:
        shares.pop()
    return (*shares, last)


def cubic(final: float, steps: int) -> tuple[float, ...]:
    """Return shares that rise fast at first and slowly at last, from 0 to `final` in `steps`.

    Equation 1 of Zhu and Gupta 2017 (arXiv 1710.01878) with an initial sparsity of 0, whose own
    step is left out. Raises InputError unless 0 < final < 1 and steps >= 1.
    """
    check(final)
    if steps < 1:
        raise InputError(f"a schedule has at least one step, not {steps}")
    return tuple(final - final * (1 - step / steps) ** 3 for step in range(1, steps + 1))


def check(share: float) -> None:
    """Raise InputError unless a share lies between 0 and 1."""
    if not 0 < share < 1:
        raise InputError(
            f"sparsity is a share between 0 and 1; it is {share:g}",
            next_step=f"write {share / 100:g}" if 1 < share < 100 else None,
        )


def check_rising(shares: Sequence[float]) -> None:
    """Raise InputError unless there are shares between 0 and 1, each larger than the one before."""
    for share in shares:
        check(share)
    if not shares:
        raise InputError("a schedule has at least one step; this one is empty")
    for before, after in pairwise(shares):
        if after <= before:
            raise InputError(f"a schedule rises; {after:g} follows {before:g}")
