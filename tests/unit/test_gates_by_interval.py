"""Gates that go by an interval: many of them together rarely fail what is at its limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from run_builder import RunBuilder, answers, cell
from scipy import stats

from reports.document import build
from reports.estimate import Estimate
from reports.gates import Limit, judge
from reports.multiplicity import holm, proof_beyond
from reports.sequential import ALPHA
from reports.shares import paired_intervals, score_interval
from reports.stats import log_t_estimate, median_of_launches

RUNS, GATES = 150, 40
Draw = Callable[[np.random.Generator], Iterator[Estimate]]


def estimates(value: Any, low: Any, high: Any) -> Iterator[Estimate]:
    for at, ends in zip(value.tolist(), zip(low.tolist(), high.tolist(), strict=True), strict=True):
        yield Estimate(at, ends)


def drop(total: int, lost: float, gained: float) -> Draw:
    def draw(rng: np.random.Generator) -> Iterator[Estimate]:
        counts = rng.multinomial(total, (lost, gained, 1 - lost - gained), RUNS * GATES)
        worse, better = counts[:, 0], counts[:, 1]
        yield from estimates((worse - better) / total, *paired_intervals(worse, better, total))

    return draw


def share(total: int, right: float) -> Draw:
    def draw(rng: np.random.Generator) -> Iterator[Estimate]:
        counts = rng.binomial(total, right, RUNS * GATES)
        yield from estimates(counts / total, *score_interval(counts, total))

    return draw


def memory(launches: int) -> Draw:
    def draw(rng: np.random.Generator) -> Iterator[Estimate]:
        for taken in np.exp(0.02 * rng.standard_normal((RUNS * GATES, launches))):
            # About their mean, not their median, so that the limit is what is true.
            yield log_t_estimate(float(np.exp(np.log(100 * taken).mean())), (100 * taken).tolist())

    return draw


@pytest.mark.parametrize(
    ("limit", "draw", "launches"),
    [
        (Limit("accuracy_top1_drop", "max", 0.01), drop(1000, 0.06, 0.05), 7),
        (Limit("accuracy_top1_drop", "max", 0.0), drop(200, 0.02, 0.02), 7),
        (Limit("accuracy_top1", "min", 0.99), share(100, 0.99), 7),
        (Limit("accuracy_top1", "min", 0.9), share(1000, 0.9), 7),
        (Limit("peak_rss_mib", "max", 100), memory(7), 7),
        (Limit("peak_rss_mib", "max", 100), memory(3), 3),
    ],
)
def test_forty_gates_at_their_limit_rarely_fail_a_run(
    limit: Limit, draw: Draw, launches: int
) -> None:
    """In at most 1% of the runs; by the gates' own intervals in most of them."""
    found = list(draw(np.random.default_rng(5)))
    p_values = np.array([proof_beyond(each, limit, launches) for each in found])
    alone = np.array([judge(each, limit)[0] == "fail" for each in found]).reshape(RUNS, GATES)
    failed = [min(holm(run)) <= ALPHA for run in p_values.reshape(RUNS, GATES).tolist()]
    assert alone.any(axis=1).mean() > 0.4
    assert sum(failed) <= 6  # of 150 runs 1.5 are expected at most


def accurate(rights: list[float], gate: dict[str, Any], samples: int = 1000) -> list[str]:
    """The verdicts on variants of a dense network that is right in 92%."""
    made = RunBuilder(launches=2, labels=[at % 12 for at in range(samples)])
    made.study["gates"] = [gate]
    for at, right in enumerate([0.92, *rights]):
        name = f"v{at}" if at else "dense"
        made.add_cell(cell(name))
        made.add_artifact(name, 1000)
        made.add_evaluation(cell(name), right, top=answers(made.labels or [], right))
    made.add_group("g", {record.cell["id"]: 2.0 for record in made.cells})
    return [v["verdict"] + ": " + v["reason"] for v in build(made.build())["verdicts"]]


def test_what_one_gate_proves_forty_do_not() -> None:
    gate = {"metric": "accuracy_top1_drop", "max": 0.01}
    assert accurate([0.888], gate)[0].startswith("fail")
    told = accurate([0.888, *[0.92] * 39], gate)
    assert told[0].startswith(
        "inconclusive: beyond the limit by itself, but not for 40 gates at once; about "
    )
    assert not any(each.startswith("fail") for each in told)


def test_a_clear_loss_fails_whatever_the_number_of_gates() -> None:
    told = accurate([0.7, *[0.92] * 39], {"metric": "accuracy_top1_drop", "max": 0.01})
    assert told[0] == "fail: all of the interval is beyond the limit"


def test_a_value_without_spread_beyond_its_limit_is_proven() -> None:
    same = Estimate(200.0, (200.0, 200.0))
    assert proof_beyond(same, Limit("server_rate_ips", "min", 210), 3) == 0
    assert proof_beyond(same, Limit("server_rate_ips", "min", 190), 3) == 1
    assert proof_beyond(Estimate.missing("lost"), Limit("load_ms", "max", 1), 3) == 1
    assert proof_beyond(Estimate(2.0, (1.0, 4.0)), Limit("load_ms", "max", 0), 3) == 0


def test_it_is_students_p_value_of_the_launches() -> None:
    launches = np.array([101.0, 104.0, 103.0, 108.0, 102.0])
    found = median_of_launches(launches.tolist(), "memory")
    assert found.value is not None
    told = proof_beyond(found, Limit("peak_rss_mib", "max", 101), 5)
    centred = np.log(launches) - np.log(launches).mean() + np.log(found.value)
    expected = stats.ttest_1samp(centred, np.log(101), alternative="greater").pvalue
    assert told == pytest.approx(expected)
