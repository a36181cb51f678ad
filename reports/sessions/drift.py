"""How far a variant has drifted from a release over the gates since: small steps that add up.

Where the release itself was measured beside the variant, that ratio is the drift, and the gates
before it against the same file show the way there. Where each gate was held against the one before,
the drift is the product of their ratios: each was measured in turns, so a moved environment cancels
in every link. Such a product nominates; what proves it is a gate against the release.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from reports.estimate import Estimate
from reports.families import baseline_of, is_origin, is_twin
from reports.gates import METRICS, Limit, limits
from reports.index import Index, index
from reports.layout import Row
from reports.run import CellRecord, Release, Run
from reports.sequential import ESTIMATORS, STATISTICS
from reports.sessions.anchor import CellName, anchored_logs, by_name, named
from reports.text import clean, counted, number, with_interval

USUAL = Limit("latency_p50_ratio", "max", math.inf)  # followed where no gate limits a ratio
NO_RELEASE = "no release of this study had a name before this run"
MOST_STEPS = 8  # that are spelt out
# What names a cell in a row, in the order of CellName.
KEYS = (
    "device",
    "variant",
    "runtime",
    "precision_requested",
    "batch",
    "threads",
    "scenario",
)


@dataclass(frozen=True)
class Link:
    """One gate: a file's ratio to the file that it was held against."""

    run: str
    cell: str
    held_against: str  # sha256
    file: str
    ratio: Estimate


@dataclass(frozen=True)
class Drift:
    """The drift of one cell by one metric; `direct` when the release was measured beside it."""

    cell: CellName
    limit: Limit
    direct: bool
    links: Sequence[Link]  # the oldest first; of a chain each goes on from the one before
    total: Estimate

    @property
    def beyond(self) -> bool:
        """Whether all of the total's interval lies beyond what a gate allows for one step."""
        ends = self.total.interval
        if ends is None:
            return False
        low, high = ends
        return low > self.limit.value if self.limit.bound == "max" else high < self.limit.value


def drifts(runs: Sequence[Run], release: Collection[str]) -> list[Drift]:
    """The drift of every cell of the last of `runs` (the oldest first) from a release's files."""
    *before, now = (index(run) for run in runs)
    found = []
    for limit in _limits(now.run):
        earlier = [list(_links(each, limit)) for each in before]
        for name, link in _links(now, limit):
            links = _way(name, link, earlier, release)
            if links:
                direct = link.held_against in release
                total = link.ratio if direct else product([each.ratio for each in links])
                found.append(Drift(name, limit, direct, links, total))
    return found


def product(ratios: Sequence[Estimate]) -> Estimate:
    """The product of independent ratios; the half widths of their logs add in quadrature."""
    values = [each.value for each in ratios if each.value]
    if len(values) < len(ratios):
        return Estimate.missing("a gate on the way has no ratio")
    total = math.fsum(map(math.log, values))
    ends = [each.interval for each in ratios]
    if None in ends:
        return Estimate(math.exp(total), None, "a gate on the way has no interval")
    half = math.hypot(*(math.log(high / low) / 2 for low, high in filter(None, ends)))
    return Estimate(math.exp(total), (math.exp(total - half), math.exp(total + half)))


def of_report(run: Run) -> dict[str, Any]:
    """The drift of a run's cells since the last release, for its document."""
    release = run.release
    if release is None:
        return {"release": None, "reason": NO_RELEASE, "cells": []}
    runs = [*run.since, run]
    rows = [_row(each, release) for each in drifts(runs, release.files)]
    read = counted(len(runs), "run")
    return {
        "release": {key: getattr(release, key) for key in ("name", "named", "run", "variant")},
        "reason": None if rows else f"nothing in {read} since was held against its files",
        "cells": rows,
    }


def _row(drift: Drift, release: Release) -> dict[str, Any]:
    limit, total = drift.limit, drift.total
    limited = math.isfinite(limit.value)
    proof = f"edgeproof gate STUDY --against {release.name}"
    return {
        **dict(zip(KEYS, drift.cell, strict=True)),
        "cell": drift.links[-1].cell,
        "gate": str(limit) if limited else None,
        "metric": limit.metric,
        "bound": limit.bound,
        "limit": limit.value if limited else None,
        "direct": drift.direct,
        "ratio": total.value,
        "ci": total.interval,
        "reason": total.reason,
        "beyond": drift.beyond,
        "gates": len(drift.links),
        "steps": [_step(link) for link in drift.links],
        "largest_step": _largest(drift),
        "next_step": proof if drift.beyond and not drift.direct else None,
    }


