"""Over batch sizes and threads: the best throughput, and from where on more brings no more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from reports.estimate import Interval
from reports.layout import Row

Axis = Literal["batch", "threads"]
AXES: tuple[Axis, ...] = ("batch", "threads")
# Of the best throughput: from here on a setting is as good.
ENOUGH = 0.95
RULE = (
    f"Saturated from: the smallest setting whose throughput is surely at least {ENOUGH:.0%} of the "
    "best one's: the lower end of the 95% interval of their ratio says so. The two were not "
    "measured side by side, so that interval is made of theirs (MOVER: Zou and Donner, Statistics "
    "in Medicine 27, 2008)."
)
RISING = "only the largest setting is surely so good: a larger one may bring more"
NO_INTERVAL = "there is no interval of throughput"
_SAME = ("device", "variant", "runtime", "precision_requested", "scenario")


def saturation(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each sweep: cells that differ in batch size alone, or in threads alone."""
    good = [row for row in rows if row["status"] == "ok" and row["throughput_ips"] is not None]
    return [found for axis in AXES for found in _along(axis, good)]


def _along(axis: Axis, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    fixed = "threads" if axis == "batch" else "batch"
    sweeps: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        sweeps.setdefault(tuple(row[key] for key in (*_SAME, fixed)), []).append(row)
    for place, sweep in sweeps.items():
        if len(sweep) > 1:
            named = dict(zip((*_SAME, fixed), place, strict=True))
            yield named | {"axis": axis} | _judged(axis, sorted(sweep, key=lambda r: r[axis]))


def _judged(axis: Axis, sweep: Sequence[Row]) -> dict[str, Any]:
    best = max(sweep, key=lambda row: float(row["throughput_ips"]))
    ratios = {row[axis]: ratio(row, best) for row in sweep}
    sure = [at for at, ends in ratios.items() if ends and ends[0] >= ENOUGH]
    maybe = [at for at, ends in ratios.items() if ends and ends[1] >= ENOUGH]
    rising = sure == [sweep[-1][axis]]
    return {
        "settings": [row[axis] for row in sweep],
        "best_at": best[axis],
        "best_ips": best["throughput_ips"],
        "ci": best["intervals"]["throughput_ips"],
        "saturated_from": sure[0] if sure and not rising else None,
        "perhaps_from": maybe[0] if maybe and maybe[0] < sure[0] else None,
        "reason": None if sure and not rising else RISING if rising else NO_INTERVAL,
    }


def ratio(row: Row, best: Row) -> Interval | None:
    """The interval of a throughput over the best one, of two apart; the best over itself is 1."""
    if row is best:
        return (1.0, 1.0) if best["intervals"]["throughput_ips"] else None
    ends, others = row["intervals"]["throughput_ips"], best["intervals"]["throughput_ips"]
    if not ends or not others or min(*ends, *others) <= 0:
        return None
    (low, value, high), (least, top, most) = (
        [math.log(each) for each in (pair[0], one["throughput_ips"], pair[1])]
        for one, pair in ((row, ends), (best, others))
    )
    apart = value - top
    return (
        math.exp(apart - math.hypot(value - low, most - top)),
        math.exp(apart + math.hypot(high - value, top - least)),
    )
