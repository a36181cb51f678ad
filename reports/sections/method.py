"""How it was measured, and what the intervals mean."""

from __future__ import annotations

from collections.abc import Iterator

from agents import wire
from reports.comparison import FASTER_BELOW, SAME_WITHIN, SLOWER_ABOVE
from reports.estimate import CONFIDENCE
from reports.intervals import used
from reports.layout import Column, Document, Section, Table
from reports.multiplicity import DIFFERENCE_ALPHA
from reports.sequential import ALPHA, RANKS_FROM, RATIO_TOLERANCE
from reports.stats import SMALLEST_SAMPLE, fewest_for_signed_rank
from reports.verdicts import LOOKS

ORDER = 100
_SCENARIOS = {
    wire.SINGLE_STREAM: "one request at a time, each sent when the last is answered",
    wire.MULTI_STREAM: "a query is several requests sent at once, and its time ends with the last "
    "answer",
    wire.OFFLINE: "all requests of a sample are given at once, which makes throughput and no "
    "latency",
    wire.SERVER: "requests arrive at random (Poisson); the highest rate is sought whose p99, from "
    "the scheduled arrival to the answer, keeps the target",
    wire.COLD_START: "each time is a fresh process's, from its start to its first answer; nothing "
    "is warmed up or dropped",
    wire.SUSTAINED: "the cell runs alone under load for minutes, and its last minute is held "
    "against its first; throttling belongs to the result here",
}


def section(document: Document) -> Section:
    found = dict.fromkeys(row["scenario"] for row in document["results"])
    points = [
        *((f"{name}:", f"{_SCENARIOS[name]}.") for name in _SCENARIOS if name in found),
        *(("", text) for text in (*_taking(), *_intervals(), *_words(), *_gates(document))),
    ]
    return Section("How it was measured", points=points, tables=_kinds(document), detail=True)


def _kinds(document: Document) -> list[Table]:
    """Every kind of interval that the report at hand holds."""
    rows = used(document)
    caption = f"What the {CONFIDENCE:.0%} intervals of this report are"
    return [Table(caption, [Column("of"), Column("interval"), Column("after")], rows)] * bool(rows)


def _taking() -> Iterator[str]:
    yield (
        "The unit is the launch: one fresh process for each cell of a group. The times of one "
        "launch depend on each other, so no interval is built from single times."
    )
    yield (
        "Cells that are compared were measured in turns; the first sample of each block follows a "
        "switch and is dropped."
    )
    yield (
        "Runtimes are compared by the clock around the call from Python: what a call adds to the "
        "time of a runtime that times itself is added back, the median of each launch. All other "
        "times of such a runtime are its own, as a native caller sees them."
    )
    yield (
        "Noise is flagged and never deleted. Values named unpreempted leave out the samples during "
        "which the process lost its core; they stand beside the wall-clock values, never for them."
    )
    yield (
        "A launch during which the device throttled is invalid and does not count, but for the "
        "sustained scenario, where it is flagged."
    )


def _intervals() -> Iterator[str]:
    needed = ", ".join(f"{name} {count}" for name, count in SMALLEST_SAMPLE.items())
    yield f"A percentile needs enough samples for a finite 95% interval: {needed}."
    yield (
        "Intervals of times, throughput, memory and load describe this run only; another day's "
        "temperature and clocks are not in them. Compare by the ratios."
    )
    yield f"A signed-rank interval needs {fewest_for_signed_rank()} launches."


def _words() -> Iterator[str]:
    yield (
        f"Faster: the whole interval of a ratio of times is below {FASTER_BELOW}; slower: above "
        f"{SLOWER_ABOVE}; same: within {1 - SAME_WITHIN:g} to {1 + SAME_WITHIN:g}; otherwise "
        "undecided. For throughput the ratio is turned over."
    )
    yield (
        "A comparison is called faster or slower only if Holm's correction over all comparisons of "
        f"that metric in the run confirms it at {DIFFERENCE_ALPHA:.0%}; the intervals beside it "
        "are not widened."
    )


def _gates(document: Document) -> Iterator[str]:
    effort = (document["study_document"].get("measure") or {}).get("effort", "standard")
    looks = ", ".join(map(str, LOOKS[effort]))
    ranks = f" (of p95 and p99 from {RANKS_FROM} on)" if LOOKS[effort][-1] >= RANKS_FROM else ""
    yield (
        "A gate on a quantile of latency, on throughput or on a ratio of them (a sustained load's "
        f"excepted) is looked at after {looks} launches{ranks}. "
        "Fail: proven beyond the limit. Pass: proven not beyond it by more than the tolerance "
        f"({RATIO_TOLERANCE:.0%} for ratios). Wrong fails of all such gates together and wrong "
        f"passes of each have an error of at most {ALPHA:.0%}, all looks taken together, if the "
        "launches do not depend on each other. A group whose gates are decided ends early."
    )
    yield (
        "Other gates pass only when the whole 95% interval is within the limit, and fail only when "
        "it is beyond it and Holm's correction over all such gates confirms that at "
        f"{ALPHA:.0%} (with the tail of the normal distribution, for launches Student's)."
    )
