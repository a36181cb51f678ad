"""Recorded timings of identical models, judged by the usual methods and by ours: false alarms.

    python -m benchmarks.replay FOLDER

FOLDER holds .npz files: either {A,B}_wall_ns[launch, block, sample] and _nivcsw of two workers that
ran interleaved, or wall_ns[process, sample] of processes that ran one after the other.

A gate of ours takes launches in recorded order from a random one on, and which side of each launch
is the candidate is drawn, as the harness draws the order of its workers; --recorded-sides keeps A
the baseline. A slowdown multiplies the candidate's times. Gates that share launches are not
independent, so that the bounds are too narrow: `independent` says how many would be.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, ttest_ind

from reports import stats
from reports.sequential import STANDARD, THOROUGH, Looks, Rule, decide, ratio_rule
from reports.shares import score_share

RUNS = 50
WARMUP = 30
ALPHA = 0.05
LIMITS = {"p50": 1.01, "p95": 1.05, "p99": 1.05, "unpreempted_p50": 1.01, "unpreempted_p95": 1.05}
EFFORTS: Mapping[str, Looks] = {"standard": STANDARD, "thorough": THOROUGH}
SLOWDOWNS = (1.0, 1.03, 1.05, 1.10)
GATES = 400
SEED = 1

Row = dict[str, Any]
Pair = tuple[stats.Samples, stats.Samples]


@dataclass(frozen=True)
class Trace:
    """Launches of both sides in ms, with the counts of involuntary switches."""

    name: str
    sides: tuple[list[stats.Samples], list[stats.Samples]]
    switches: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]


def main() -> None:
    parser = argparse.ArgumentParser(description="False alarms on recorded timings.")
    parser.add_argument("folder", type=Path, help="the folder with the .npz files")
    parser.add_argument("--recorded-sides", action="store_true", help="A is always the baseline")
    arguments = parser.parse_args()
    folder = arguments.folder
    naive, ours = replay(folder, not arguments.recorded_sides)
    if not naive:
        parser.error(f"{folder} holds no traces (*.npz)")
    print("\n".join(lines(naive, ours)))
    print(json.dumps({"bench": "replay", "naive": naive, "ours": ours}))


def replay(folder: Path, draw_sides: bool = True) -> tuple[list[Row], list[Row]]:
    """The rows of the naive methods and of ours for every trace in a folder."""
    naive: list[Row] = []
    ours: list[Row] = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            if "wall_ns" in arrays:
                processes = list(arrays["wall_ns"][:, WARMUP:] / stats.NS_PER_MS)
                naive += _naive(path.stem, "one after the other", _neighbours(processes, processes))
                continue
            trace = read(path.stem, arrays)
        first, second = trace.sides
        naive += _naive(trace.name, "interleaved", list(zip(first, second, strict=True)))
        naive += _naive(trace.name, "one after the other", _neighbours(first, second))
        ours += [row for metric in LIMITS for row in _ours(trace, metric, draw_sides)]
    return naive, ours


def read(name: str, arrays: Mapping[str, NDArray[Any]]) -> Trace:
    """A trace of two interleaved workers, without the first sample of each block."""
    times = [[stats.kept_samples(x) for x in arrays[f"{side}_wall_ns"]] for side in "AB"]
    counts = [[stats.kept_switches(x) for x in arrays[f"{side}_nivcsw"]] for side in "AB"]
    return Trace(name, (times[0], times[1]), (counts[0], counts[1]))


def welch(one: stats.Samples, other: stats.Samples) -> bool:
    """Welch's t test, p < 5%."""
    return bool(ttest_ind(one, other, equal_var=False).pvalue < ALPHA)


def mann_whitney(one: stats.Samples, other: stats.Samples) -> bool:
    """The rank sum test, p < 5%."""
    return bool(mannwhitneyu(one, other).pvalue < ALPHA)


def median_differs(one: stats.Samples, other: stats.Samples) -> bool:
    """Medians more than 3% apart, as thresholds in CI have it."""
    return abs(float(np.median(one) / np.median(other)) - 1) > 0.03


METHODS: Mapping[str, Callable[[stats.Samples, stats.Samples], bool]] = {
    "Welch": welch,
    "Mann-Whitney": mann_whitney,
    "median differs by 3%": median_differs,
}


def _neighbours(first: Sequence[stats.Samples], second: Sequence[stats.Samples]) -> list[Pair]:
    return list(zip(first[:-1], second[1:], strict=True))


