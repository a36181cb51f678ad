"""What a self-test of a device says of its gates: how often they were wrong, and what they saw.

Bounds are exact (Clopper and Pearson, Biometrika 26, 1934) and one-sided at 95%: of wrong verdicts
the question is how many there may be at most, of right ones how many at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from scipy import special

from reports import stats
from reports.estimate import CONFIDENCE, Estimate
from reports.gates import METRICS
from reports.run import DeviceRecord, Run, Selftest, SelftestModel, SelftestTrial
from reports.sequential import ALPHA, Rule, ratio_rule
from reports.sessions.environment import BOARD, Difference, of_device, runtimes_of
from reports.shares import exact_interval
from reports.text import clean, counted, percent
from reports.verdicts import LOOKS

Row = dict[str, Any]

SAME = "same"
# An error above the promised one is proven at this level, over the kinds of gates together.
PROOF = ALPHA
SECONDS_A_DAY = 86400
_SHARES = (
    *("right", "wrong", "right_share", "right_at_least", "wrong_share", "wrong_at_most"),
    "p_value",  # of the claim that more are wrong than is promised
)


def rule_of(found: Selftest) -> Rule:
    """The rule by which each of its gates was decided."""
    of = METRICS[found.metric].launchwise
    assert of is not None
    return ratio_rule(found.limit, of, LOOKS[found.effort])


def summary(found: Selftest) -> Row:
    """The rates of a self-test, kind by kind."""
    rule = rule_of(found)
    return {
        "selftest": found.id,
        "device": found.device.name,
        "profile": found.device.profile,
        "started": found.started,
        "finished": found.finished,
        "planned": found.planned,
        "runtime": found.runtime,
        "runtime_version": found.runtime_version,
        "metric": found.metric,
        "limit": found.limit,
        "tolerance": rule.tolerance,
        "effort": found.effort,
        "promised": rule.alpha,
        "confidence": CONFIDENCE,
        "baseline_p50_ms": found.baseline_p50_ms,
        "kinds": [_kind(model, found.trials, rule) for model in found.models],
    }


def _kind(model: SelftestModel, trials: Sequence[SelftestTrial], rule: Rule) -> Row:
    mine = [trial for trial in trials if trial.kind == model.kind]
    said = [trial.verdict for trial in mine]
    truth = Estimate(1.0) if model.kind == SAME else slowdown(model.ratios)
    row: Row = {
        "kind": model.kind,
        "target": model.target,
        "layers": model.layers,
        "slowdown": None if truth.value is None else truth.value - 1,
        "slowdown_ci": [end - 1 for end in truth.interval] if truth.interval else None,
        "slowdown_launches": len(model.ratios),
        "gates": len(mine),
        **{verdict: said.count(verdict) for verdict in ("pass", "fail", "inconclusive")},
        "mean_seconds": float(np.mean([trial.seconds for trial in mine])) if mine else None,
    }
    right, wrong = ("pass", "fail") if model.kind == SAME else ("fail", "pass")
    reason = _unjudged(model, truth, rule) or (None if mine else "no gate of this kind was decided")
    return row | _shares(right, wrong, row, None if reason else rule.alpha) | {"reason": reason}


def slowdown(ratios: Sequence[float]) -> Estimate:
    """How slow a network really is, as a ratio; by ranks, for a launch may be far out."""
    return stats.signed_rank_ratio(ratios)


def _unjudged(model: SelftestModel, truth: Estimate, rule: Rule) -> str | None:
    """Why a verdict on a slower network cannot be called right or wrong."""
    may_pass = float(np.exp(rule.pass_within))
    if model.kind == SAME or (truth.interval and truth.interval[0] > may_pass):
        return None
    return f"it is not sure to be slower than {percent(may_pass - 1)}, up to which it may pass"


def _shares(right: str, wrong: str, counts: Row, promised: float | None) -> Row:
    """How many verdicts were right and wrong; nulls where nobody can say."""
    gates, bad, good = counts["gates"], counts[wrong], counts[right]
    if promised is None:
        return dict.fromkeys(_SHARES)
    return {
        "right": right,
        "wrong": wrong,
        "right_share": good / gates,
        "right_at_least": bounds(good, gates)[0],
        "wrong_share": bad / gates,
        "wrong_at_most": bounds(bad, gates)[1],
        "p_value": chance(bad, gates, promised),
    }


def bounds(count: int, total: int) -> tuple[float, float]:
    """The exact one-sided 95% bounds of a share: at least the first; at most the second."""
    low, high = exact_interval(count, total, 2 * CONFIDENCE - 1)
    return float(low), float(high)


def chance(count: int, total: int, share: float) -> float:
    """How probable so many are, or more, where each comes about with this probability."""
    return float(special.betainc(count, total - count + 1, share)) if count else 1.0


def breaks_promise(row: Mapping[str, Any]) -> list[str]:
    """The kinds of gates that are proven to be wrong more often than is promised."""
    tested = [kind for kind in row["kinds"] if kind["p_value"] is not None]
    return [kind["kind"] for kind in tested if kind["p_value"] * len(tested) <= PROOF]


def of_report(run: Run, device: DeviceRecord) -> Row | None:
    """The newest self-test of a device of a run: its rates, its age, what differs since."""
    found = next((one for one in run.selftests if one.device.name == device.name), None)
    if found is None:
        return None
    apart = datetime.fromisoformat(run.started) - datetime.fromisoformat(found.started)
    days = apart.total_seconds() / SECONDS_A_DAY
    since = list(differences(found, run, device))
    return {
        **summary(found),
        "days_apart": int(abs(days)),  # whole ones, from its start to the run's
        "before_run": days >= 0,
        "compared": bool(device.facts),
        "same_board": not any(each.fact == BOARD for each in since) if device.facts else None,
        "differences": [
            {"fact": each.fact, "selftest": each.first, "run": each.second} for each in since
        ],
    }


def differences(found: Selftest, run: Run, device: DeviceRecord) -> Iterator[Difference]:
    """What a run's times depend on that was otherwise when the device was tested."""
    for each in of_device(found.device, device):
        if each.forbids or each.fact not in (BOARD, "boot"):
            yield each
    effort = (run.study.get("measure") or {}).get("effort", "standard")
    if effort != found.effort:
        yield Difference("effort", found.effort, effort)
    then = f"{found.runtime} {found.runtime_version or ''}".strip()
    known = runtimes_of(run, device.name)
    if known and found.runtime not in known:
        yield Difference("runtime", then, ", ".join(known))
    now = known.get(found.runtime, {}).get("version")
    if now is not None and now != found.runtime_version:
        yield Difference("runtime", then, f"{found.runtime} {now}")


