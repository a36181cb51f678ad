"""From finished gates to rates with their bounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import replay
from benchmarks.trials.gates import HOGS, SAME, TARGETS, Findings, Gate, ratios
from reports import stats
from reports.estimate import Estimate
from reports.shares import score_share

# The board time that a gate may take.
GATE_SECONDS = 60.0
HOG_SAME, HOG_SLOW5 = HOGS + SAME, HOGS + "slow5"

Row = dict[str, Any]
Rates = Mapping[str, Row]


def rate(count: int, total: int) -> Row:
    """A share with Wilson's 95% bounds; without trials it is null and its bounds say nothing."""
    share = score_share(count, total)
    bounds = share.interval or (0.0, 1.0)
    value = None if share.value is None else round(share.value, 4)
    return {"count": count, "trials": total, "rate": value, "ci": [round(end, 4) for end in bounds]}


def said(gates: Sequence[Gate], verdict: str) -> Row:
    """How many of some gates gave a verdict."""
    return rate(sum(gate.verdict == verdict for gate in gates), len(gates))


def share(flags: Sequence[bool]) -> Row:
    """How many are true."""
    return rate(sum(flags), len(flags))


def rates(found: Findings) -> Rates:
    """Every rate that the benchmark is about, by what it is of."""
    table: dict[str, Row] = {}
    for kind in (SAME, *TARGETS, HOG_SAME, HOG_SLOW5):
        for verdict in ("fail", "pass", "inconclusive"):
            table[f"{kind} {verdict}"] = said(found.of(kind), verdict)
    table["hogs wrong"] = wrong_under_hogs(found)
    held = {kind: covered(found, kind) for kind in (SAME, *TARGETS, HOG_SAME)}
    slower = [one for kind in TARGETS for one in held[kind]]
    table["coverage"] = share([*held[SAME], *slower])
    table["coverage, same"] = share(held[SAME])
    table["coverage, slower"] = share(slower)
    table["coverage, same, hogs"] = share(held[HOG_SAME])
    table["aa over 60 s"] = share([gate.seconds > GATE_SECONDS for gate in found.of(SAME)])
    return table | {f"naive, {name}": row for name, row in naive(found).items()}


def wrong_under_hogs(found: Findings) -> Row:
    """Fails of identical models and passes of the one that is 5% slower."""
    wrong = said(found.of(HOG_SAME), "fail")["count"]
    wrong += said(found.of(HOG_SLOW5), "pass")["count"]
    return rate(wrong, len(found.of(HOG_SAME, HOG_SLOW5)))


def covered(found: Findings, kind: str) -> list[bool]:
    """For each gate of a kind that has an interval, whether it holds the truth."""
    truth = 1.0 if kind.removeprefix(HOGS) == SAME else found.truth(kind).value
    intervals = [gate.decision.interval for gate in found.of(kind)]
    return [held[0] <= truth <= held[1] for held in intervals if held and truth is not None]


def naive_pairs(gates: Iterable[Gate]) -> list[tuple[stats.Samples, stats.Samples]]:
    """50 samples of the baseline, and 50 of the candidate in the next launch."""
    pairs = [
        (one.samples(0), other.samples(1))
        for gate in gates
        for one, other in itertools.pairwise(gate.launches)
    ]
    runs = replay.RUNS
    return [(a[:runs], b[:runs]) for a, b in pairs if min(a.size, b.size) >= runs]


def naive(found: Findings) -> dict[str, Row]:
    """False alarms of the usual methods on identical models; neighbouring pairs share launches."""
    pairs = naive_pairs(found.of(SAME))
    return {
        name: share([differs(*pair) for pair in pairs]) for name, differs in replay.METHODS.items()
    }


def mean_seconds(gates: Sequence[Gate]) -> float | None:
    """Mean board time of some gates."""
    return round(sum(gate.seconds for gate in gates) / len(gates), 2) if gates else None