def _naive(trace: str, order: str, pairs: Sequence[Pair]) -> Iterator[Row]:
    for name, differs in METHODS.items():
        alarms = sum(differs(one[:RUNS], other[:RUNS]) for one, other in pairs)
        yield {"trace": trace, "method": f"{name}, n={RUNS}", "order": order} | _rate(
            "alarms", alarms, len(pairs)
        )


def _ours(trace: Trace, metric: str, draw_sides: bool) -> Iterator[Row]:
    logs = log_ratios(trace, metric)
    for effort, looks in EFFORTS.items():
        if len(logs) < looks[-1]:
            continue
        rule = ratio_rule(LIMITS[metric], stats.UNPREEMPTED.get(metric, metric), looks)
        drawn = _draw(logs, looks[-1], draw_sides)
        for slower in SLOWDOWNS:
            row = {"trace": trace.name, "metric": metric, "effort": effort}
            yield row | _gates(drawn, rule, slower) | {"independent": len(logs) // looks[0]}


def _draw(logs: Sequence[float], launches: int, draw_sides: bool) -> NDArray[np.float64]:
    """[gate, launch] log ratios: consecutive launches from random ones on, in a circle."""
    rng = np.random.default_rng(SEED)
    starts = rng.integers(len(logs), size=(GATES, 1))
    chosen = np.asarray(logs)[(starts + np.arange(launches)) % len(logs)]
    signs = rng.choice([-1.0, 1.0], chosen.shape) if draw_sides else 1.0
    drawn: NDArray[np.float64] = chosen * signs
    return drawn


def log_ratios(trace: Trace, metric: str) -> list[float]:
    """One log ratio B / A for each launch that holds enough samples."""
    sides = trace.sides
    if metric in stats.UNPREEMPTED:
        kept = [
            [stats.unpreempted(*pair) for pair in zip(times, counts, strict=True)]
            for times, counts in zip(trace.sides, trace.switches, strict=True)
        ]
        sides = (kept[0], kept[1])
    name = stats.UNPREEMPTED.get(metric, metric)
    found = [stats.log_ratio(b, a, name) for a, b in zip(*sides, strict=True)]
    return [value for value in found if value is not None]


def _gates(drawn: NDArray[np.float64], rule: Rule, slower: float) -> Row:
    """What the gates said, the candidate made slower by a factor."""
    decisions = [decide((logs + np.log(slower)).tolist(), rule) for logs in drawn]
    held = sum(d.interval[0] <= slower <= d.interval[1] for d in decisions if d.interval)
    verdicts = [decision.verdict for decision in decisions]
    return {
        "limit": rule.limit,
        "slower": slower,
        **_rate("fail", verdicts.count("fail"), len(decisions)),
        **_rate("pass", verdicts.count("pass"), len(decisions)),
        "coverage": held / len(decisions),
        "mean_launches": float(np.mean([decision.launches for decision in decisions])),
    }


def _rate(name: str, count: int, total: int) -> Row:
    low, high = score_share(count, total).interval or (0.0, 1.0)
    return {name: count, f"{name}_interval": [round(low, 4), round(high, 4)], "trials": total}


def lines(naive: Sequence[Row], ours: Sequence[Row]) -> Iterator[str]:
    """Both side by side; every alarm on identical models is false."""
    yield f"IDENTICAL models, usual methods{'false alarms (95% bounds)':>58}"
    for row in naive:
        label = f"{row['trace']}, {row['order']}"
        yield f"  {label:36}{row['method']:28}{_shown('alarms', row)}"
    head = f"{'fail (95% bounds)':>33}{'pass (95% bounds)':>31}{'coverage':>12}{'launches':>10}"
    yield f"ours{'limit':>46}{'slower':>8}{head}"
    for row in ours:
        label = f"{row['trace']}, {row['metric']}, {row['effort']}"
        yield (
            f"  {label:42}{row['limit']:>6.2f}{row['slower'] - 1:>+8.0%}"
            f"     {_shown('fail', row)}  {_shown('pass', row)}"
            f"{row['coverage']:>10.1%}{row['mean_launches']:>10.1f}"
        )


def _shown(name: str, row: Row) -> str:
    low, high = row[f"{name}_interval"]
    share = row[name] / row["trials"]
    return f"{row[name]:>4}/{row['trials']:<4} {share:>6.1%} ({low:.1%}-{high:.1%})".ljust(30)


if __name__ == "__main__":
    main()