def sentences(row: Mapping[str, Any]) -> Iterator[str]:
    """The rates in words."""
    for kind in row["kinds"]:
        if kind["gates"]:
            sure = f"with {row['confidence']:.0%} confidence"
            yield _same(kind, sure) if kind["kind"] == SAME else _slower(kind, sure)
    broken = breaks_promise(row)
    for kind in row["kinds"]:
        if kind["kind"] in broken:
            share, gates = percent(row["promised"]), f"gates on {_model(kind)}"
            yield f"More than the promised {share} of {gates} are proven to be wrong."


def _model(kind: Mapping[str, Any]) -> str:
    slower = f"a model {percent(kind['slowdown'])} slower"
    return "identical models" if kind["kind"] == SAME else slower


def _same(kind: Mapping[str, Any], sure: str) -> str:
    gates = f"{counted(kind['gates'], 'gate')} on {_model(kind)} gave {kind['fail']} false "
    failures = f"{'failure' if kind['fail'] == 1 else 'failures'} ("
    return f"{gates}{failures}at most {percent(kind['wrong_at_most'])}, {sure}){_open(kind)}."


def _slower(kind: Mapping[str, Any], sure: str) -> str:
    told = f"Of {counted(kind['gates'], 'gate')} on {_model(kind)} {kind['fail']}"
    if kind["right"] is None:
        return f"{told} failed and {kind['pass']} passed{_open(kind)}; {kind['reason']}."
    least, most = percent(kind["right_at_least"]), percent(kind["wrong_at_most"])
    return (
        f"{told} rightly failed (at least {least}, {sure}) and {kind['pass']} wrongly passed "
        f"(at most {most}){_open(kind)}."
    )


def _open(kind: Mapping[str, Any]) -> str:
    return f"; {kind['inconclusive']} could not be decided" if kind["inconclusive"] else ""


def tested_how(row: Mapping[str, Any]) -> str:
    """What was tested, for readers of its rates."""
    runtime = clean(f"{row['runtime']} {row['runtime_version'] or ''}".strip())
    return (
        f"gates of max {row['limit']:g} on the ratio of p50, {row['effort']} effort, in {runtime}, "
        "on small networks"
    )
