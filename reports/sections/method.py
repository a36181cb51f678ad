"""How it was measured, and what the intervals mean."""

from __future__ import annotations

from reports.comparison import FASTER_BELOW, SAME_WITHIN, SLOWER_ABOVE
from reports.layout import Document, Section
from reports.sequential import ALPHA, RATIO_TOLERANCE
from reports.stats import SMALLEST_SAMPLE, fewest_for_signed_rank

ORDER = 100


def section(document: Document) -> Section:
    needed = ", ".join(f"{name} {count}" for name, count in SMALLEST_SAMPLE.items())
    points = [
        "The unit is the launch: one fresh process for each cell of a group. Samples of one launch "
        "depend on each other, so no interval is built from samples.",
        "Cells that are compared were measured in turns; the first sample of each block follows a "
        "switch and is dropped.",
        f"A percentile needs enough samples for a finite 95% interval: {needed}.",
        "Intervals of times, throughput, memory and load describe this run only; another day's "
        "temperature and clocks are not in them. Compare by the ratios.",
        "The p50 ratio has Student's t interval across launches; the p95 ratio the exact "
        f"signed-rank (Hodges-Lehmann) interval, which needs {fewest_for_signed_rank()} launches.",
        f"Faster: the whole interval is below {FASTER_BELOW}; slower: above {SLOWER_ABOVE}; same: "
        f"within {1 - SAME_WITHIN:g} to {1 + SAME_WITHIN:g}; otherwise undecided.",
        "Intervals are not widened for the number of comparisons on the page.",
        "Accuracy has Wilson's interval, a drop Tango's for paired samples.",
        f"A gate on a latency quantile is looked at after fixed numbers of launches. Fail: proven "
        f"beyond the limit. Pass: proven not beyond it by more than the tolerance "
        f"({RATIO_TOLERANCE:.0%} for ratios). Wrong fails of all such gates together and wrong "
        f"passes of each have an error of at most {ALPHA:.0%}, all looks taken together, if the "
        "launches do not depend on each other. A group whose gates are decided ends early.",
        "Other gates pass or fail only when the whole interval is on one side of the limit.",
    ]
    return Section("How it was measured", points=[("", point) for point in points], detail=True)
