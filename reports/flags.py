"""What a reader must know before trusting a row: noise is flagged here, never deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents import wire
from reports import conditions
from reports.assessment import Assessment
from reports.executed import Layers, is_compute, layers_of, meant_for_int8, recipe_of
from reports.index import Index, Taken
from reports.noise import call_overhead_share
from reports.run import ArtifactRecord, CellRecord, manifest_of
from reports.stats import fewest_for_signed_rank
from reports.text import number

# From here on the samples that lost their core make up p95, which is then the machine's, not the
# model's.
PREEMPTED_SHARE = 0.05
# As large as the differences in p50 that a gate looks for.
RUN_DELAY_SHARE = 0.02
# A host that is not oversold takes next to nothing.
STEAL_SHARE = 0.01
# Handing over between supervisor and workers makes a little; this much is other people's work.
PRESSURE_SHARE = 0.10
# A governor that holds its clock moves it by less; times move with it.
CLOCK_CHANGE = 0.05
# In one launch, which takes seconds to minutes: the board was not at its working temperature.
TEMPERATURE_RISE_C = 10.0
# The Raspberry Pi slows down from 80 degrees on, the first of the boards that we know.
NEAR_LIMIT_C = 78.0
# Of p50: from here on a caller from C++ and one from Python see different models.
CALL_OVERHEAD_SHARE = 0.05
# Of the time, else of the layers: from here on a gain or a loss may be the fallback's.
FALLBACK_SHARE = 0.05
# Each cell alone, in few launches: so planned, and no fault.
ALONE = frozenset({wire.SERVER, wire.SUSTAINED})
FLOAT_PRECISIONS = frozenset({"fp64", "fp32", "fp16", "bf16"})
_SAME = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_SAME |= {"f64": "fp64", "f32": "fp32", "f16": "fp16"}


def all_of(
    found: Index,
    record: CellRecord,
    launches: Sequence[Taken],
    assessed: Assessment,
    row: Mapping[str, Any],
) -> list[str]:
    """What its launches, its evaluation and its file give to doubt, in a fixed order.

    `row` is that of the cell, with its noise and what it executed otherwise.
    """
    good, noise = [taken for taken in launches if taken.counts], row["noise"]
    return [
        *_failures(launches, good),
        *_conduct(record.cell, good),
        *_disturbance(noise),
        *_device(good, noise),
        *_overhead(good, noise),
        *_nonfinite(found.event(record)),
        *row["executed"]["flags"],
        *file_flags(found.run.artifacts.get(record.cell["artifact"])),
        *evaluation_flags(assessed, found.preprocessed_apart),
    ]


def _nonfinite(event: wire.EvaluationEvent | None) -> Iterator[str]:
    if event is not None and event["nonfinite"]:
        yield f"{event['nonfinite']} samples gave NaN or infinite scores"


def file_flags(artifact: ArtifactRecord | None) -> Iterator[str]:
    """What makes a comparison with the file's parent unequal."""
    made = manifest_of(artifact)
    recipe = made.get("prune") or made.get("quantize")
    if made.get("widened") and recipe:  # without one it is that fair baseline itself
        yield (
            "its parent stores weights in fewer bits, this file in float32: part of a gain may be "
            f"that. A fair baseline is {{from: {made['parent']['variant']}, "
            f"formats: [{made['format']}]}}"
        )


def execution_flags(found: Index, record: CellRecord, row: Mapping[str, Any]) -> Iterator[str]:
    """What ran otherwise than the file and the study ask, by what the row says was executed."""
    cell, event = record.cell, found.event(record)
    artifact = found.run.artifacts.get(cell["artifact"])
    yield from _precision(cell, row["precision_executed"])
    asked, ran = cell["precision"], event is not None and event["status"] == "ok"
    if ran and row["precision_executed"] is None and _float_type(asked) != "fp32":
        yield f"the runtime does not tell what it executed, though {asked} was requested"
    layers = layers_of(event)
    if not isinstance(layers, str):
        yield from _dequantised(cell, artifact, layers)
        yield from _fallback(row["executed"]["fallback"], len(layers))


def evaluation_flags(found: Assessment, preprocessed_apart: str | None) -> Iterator[str]:
    """What makes the answers of an evaluation doubtful beside others."""
    event = found.ours.answers.event
    if event is None or event["status"] != "ok":
        return
    theirs = None if isinstance(found.theirs, str) else found.theirs.answers.event
    both = [each for each in (event, theirs) if each is not None]
    read = [each["scores"] for each in both if each["scores"]]
    if len(set(read)) > 1:
        yield f"scores were read as {read[0]}, the baseline's as {read[1]}: give dataset.scores"
    if preprocessed_apart is not None and event["inputs_sha256"] is not None:
        yield f"preprocessing differs: inputs are {preprocessed_apart}"


def _failures(launches: Sequence[Taken], good: Sequence[Taken]) -> Iterator[str]:
    """Launches that do not count beside others that do; without those the row itself says why."""
    if not good:
        return
    failed = [taken.launch for taken in launches if taken.launch["status"] != "ok"]
    if failed:
        reason = failed[0]["reason"] or "no reason was recorded"
        yield f"{len(failed)} of {len(launches)} launches failed: {reason}"
    reasons = Counter(t.invalid for t in launches if t.launch["status"] == "ok" and t.invalid)
    for invalid, count in reasons.most_common():
        yield f"{count} of {len(launches)} launches invalid: {invalid}"