def _step(link: Link) -> dict[str, Any]:
    return {
        "run": link.run,
        "held_against": link.held_against,
        "file": link.file,
        "ratio": link.ratio.value,
        "ci": link.ratio.interval,
        "reason": link.ratio.reason,
    }


def _largest(drift: Drift) -> float | None:
    """The largest step from one gate to the next, as a ratio; null of a single gate."""
    values = [link.ratio.value for link in drift.links if link.ratio.value]
    if len(drift.links) < 2 or not values:
        return None
    steps = [after / before for before, after in pairwise(values)] if drift.direct else values
    return max(steps, key=lambda ratio: abs(math.log(ratio)), default=None)


def told(row: Row, study: str = "STUDY") -> str:
    """One row of `of_report` in words; `study` is the file that a gate is run with."""
    place = f"{clean(row['variant'])} in {clean(row['runtime'])} on {clean(row['device'])}"
    parts = [f"{row['metric']} of {place}: {with_interval(row['ratio'], row['ci'])}, {way(row)}"]
    if row["reason"]:
        parts.append(clean(row["reason"]))
    if row["beyond"]:
        parts.append(f"more than one gate allows, {row['gate']}")
    if row["next_step"]:
        parts.append(f"to prove it: {clean(row['next_step']).replace('STUDY', study, 1)}")
    return "; ".join(parts)


def way(row: Row) -> str:
    """How it is known, and the gates on the way."""
    gates, steps = counted(row["gates"], "gate"), row["steps"]
    if row["direct"] and row["largest_step"] is None:
        return "measured beside it"
    known = f"measured beside it in {gates}" if row["direct"] else f"the product of {gates}"
    ratios = ", ".join(number(step["ratio"], 4) for step in steps[-MOST_STEPS:])
    largest = row["largest_step"]
    most = "" if largest is None else f", the largest step {100 * (largest - 1):+.1f}%"
    return f"{known}: {'… ' * (len(steps) > MOST_STEPS)}{ratios}{most}"


def _limits(run: Run) -> list[Limit]:
    """The limits of the study's gates on ratios that each launch has; else the usual one."""
    found = [
        limit
        for limit in limits(run.study.get("gates") or [])
        if METRICS[limit.metric].against_baseline and METRICS[limit.metric].launchwise
    ]
    return found or [USUAL]


def _links(found: Index, limit: Limit) -> Iterator[tuple[CellName, Link]]:
    """Every candidate's ratio to its baseline, where they are different files."""
    study, cells = found.run.study, by_name(found.run)
    of = METRICS[limit.metric].launchwise
    for name, record in cells.items():
        variant = record.cell["variant"]
        baseline = cells.get(named(record, baseline_of(study, variant)))
        if not of or baseline is None or is_twin(study, variant) or is_origin(study, variant):
            continue
        if limit.asks(record.cell["scenario"]) and _differ(baseline, record):
            logs = anchored_logs(found, record, baseline, of)
            ratio = ESTIMATORS[STATISTICS[of]](logs)
            files = baseline.cell["artifact"], record.cell["artifact"]
            yield name, Link(found.run.id, record.cell["id"], *files, ratio)


def _differ(baseline: CellRecord, record: CellRecord) -> bool:
    one, other = baseline.cell["artifact"], record.cell["artifact"]
    return bool(one and other) and one != other


def _way(
    name: CellName,
    link: Link,
    earlier: Sequence[Sequence[tuple[CellName, Link]]],
    release: Collection[str],
) -> list[Link]:
    """The gates that lead from the release to a link, itself the last; none if there is no way."""
    if link.held_against in release:
        same = [each for links in earlier for at, each in links if at == name]
        return [*(each for each in same if each.held_against == link.held_against), link]
    way, asked = [link], _asked(name)
    for links in reversed(earlier):
        target = way[0].held_against
        step = next((it for at, it in links if _asked(at) == asked and it.file == target), None)
        if step:
            way.insert(0, step)
            if step.held_against in release:
                return way
    return []


def _asked(name: CellName) -> tuple[str | int, ...]:
    """The cell without its variant, for a file may change its name from gate to gate."""
    return (name[0], *name[2:])
