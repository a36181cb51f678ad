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

from reports import stats
from reports.estimate import Estimate
from reports.families import baseline_of, is_origin, is_twin
from reports.gates import METRICS, Limit, limits
from reports.index import Index, index
from reports.run import CellRecord, Run
from reports.sequential import STATISTICS
from reports.sessions.anchor import CellName, anchored_logs, by_name, named
from reports.text import clean, counted, with_interval

USUAL = Limit("latency_p50_ratio", "max", math.inf)  # followed where no gate limits a ratio
_ESTIMATORS = {"t": stats.t_ratio, "signed-rank": stats.signed_rank_ratio}


@dataclass(frozen=True)
class Link:
    """One gate: a file's ratio to the file that it was held against."""

    run: str
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


def told(drift: Drift, release: str, study: str = "STUDY") -> str:
    """One drift in words; `study` is the file that a gate is run with."""
    device, variant, runtime, *_ = drift.cell
    value = with_interval(drift.total.value, drift.total.interval)
    lead = clean(f"{drift.limit.metric} of {variant} in {runtime} on {device}: {value}", 300)
    steps = ", ".join(with_interval(link.ratio.value, None) for link in drift.links)
    if drift.direct:
        earlier = counted(len(drift.links) - 1, "gate")
        way = f"; with the {earlier} before: {steps}{_largest(drift)}" if drift.links[1:] else ""
        return f"drift since {release}: {lead}, measured beside it{way}"
    count = counted(len(drift.links), "gate")
    line = f"drift since {release}: {lead}, the product of {count}: {steps}"
    if not drift.beyond:
        return line
    return (
        f"{line}. Together they break {drift.limit}. To prove it: edgeproof gate {study} "
        f"--against {release}"
    )


def _largest(drift: Drift) -> str:
    values = [link.ratio.value for link in drift.links if link.ratio.value]
    steps = [after / before for before, after in pairwise(values)]
    return f"; the largest step {100 * (max(steps, key=_size) - 1):+.1f}%" if steps else ""


def _size(ratio: float) -> float:
    return abs(math.log(ratio))


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
            ratio = _ESTIMATORS[STATISTICS[of]](logs)
            files = baseline.cell["artifact"], record.cell["artifact"]
            yield name, Link(found.run.id, *files, ratio)


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