def summary(found: Findings, table: Rates) -> Row:
    """The figures by the names that others read."""
    slow3 = found.of("slow3")
    naive_rates = [row["rate"] for name, row in table.items() if name.startswith("naive")]
    return {
        "bench": "validity",
        "aa_gates": len(found.of(SAME)),
        "aa_wrong_fail": table["aa fail"]["count"],
        "aa_inconclusive": table["aa inconclusive"]["count"],
        "aa_mean_seconds": mean_seconds(found.of(SAME)),
        "slow3_trials": len(slow3),
        "slow3_fail": table["slow3 fail"]["count"],
        "slow3_mean_seconds": mean_seconds(slow3),
        "slow5_trials": len(found.of("slow5")),
        "slow5_wrong_pass": table["slow5 pass"]["count"],
        "coverage_trials": table["coverage"]["trials"],
        "coverage": table["coverage"]["rate"],
        "hog_trials": table["hogs wrong"]["trials"],
        "hog_wrong": table["hogs wrong"]["count"],
        "naive_aa_rate": min((each for each in naive_rates if each is not None), default=None),
    }


def details(found: Findings, table: Rates) -> Row:
    """What the figures rest on."""
    launches = [taken for gate in found.gates for taken in gate.launches]
    return {
        "aa_max_seconds": round(max((gate.seconds for gate in found.of(SAME)), default=0.0), 2),
        "hog_mean_seconds": mean_seconds(found.of(HOG_SAME, HOG_SLOW5)),
        "truths": {model: truth_row(found, model) for model in found.layers},
        "aa_launch_noise": launch_noise(found.of(SAME)),
        "hog_launch_noise": launch_noise(found.of(HOG_SAME)),
        "baseline_p50_ms": baseline_p50(found),
        "launches": len(launches),
        "launches_without_ratio": len(launches) - len(ratios(launches)),
        "launches_not_interleaved": sum(not taken.interleaved for taken in launches),
        "rates": {name: row for name, row in table.items() if row["trials"]},
    }


def truth_row(found: Findings, model: str) -> Row:
    """How slow a model is, with its interval, and from how many launches that is known."""
    truth = found.truth(model)
    return {
        "layers": found.layers[model],
        "ratio": truth.value and round(truth.value, 5),
        "ci": truth.interval and [round(end, 5) for end in truth.interval],
        "launches": len(ratios(found.calm(model))),
    }


def launch_noise(gates: Iterable[Gate]) -> Row:
    """Log ratios of identical models: their spread, and the correlation of one with the next."""
    logs = [ratios(gate.launches) for gate in gates]
    pooled = np.asarray([value for gate in logs for value in gate])
    pairs = [pair for gate in logs for pair in itertools.pairwise(gate)]
    if len(pairs) < 3 or not pooled.std():
        return {"sd": None, "next": None}
    following = np.corrcoef(np.asarray(pairs).T)[0, 1]
    return {"sd": round(float(pooled.std(ddof=1)), 5), "next": round(float(following), 3)}


def baseline_p50(found: Findings) -> float | None:
    """Median over calm launches of the baseline's p50, ms."""
    calm = [taken for kind in (SAME, *TARGETS) for taken in found.calm(kind)]
    medians = [float(np.median(taken.samples(0))) for taken in calm if taken.samples(0).size]
    return round(float(np.median(medians)), 4) if medians else None


def lines(found: Findings, table: Rates) -> Iterator[str]:
    """The table that people read."""
    yield f"{'':28}{'count':>11}{'rate':>9}  95% bounds (Wilson)"
    for name, row in table.items():
        if row["trials"]:
            low, high = row["ci"]
            counted = f"{row['count']}/{row['trials']}"
            yield f"{name:28}{counted:>11}{row['rate']:>9.1%}  {low:.1%}-{high:.1%}"
    for model, layers in found.layers.items():
        truth = shown(found.truth(model))
        yield f"{model}: {layers} layers, x {truth}, {len(ratios(found.calm(model)))} launches"


def told(gate: Gate) -> str:
    """One line about a gate."""
    spent = f"{len(gate.launches)} launches, {gate.seconds:.1f} s"
    return f"{gate.kind}: {gate.verdict}, x {shown(gate.decision.estimate)}, {spent}"


def shown(estimate: Estimate) -> str:
    """A ratio with its interval."""
    value = math.nan if estimate.value is None else estimate.value
    low, high = estimate.interval or (math.nan, math.nan)
    return f"{value:.4f} ({low:.4f}-{high:.4f})"
