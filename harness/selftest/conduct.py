"""The course of a self-test: what a layer costs, how slow the slower networks are, then gates.

Every gate is a run of its own of one study: two variants, one limit. How slow a network really is
comes from launches that no gate sees, some before the gates and some after them.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agents.loop import block_size
from harness.effort import EFFORTS, TIMING
from harness.errors import DeviceError
from harness.selftest.bench import BASELINE, LIMIT, METRIC, Bench, whole
from harness.selftest.fit import PILOT, calm_effort, launches_of_a_gate, layers_for, refitted
from harness.selftest.overall import Overall
from harness.store import now
from harness.study import Effort
from reports import document
from reports.comparison import launch_ratios
from reports.index import index
from reports.run import Run, Selftest, SelftestModel, SelftestTrial
from reports.selftest import SAME, rule_of, slowdown
from reports.sessions.environment import runtimes_of

EFFORT: Effort = "standard"
PILOT_EFFORT: Effort = "quick"
TARGETS: Mapping[str, float] = {"slow3": 0.03, "slow5": 0.05}
# Any so many gates that follow each other hold each kind as often.
ROUND = (SAME, SAME, *TARGETS)
USUAL_S = 600.0
FEWEST_GATES = 2 * len(ROUND)
FEWEST_RATIOS = 3  # of a network that was measured for how slow it is


def conduct(
    bench: Bench, asked: int | None, usual_s: float, show: Overall, say: Callable[[str], None]
) -> Iterator[Selftest]:
    """Test a device; yields what is known after each gate, the whole at last.

    `asked` gates, or as many as `usual_s` seconds hold. Raises EndedError when the budget is spent
    or someone said stop, DeviceError when the device fails.
    """
    began = time.monotonic()
    found, calm, gate_s = _calibrated(bench)
    left = usual_s - (time.monotonic() - began) - calm.took_s
    found = replace(found, planned=asked or max(FEWEST_GATES, int(left / gate_s)))
    say(told(found, gate_s, calm.took_s))
    show.begin(found.planned)
    for kind in order(found.planned, found.id):
        trial = _gate(bench, next(model for model in found.models if model.kind == kind))
        found = replace(found, trials=[*found.trials, trial])
        yield found
        show.passed(f"{kind}: {trial.verdict} after {len(trial.ratios)} launches")
    show.after("the slower networks once more")
    yield replace(found, models=calm.seen(found.models), finished=now())


def order(gates: int, seed: str) -> list[str]:
    """The kind of every gate: rounds that hold all kinds, each in a random order."""
    draw = random.Random(seed)
    rounds = -(-gates // len(ROUND))
    return [kind for _ in range(rounds) for kind in draw.sample(ROUND, len(ROUND))][:gates]


def told(found: Selftest, gate_s: float, calm_s: float) -> str:
    """The estimate, before the gates begin."""
    models = [
        f"{_slower(model.ratios) - 1:.1%} ({model.layers} layers)"
        for model in found.models
        if model.kind != SAME
    ]
    minutes = max(1, round((found.planned * gate_s + calm_s) / 60))
    gates = f"{found.planned} gates of about {gate_s:.0f} s"
    return f"slower networks: {', '.join(models)}; {gates}: about {minutes} min"


def _calibrated(bench: Bench) -> tuple[Selftest, Calm, float]:
    """Fit the slower networks to the device; returns them, and the seconds that a gate takes."""
    pilot = whole(bench.measure({"pilot": PILOT}, PILOT_EFFORT))
    layers = layers_for(_slower(ratios_of(pilot, "pilot")), PILOT, TARGETS)
    calm = Calm(bench, PILOT_EFFORT)
    models = calm.seen(_models(layers))
    better = refitted(layers, {model.kind: _slower(model.ratios) for model in models}, TARGETS)
    calm.effort = calm_effort(models[0].ratios)
    if better != layers or calm.effort != PILOT_EFFORT:
        models = calm.seen(_models(better))
    found = Selftest(
        id=_new_id(bench.device.name),
        started=pilot.started,
        finished=None,
        device=pilot.devices[0],
        runtime=bench.runtime,
        runtime_version=runtimes_of(pilot, bench.device.name)[bench.runtime].get("version"),
        metric=METRIC,
        limit=LIMIT,
        effort=EFFORT,
        planned=0,
        baseline_p50_ms=_baseline_p50(pilot),
        models=[SelftestModel(SAME, 0.0, 0), *models],
        trials=[],
    )
    launches = launches_of_a_gate(models[0].ratios, rule_of(found))
    return found, calm, calm.around_s + launches * _launch_s(pilot, found.baseline_p50_ms or 0.0)


def _models(layers: Mapping[str, int]) -> list[SelftestModel]:
    return [SelftestModel(name, TARGETS[name], layers[name]) for name in TARGETS]


def _launch_s(pilot: Run, p50_ms: float) -> float:
    """What a launch of a gate takes: one of the pilot with more blocks."""
    taken = {record.ordinal: record.seconds for record in pilot.launches}
    blocks = EFFORTS[EFFORT].blocks - EFFORTS[PILOT_EFFORT].blocks
    more_s = 2 * blocks * p50_ms / 1e3 * block_size(round(p50_ms * 1e6), TIMING)
    return sum(taken.values()) / len(taken) + more_s


def _slower(ratios: Sequence[float]) -> float:
    """How many times as slow; raises DeviceError where too few launches came back whole."""
    found = slowdown(ratios).value
    if found is None or len(ratios) < FEWEST_RATIOS:
        raise DeviceError(
            f"only {len(ratios)} launches of the self-test's networks can be used there",
            next_step="edgeproof devices check, and look whether the device throttles",
        )
    return found


@dataclass
class Calm:
    """Launches of the slower networks side by side, for nothing but how slow they are."""

    bench: Bench
    effort: Effort
    took_s: float = 0.0  # the last time
    around_s: float = 0.0  # of that, before the first launch and after the last

    def seen(self, models: Sequence[SelftestModel]) -> list[SelftestModel]:
        """The networks with the ratios of these launches added to those known."""
        began = time.monotonic()
        layers = {model.kind: model.layers for model in models if model.kind != SAME}
        run = whole(self.bench.measure(layers, self.effort))
        self.took_s = time.monotonic() - began
        launches = {record.ordinal: record.seconds for record in run.launches}
        self.around_s = max(0.0, self.took_s - sum(launches.values()))
        return [
            replace(model, ratios=[*model.ratios, *ratios_of(run, model.kind)])
            if model.kind in layers
            else model
            for model in models
        ]


def _gate(bench: Bench, model: SelftestModel) -> SelftestTrial:
    """One gate on one network; one that the budget cut short is none."""
    run = bench.measure({model.kind: model.layers}, EFFORT, gated=True)
    [verdict] = document.build(run)["verdicts"]
    if verdict["verdict"] == "inconclusive":
        whole(run)
    return SelftestTrial(
        kind=model.kind,
        verdict=verdict["verdict"],
        reason=verdict["reason"],
        value=verdict["value"],
        ci=verdict["ci"],
        ratios=ratios_of(run, model.kind),
        seconds=run.devices[0].seconds or 0.0,
    )


def ratios_of(run: Run, variant: str) -> list[float]:
    """Log ratios of a variant's p50 to the baseline's, one a launch."""
    [cell] = [record.cell["id"] for record in run.cells if record.cell["variant"] == variant]
    return launch_ratios(index(run), run.devices[0].name, cell, "p50")


def _baseline_p50(run: Run) -> float | None:
    row = next(row for row in document.build(run)["results"] if row["variant"] == BASELINE)
    value: float | None = row["latency_ms"]["p50"]
    return value


def _new_id(device: str) -> str:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"selftest-{device}-{stamp}-{secrets.token_hex(2)}"
