"""The sustained scenario: what minutes under load do to the time of one inference."""

from __future__ import annotations

from collections.abc import Sequence

from reports import stats
from reports.estimate import Estimate
from reports.stats import Samples
from reports.text import counted

FEWEST_MINUTES = 2


def minute_medians(launches: Sequence[Sequence[Samples]]) -> list[float | None]:
    """p50 of each minute over the launches, ms; `launches` holds each one's minutes in ms.

    Only minutes that every launch has. None where the samples do not allow a p50.
    """
    minutes = zip(*launches, strict=False)  # the shortest launch sets the end
    return [stats.pooled_quantile(minute, "p50").value for minute in minutes]


def slowdown(launches: Sequence[Sequence[Samples]]) -> Estimate:
    """p50 of the last minute over that of the first, with the launch-to-launch interval."""
    medians = minute_medians(launches)
    if len(medians) < FEWEST_MINUTES:
        return Estimate.missing(
            f"{counted(len(medians), 'whole minute')}; a ratio needs {FEWEST_MINUTES}"
        )
    first, last = medians[0], medians[-1]
    if not first or not last:
        return Estimate.missing("the first or the last minute holds too few samples for a p50")
    end = len(medians) - 1
    usable = [run for run in launches if min(run[0].size, run[end].size) > 1]
    ratios = [stats.quantile(run[end], "p50") / stats.quantile(run[0], "p50") for run in usable]
    return stats.log_t_estimate(last / first, ratios)


def over_first(minutes: Sequence[float | None]) -> list[float | None]:
    """p50 of each minute over that of the first; None where either is."""
    first = minutes[0] if minutes else None
    return [minute / first if minute and first else None for minute in minutes]
