"""What a reader must know before trusting a row: noise is flagged here, never deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents import wire
from reports.index import Taken
from reports.stats import fewest_for_signed_rank

# From here on, the share of inferences that lost their core: they make up most of the tail.
INVOLUNTARY_SHARE = 0.05
FLOAT_PRECISIONS = frozenset({"fp64", "fp32", "fp16", "bf16"})
_SAME = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_SAME |= {"f64": "fp64", "f32": "fp32", "f16": "fp16"}


def flags(
    cell: wire.Cell,
    launches: Sequence[Taken],
    good: Sequence[Taken],
    event: wire.EvaluationEvent | None,
    executed: str | None,
) -> list[str]:
    """All flags of a cell, in a fixed order; `executed` is the precision that was read back."""
    found = [
        *_failures(launches, good),
        *_conduct(good),
        *_precision(cell, executed),
        *_noise(good),
    ]
    if event is not None and event["nonfinite"]:
        found.append(f"{event['nonfinite']} samples gave NaN or infinite scores")
    return found


def _failures(launches: Sequence[Taken], good: Sequence[Taken]) -> Iterator[str]:
    failed = [taken.launch for taken in launches if taken.launch["status"] != "ok"]
    if good and failed:
        reason = failed[0]["reason"] or "no reason was recorded"
        yield f"{len(failed)} of {len(launches)} launches failed: {reason}"


def _conduct(good: Sequence[Taken]) -> Iterator[str]:
    needed = fewest_for_signed_rank()
    if 0 < len(good) < needed:
        yield f"few launches: {len(good)}, of {needed} for an interval of p95"
    unsteady = sum(
        (warmup := t.launch["warmup"]) is not None and not warmup["steady"] for t in good
    )
    if unsteady:
        yield f"warm-up not steady in {unsteady} of {len(good)} launches"
    alone = sum(not taken.record.interleaved for taken in good)
    if alone:
        yield f"measured one at a time in {alone} of {len(good)} launches: too little memory"


def _precision(cell: wire.Cell, executed: str | None) -> Iterator[str]:
    """A quantised file runs its own integers, which is no mismatch; another float type is one."""
    asked = _float_type(cell["precision"])
    for told in (executed or "").split(" / "):
        ran = _float_type(told)
        if ran in FLOAT_PRECISIONS and asked in FLOAT_PRECISIONS and ran != asked:
            yield f"executed in {told} though {cell['precision']} was requested"


def _float_type(name: str) -> str:
    return _SAME.get(name.lower(), name.lower())


def _noise(good: Sequence[Taken]) -> Iterator[str]:
    observed = [taken.launch for taken in good if taken.launch["noise"]]
    inferences = sum(len(block) for launch in observed for block in launch["blocks"])
    switches = sum(noise["involuntary_switches"] for x in observed if (noise := x["noise"]))
    if inferences and switches / inferences >= INVOLUNTARY_SHARE:
        yield f"involuntary context switches: {switches} in {inferences} inferences"