def _conduct(cell: wire.Cell, good: Sequence[Taken]) -> Iterator[str]:
    needed = fewest_for_signed_rank()
    if 0 < len(good) < needed and cell["scenario"] not in ALONE:
        yield f"few launches: {len(good)}, of {needed} for an interval of p95"
    unsteady = sum(
        (warmup := t.launch["warmup"]) is not None and not warmup["steady"] for t in good
    )
    if unsteady:
        yield f"warm-up not steady in {unsteady} of {len(good)} launches"
    alone = sum(not taken.record.interleaved for taken in good)
    if alone and cell["scenario"] not in ALONE:
        yield (
            f"measured one at a time in {alone} of {len(good)} launches for want of memory, so "
            "drift does not cancel in its ratios and their intervals are looser"
        )


def _precision(cell: wire.Cell, executed: str | None) -> Iterator[str]:
    """A quantised file runs its own integers, which is no mismatch; another float type is one."""
    asked = _float_type(cell["precision"])
    for told in (executed or "").split(" / "):
        ran = _float_type(told)
        if ran in FLOAT_PRECISIONS and asked in FLOAT_PRECISIONS and ran != asked:
            yield f"executed in {told} though {cell['precision']} was requested"


def _dequantised(cell: wire.Cell, artifact: ArtifactRecord | None, layers: Layers) -> Iterator[str]:
    """Most layers of an int8 file ran in floats, without those that were left so on purpose."""
    told = [layer["precision"] for layer in layers if is_compute(layer) and layer["precision"]]
    floats = [name for name in told if _float_type(name) in FLOAT_PRECISIONS]
    by_runtime = len(floats) - len(recipe_of(artifact).get("leave") or ())
    if 2 * by_runtime > len(told) and meant_for_int8(cell, artifact, layers):
        ran = f"{len(floats)} of {len(told)} compute layers in {', '.join(sorted(set(floats)))}"
        yield f"INT8 file ran mostly dequantised: {ran}"


def _fallback(found: Mapping[str, Any] | None, layers: int) -> Iterator[str]:
    """Part of it ran elsewhere than where the study asks."""
    if found is None:
        return
    spent = found["time_share"]
    if (found["share"] if spent is None else spent) >= FALLBACK_SHARE:
        timed = "" if spent is None else f", {spent:.0%} of the time"
        yield f"{found['layers']} of {layers} layers fell back to {', '.join(found['to'])}{timed}"


def _float_type(name: str) -> str:
    return _SAME.get(name.lower(), name.lower())


def _disturbance(noise: Mapping[str, Any]) -> Iterator[str]:
    """Who else took the processor's time. Steal and pressure did not predict drift: flags only."""
    told = (
        ("preempted_share", PREEMPTED_SHARE, "preempted during {} of the samples"),
        ("run_delay_share", RUN_DELAY_SHARE, "waited for a core during {} of the measured time"),
        ("steal_share", STEAL_SHARE, "the hypervisor took {} of the processors' time"),
        ("pressure_share", PRESSURE_SHARE, "some task waited for a processor {} of the time"),
    )
    for key, limit, words in told:
        if noise[key] is not None and noise[key] >= limit:
            yield words.format(f"{noise[key]:.1%}")


def _device(good: Sequence[Taken], noise: Mapping[str, Any]) -> Iterator[str]:
    """What the device did by itself: throttled where that does not make it invalid, clock, heat."""
    around = [conditions.around(taken.record) for taken in good]
    throttled = (conditions.throttled_within(taken.record) for taken in good)
    causes = [cause for cause in throttled if cause]
    if causes:
        yield f"throttled in {len(causes)} of {len(good)} launches: {causes[0]}"
    moved = [
        change
        for taken, readings in zip(good, around, strict=True)
        if (change := conditions.clock_change(readings, taken.launch["cpus"]))
        and change >= CLOCK_CHANGE
    ]
    if moved:
        share = f"{max(moved):.0%}"
        yield f"clock changed by up to {share} within {len(moved)} of {len(good)} launches"
    risen = max((rise for x in around if (rise := conditions.temperature_rise(x))), default=0.0)
    if risen >= TEMPERATURE_RISE_C:
        yield f"warmed by up to {number(risen)} degrees within a launch"
    if noise["temperature_c"] and noise["temperature_c"][1] >= NEAR_LIMIT_C:
        yield f"{number(noise['temperature_c'][1])} degrees Celsius: near where boards throttle"


def _overhead(good: Sequence[Taken], noise: Mapping[str, Any]) -> Iterator[str]:
    overhead_us = noise["call_overhead_us"]
    share = call_overhead_share(good, overhead_us)
    if share is not None and share > CALL_OVERHEAD_SHARE:
        yield (
            f"the call from Python costs {number(overhead_us)} us more ({share:.0%} of p50), which "
            "is not in its times"
        )
