"""What is said of the sets of robustness while the datasets are being answered."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation_builder import unscored
from run_builder import RunBuilder, cell

from agents import wire
from harness.foresight_sets import too_long

VARIANTS = ("dense", "pruned", "slim", "int8")


def told(
    *seconds: float, budget_s: float, ood: int = 0, failed: int = 0, **done: Any
) -> str | None:
    """What is said when datasets of 500 samples took so long, and 10 sets of 200 are to come."""
    made = RunBuilder()
    for variant in VARIANTS:
        made.add_cell(cell(variant))
    for variant, each in zip(VARIANTS, seconds, strict=False):
        waits: dict[str, Any] = {"reason": wire.NOT_RUN, **done}
        sets = [unscored("clean", "clean", samples=500, seconds=each)]
        sets += [
            unscored("noise", "corruption", at % 5 + 1, samples=200, **waits) for at in range(10)
        ]
        sets += [unscored("faces", "ood", samples=ood, **waits)] if ood else []
        made.add_evaluation(cell(variant), 1.0, sets=sets)
    for variant in VARIANTS[len(seconds) :][:failed]:
        made.add_evaluation(cell(variant), 1.0, status="failed", reason="it broke", sets=[])
    run = made.build()
    return too_long(run, run.devices[0].name, budget_s)


def test_sets_that_fit_are_not_spoken_of() -> None:
    # 10 x 200 samples of 0.01 s: 20 s each.
    assert told(5.0, 5.0, 5.0, 5.0, budget_s=80.0) is None
    assert told(5.0, 5.0, 5.0, 5.0, budget_s=79.0) is not None


def test_it_is_said_as_soon_as_the_evaluations_so_far_suffice() -> None:
    assert told(budget_s=30.0) is None
    assert told(5.0, budget_s=30.0) is None  # 80 s in all, were the others as slow: not known
    assert told(5.0, 5.0, budget_s=30.0) == (
        "robustness: its sets take about 80 s at the pace of the dataset, and the budget gives "
        "them 30 s, so not all will be run: take at most `samples: 75`, fewer corruptions, "
        "severities or sets, or a longer budget"
    )


def test_a_model_that_failed_has_no_sets() -> None:
    assert "about 60 s" in str(told(5.0, 5.0, budget_s=30.0, failed=1))


def test_samples_from_elsewhere_are_no_fewer() -> None:
    # Of 4 x (20 + 10) s only the first part depends on `samples`.
    assert "at most `samples: 51`" in str(told(5.0, 5.0, 5.0, budget_s=60.5, ood=1000))
    assert "run: take fewer" in str(told(5.0, 5.0, budget_s=40.0, ood=1000))


@pytest.mark.parametrize("reason", [None, "out of memory"])
def test_sets_that_were_run_take_no_more_time(reason: str | None) -> None:
    assert told(5.0, 5.0, 5.0, 5.0, budget_s=1.0, reason=reason) is None
