"""Which kinds of intervals a document holds: of what, how they are made, and after whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STUDENT = "Student, Biometrika 6, 1908"
Document = Mapping[str, Any]
# What an interval that would shrink to nothing is widened to, as `reports.shares.unseen` says.
WIDENED = "at least as wide as n samples without a change leave, z^2 / (n + z^2)"


@dataclass(frozen=True)
class Kind:
    """A way to make intervals; `of` maps the places of values in the document to their names."""

    name: str
    source: str
    of: Mapping[str, str]


_SIZES = {
    "latency_ms": "times",
    "unpreempted_ms": "unpreempted times",
    "throughput_ips": "throughput",
    "server.rate_ips": "rate of a server",
    "sustained.ratio": "slowing under load",
    "peak_rss_mib": "peak memory",
    "load_ms": "load",
    "first_inference_ms": "first inference",
}
KINDS = (
    Kind("Student's t of the launches' logs, of this run only", STUDENT, _SIZES),
    Kind(
        "Student's t of the launches' log ratios",
        STUDENT,
        {
            "comparison.p50": "ratio of p50",
            "comparison.unpreempted_p50": "ratio of unpreempted p50",
            "comparison.throughput": "ratio of throughput",
        },
    ),
    Kind(
        "exact signed-rank (Hodges-Lehmann)",
        "Hollander, Wolfe and Chicken 2014, section 3.3",
        {
            "comparison.p95": "ratio of p95",
            "comparison.p99": "ratio of p99",
            "comparison.unpreempted_p95": "ratio of unpreempted p95",
        },
    ),
    Kind(
        "Wilson's score",
        "Wilson, Journal of the American Statistical Association 22, 1927",
        {"accuracy.top1": "top-1", "accuracy.top5": "top-5", "set": "top-1 of a corrupted set"},
    ),
    Kind(
        "Tango's score for paired shares",
        "Tango, Statistics in Medicine 17, 1998",
        {
            "accuracy.top1_drop": "top-1 drop",
            "accuracy.top5_drop": "top-5 drop",
            "set_drop": "drops of a corrupted set",
        },
    ),
    Kind(
        "Tango's, of all classes at once (Bonferroni)",
        "Tango, Statistics in Medicine 17, 1998",
        {"accuracy.recall_loss_worst": "largest loss of a class"},
    ),
    Kind(
        "exact (Clopper-Pearson)",
        "Clopper and Pearson, Biometrika 26, 1934",
        {"accuracy.agreement": "agreement", "bin": "reliability"},
    ),
    Kind(
        "exact (Clopper-Pearson), of all classes at once (Bonferroni)",
        "Clopper and Pearson, Biometrika 26, 1934",
        {"accuracy.recall_worst": "lowest recall of a class"},
    ),
    Kind(
        "credible, equal tails, under Jeffreys' prior Beta(1/2, 1/2)",
        "Brown, Cai and DasGupta, Statistical Science 16, 2001",
        {"credible": "top-1 of a corrupted set, Bayesian"},
    ),
    Kind(
        "normal test with Hanley and McNeil's variance, inverted",
        "Newcombe, Statistics in Medicine 25, 2006, method 5",
        {"accuracy.auc": "AUC", "stranger.auroc": "AUROC of samples from elsewhere"},
    ),
    Kind(
        f"paired, with DeLong's variance; {WIDENED}",
        "DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988",
        {"accuracy.auc_drop": "AUC drop"},
    ),
    Kind(
        f"percentile bootstrap over samples, paired for a drop; {WIDENED}",
        "Efron and Tibshirani 1993, section 13.3",
        {
            "accuracy.map50": "mAP@0.5",
            "accuracy.map50_drop": "mAP@0.5 drop",
            "accuracy.miou": "mIoU",
            "accuracy.miou_drop": "mIoU drop",
        },
    ),
    Kind(
        f"Student's t across samples, each one's mean over the sets; {WIDENED}",
        STUDENT,
        {
            "robustness.top1": "mean under corruption",
            "robustness.clean_drop": "mean lost to corruption",
            "robustness.top1_drop": "mean drop under corruption",
        },
    ),
    Kind(
        f"Student's t across samples of the linearised ratio (delta method); {WIDENED}",
        "error: Hendrycks and Dietterich 2019, arXiv 1903.12261",
        {"robustness.mce": "relative error"},
    ),
    Kind(
        "Student's t across samples",
        STUDENT,
        {"stranger.confidence_in": "confidence in the dataset and elsewhere"},
    ),
    Kind(
        "binomial noise of the bins, by the triangle inequality; heeds the bias of ECE",
        "error: Guo et al. 2017, arXiv 1706.04599; interval: edgeproof's own",
        {"calibration.ece": "ECE", "set_ece": "ECE of a corrupted set"},
    ),
)
_OF_ROWS = ("latency_ms", "unpreempted_ms", "server", "sustained", "accuracy", "robustness")


def used(document: Document) -> list[tuple[str, str, str]]:
    """Of each kind that the document holds an interval of: of what, its name and its source."""
    held = set(_held(document))
    found = []
    for kind in KINDS:
        of = [label for place, label in kind.of.items() if place in held]
        if of:
            found.append((", ".join(of), kind.name, kind.source))
    return found


def _held(document: Document) -> Iterator[str]:
    """The places of all intervals that are there."""
    for row in document["results"]:
        yield from (name for name, ends in row["intervals"].items() if ends)
        for group in _OF_ROWS:
            ends = (row[group] or {}).get("ci") or {}
            times = group in _SIZES
            yield from (group if times else f"{group}.{name}" for name in ends if ends[name])
        if (row["calibration"] or {"ci": {}})["ci"].get("ece"):
            yield "calibration.ece"  # of the others the page has no interval
        for name in ("recall_worst", "recall_loss_worst"):
            yield from [f"accuracy.{name}"] * bool(row["accuracy"][name])
    for row in document["comparisons"]:
        if row["ci"]:
            named = row["metric"].removeprefix("latency_").removesuffix("_ratio")
            yield f"comparison.{named}"
    for each in document["evaluations"]:
        yield from _of_evaluation(each)


def _of_evaluation(each: Mapping[str, Any]) -> Iterator[str]:
    yield from ["bin"] * bool(each["reliability"])
    for item in each["corruptions"]:
        places = {"set": "ci", "credible": "credible", "set_ece": "ece_ci"}
        yield from (place for place, key in places.items() if item[key])
        yield from ["set_drop"] * bool(item["clean_drop_ci"] or item["top1_drop_ci"])
    for item in each["out_of_distribution"]:
        yield from (f"stranger.{name}" for name in ("auroc", "confidence_in") if item[f"{name}_ci"])
