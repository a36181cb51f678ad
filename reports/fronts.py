"""Pareto fronts: which variant in which runtime none beats in time, accuracy and memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agents import wire
from reports.comparison import to_baseline
from reports.estimate import Estimate
from reports.gates import WAITING
from reports.index import Index
from reports.row_builder import Row
from reports.selection import pareto
from reports.selection.candidates import Candidate, Session, candidates
from reports.selection.draws import Doubt, Drawing
from reports.selection.table import Line, table
from reports.selection.wanted import ENERGY, PRICE, Wanted

LATENCY, MEMORY = "latency_p50_ms", "peak_rss_mib"
# The first that a run measured is the axis.
ACCURACIES = ("accuracy_top1", "accuracy_map50", "accuracy_miou", "accuracy_auc")
NO_PRICE = "no price of this device is known"
SAME_PRICE = "the same for all that runs on one device: edgeproof select weighs boards by it"
Place = tuple[str, int, int]  # device, batch, threads
Prices = Mapping[str, Mapping[str, Any]]  # by device: value (USD), of, as_of


def fronts(
    found: Index, rows: Sequence[Row], compared: Sequence[Mapping[str, Any]], prices: Prices
) -> list[dict[str, Any]]:
    """A front for each device, batch size and number of threads with two cells or more.

    Of several scenarios it is of the first that measures a time. At most three axes: on more nearly
    everything is on the front. Runtimes are held against each other by the clock around the call.
    """
    session = Session(found, found, rows, to_baseline(compared))
    devices = {row["device"]: row["device"] for row in rows}
    every, _ = candidates([session], devices)
    accuracy = _accuracy(every)
    asked = Wanted((), {}, axes=(LATENCY, accuracy, MEMORY, ENERGY))
    drawing = Drawing(pareto.FRONT_DRAWS)
    lines = [_by_call(line) for line in table(_timed(every), asked, {}, drawing)]
    places: dict[Place, list[Line]] = {}
    for line in lines:
        named = line.candidate.named
        place = named["hardware"], named["batch"], named["threads"]
        places.setdefault(place, []).append(line)
    return [
        _front(place, mine, (LATENCY, accuracy, MEMORY), prices)
        for place, mine in places.items()
        if len(mine) > 1
    ]


def _timed(every: Sequence[Candidate]) -> list[Candidate]:
    """Those of the first scenario of each device that has a time."""
    timed = [each for each in every if each.named["scenario"] in WAITING]
    first: dict[str, str] = {}
    for each in sorted(timed, key=lambda one: wire.SCENARIOS.index(one.named["scenario"])):
        first.setdefault(each.hardware, each.named["scenario"])
    return [each for each in timed if each.named["scenario"] == first[each.hardware]]


def _accuracy(every: Sequence[Candidate]) -> str:
    for metric in ACCURACIES:
        if any(each.members[0].read(metric).value is not None for each in every):
            return metric
    return ACCURACIES[0]


def _by_call(line: Line) -> Line:
    """Its time by the clock around the call, which every runtime has: some time themselves."""
    overhead_us = line.candidate.members[0].row["noise"]["call_overhead_us"]
    doubt, drawn = line.doubts[LATENCY], line.draws[LATENCY]
    if not overhead_us or doubt.estimate.value is None:
        return line
    more = overhead_us / 1e3
    ends = doubt.estimate.interval
    moved = Estimate(
        doubt.estimate.value + more,
        (ends[0] + more, ends[1] + more) if ends else None,
        doubt.estimate.reason,
    )
    return replace(
        line,
        doubts={**line.doubts, LATENCY: Doubt(moved)},
        draws={**line.draws, LATENCY: None if drawn is None else drawn + more},
    )


def _front(
    place: Place, lines: Sequence[Line], wanted: Sequence[str], prices: Prices
) -> dict[str, Any]:
    device, batch, threads = place
    axes = [axis for axis in wanted if any(_known(line, axis) for line in lines)]
    able = np.ones((len(lines), pareto.FRONT_DRAWS), dtype=np.bool_)
    found = pareto.placed([_held(line, axes) for line in lines], axes, able)
    return {
        "device": device,
        "batch": batch,
        "threads": threads,
        "scenario": lines[0].candidate.named["scenario"],
        "axes": axes,
        "no_axis": dict(_no_axis(lines, [*wanted, ENERGY], axes)),
        "price_usd": prices.get(device) or {"value": None, "reason": NO_PRICE},
        "points": [_point(line, axes, *each) for line, each in zip(lines, found, strict=True)],
    }


def _known(line: Line, axis: str) -> bool:
    return line.doubts[axis].estimate.value is not None


def _held(line: Line, axes: Sequence[str]) -> Line:
    """What has a value but no interval takes part with its value in every draw."""
    held = {
        axis: np.full(pareto.FRONT_DRAWS, line.doubts[axis].estimate.value)
        for axis in axes
        if _known(line, axis) and line.draws[axis] is None
    }
    return replace(line, draws={**line.draws, **held})


def _no_axis(
    lines: Sequence[Line], wanted: Sequence[str], axes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for metric in wanted:
        if metric not in axes:
            yield metric, lines[0].doubts[metric].estimate.reason or "it is no axis"
    yield PRICE, SAME_PRICE


def _point(line: Line, axes: Sequence[str], on_front: bool, chance: float) -> dict[str, Any]:
    missing = [axis for axis in axes if not _known(line, axis)]
    loose = [axis for axis in axes if line.doubts[axis].open]
    reason = line.doubts[(missing or loose or axes)[0]].open
    row = line.candidate.members[0].row
    return {
        **{key: row[key] for key in ("variant", "runtime", "precision_requested", "cell")},
        "on_front": None if missing else on_front,
        "p_front": None if loose else chance,
        "reason": f"{(missing or loose)[0]}: {reason}" if missing or loose else None,
        "values": {metric: _value(doubt.estimate) for metric, doubt in line.doubts.items()},
    }


def _value(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "ci": list(estimate.interval) if estimate.interval else None,
        "reason": estimate.reason,
    }
